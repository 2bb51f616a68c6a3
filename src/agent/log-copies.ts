/**
 * Copies of other machines' logs, on this machine's disk: `MACHINE/UNIT/N/` with segments, and
 * `MACHINE/name`. Each copy is the last 256 KiB of its log, a segment more at most; all together are
 * bounded, and the one that grew least recently is given up first. That of a machine that is not in
 * the fleet any more stays for a week. Copies are no state: after a power cut a copy may end
 * earlier, and is continued there.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type {
  KeptEnds,
  KeptLog,
  KeptLogQuery,
  LogPiece,
  LogPosition,
  LogStore,
} from '../cluster/logs-kept/kept-log.ts'
import { samePosition } from '../cluster/logs-kept/kept-log.ts'
import {
  ensureDir,
  exists,
  freeBytes,
  joinPath,
  listDir,
  readTextIfThere,
  removeTree,
  writeText,
} from '../io/files.ts'
import {
  appendToSegment,
  parseSegmentName,
  removeSegment,
  segmentName,
} from '../io/log-copy-files.ts'
import { type LogFile, listLogFiles, logUsageBelow } from '../io/log-files.ts'
import { isLogName, type LogSourceAddress, logsEndAtMs, unitLogs } from './logs.ts'

export interface LogCopiesOptions {
  readonly dir: string
  /** Default `limits.keptLogsBytesMax`. */
  readonly bytesMax?: number
  /** Default `limits.keptLogsDiskReserveBytes`. */
  readonly reserveBytes?: number
}

type Members = Parameters<LogStore['keep']>[2]

/** One copy, by its directory below the one of all. */
interface Copy {
  bytes: number
  grownAtMs: number
}

const nameFile = 'name'
const weekMs = 7 * 24 * 3600_000
const forgetIntervalMs = 3600_000
/** Tiny segments come from logs that are cut off again and again. */
const segmentsMax = 64

export class LogCopies implements LogStore {
  readonly #clock: Clock
  readonly #dir: string
  readonly #bytesMax: number
  readonly #reserveBytes: number
  #copies: Map<string, Copy> | undefined
  #forgotAtMs = Number.NEGATIVE_INFINITY

  constructor(clock: Clock, options: LogCopiesOptions) {
    this.#clock = clock
    this.#dir = options.dir
    this.#bytesMax = options.bytesMax ?? limits.keptLogsBytesMax
    this.#reserveBytes = options.reserveBytes ?? limits.keptLogsDiskReserveBytes
  }

  keep(pieces: readonly LogPiece[], machineId: string, members: Members): KeptEnds {
    this.#forgetGone(members)
    if (pieces.some(({ bytes }) => bytes !== '')) {
      this.#requireRoom()
      this.#name(machineId, members.byId(machineId)?.name ?? machineId)
    }
    return pieces.map((piece) => this.#keep(piece, machineId))
  }

  /** Machines with a copy of the unit's logs. */
  async list({ unit, instances }: KeptLogQuery): Promise<readonly KeptLog[]> {
    const found: KeptLog[] = []
    for (const machineId of listDir(this.#dir)) {
      const endsAtMs = await logsEndAtMs(this.sources(machineId, unit, instances))
      if (endsAtMs === undefined) continue
      found.push({ machineId, machine: this.nameOf(machineId), endsAtMs })
    }
    return found
  }

  /** For Logs.read. */
  sources(
    machineId: string,
    unit: string,
    instances?: readonly number[],
  ): readonly LogSourceAddress[] {
    if (!isLogName(machineId)) return []
    const machine = this.nameOf(machineId)
    const logs = unitLogs(joinPath(this.#dir, machineId), unit, instances)
    return logs.map((each) => ({ ...each, machine }))
  }

  nameOf(machineId: string): string {
    return readTextIfThere(joinPath(this.#dir, machineId, nameFile))?.trim() ?? machineId
  }

  usage(): { readonly bytes: number; readonly files: number } {
    return logUsageBelow(this.#dir)
  }

  #keep({ instance, after, at, bytes }: LogPiece, machineId: string): LogPosition | null {
    const copy = `${machineId}/${instanceDir(instance)}`
    const dir = joinPath(this.#dir, copy)
    const files = listLogFiles(dir)
    const last = files.at(-1)
    const end = endOf(last)
    const text = Buffer.from(bytes, 'base64')
    if (text.length === 0 || (after !== null && !samePosition(after, end))) return end
    const [ino, start, firstTime] = at
    const [number = 0] = last?.name.split('_').map(Number) ?? []
    const isFull = last === undefined || last.end - last.start >= limits.keptLogSegmentBytes
    const goesOn = !isFull && samePosition(at, end)
    const gap = after === null && last !== undefined
    const name = goesOn
      ? last.name
      : segmentName({ number: number + 1, ino, start, firstTime, gap })
    requireSegmentName(name)
    appendToSegment(dir, name, text, goesOn ? last.end - last.start : 0)
    this.#grow(copy, text.length)
    this.#trim(copy, listLogFiles(dir))
    this.#giveUp(copy)
    return [ino, start + text.length, firstTime]
  }

  #trim(copy: string, files: readonly LogFile[]): void {
    let bytes = files.reduce((sum, { start, end }) => sum + end - start, 0)
    for (const [index, { dir, name, start, end }] of files.entries()) {
      const rest = bytes - (end - start)
      if (rest < limits.keptLogBytes && files.length - index <= segmentsMax) return
      removeSegment(dir, name)
      this.#grow(copy, start - end)
      bytes = rest
    }
  }

  // ---- all of them together

  /** By a look at the disk, once. */
  #known(): Map<string, Copy> {
    if (this.#copies !== undefined) return this.#copies
    const copies = new Map<string, Copy>()
    for (const machineId of listDir(this.#dir)) {
      for (const unit of listDir(joinPath(this.#dir, machineId))) {
        for (const number of listDir(joinPath(this.#dir, machineId, unit))) {
          const files = listLogFiles(joinPath(this.#dir, machineId, unit, number))
          const bytes = files.reduce((sum, { start, end }) => sum + end - start, 0)
          const grownAtMs = files.at(-1)?.modifiedMs ?? 0
          copies.set(`${machineId}/${unit}/${number}`, { bytes, grownAtMs })
        }
      }
    }
    this.#copies = copies
    return copies
  }

  #grow(copy: string, bytes: number): void {
    const copies = this.#known()
    const known = copies.get(copy) ?? { bytes: 0, grownAtMs: 0 }
    const grownAtMs = this.#clock.wallMs()
    copies.set(copy, { bytes: Math.max(0, known.bytes + bytes), grownAtMs })
  }

  /** The one that has just grown stays. */
  #giveUp(grown: string): void {
    const copies = this.#known()
    let bytes = [...copies.values()].reduce((sum, copy) => sum + copy.bytes, 0)
    if (bytes <= this.#bytesMax) return
    const oldest = [...copies].sort(([, a], [, b]) => a.grownAtMs - b.grownAtMs)
    for (const [copy, { bytes: own }] of oldest) {
      if (bytes <= this.#bytesMax) return
      if (copy === grown) continue
      this.#remove(copy)
      bytes -= own
    }
  }

  #remove(copy: string): void {
    removeTree(joinPath(this.#dir, copy))
    this.#known().delete(copy)
  }

  #forgetGone(members: Members): void {
    const nowMs = this.#clock.nowMs()
    if (nowMs - this.#forgotAtMs < forgetIntervalMs) return
    this.#forgotAtMs = nowMs
    const longAgoMs = this.#clock.wallMs() - weekMs
    for (const [copy, { grownAtMs }] of [...this.#known()]) {
      const [machineId = ''] = copy.split('/')
      if (members.byId(machineId) === undefined && grownAtMs < longAgoMs) this.#remove(copy)
    }
  }

  #requireRoom(): void {
    ensureDir(this.#dir, 0o700)
    const free = freeBytes(this.#dir)
    if (free === undefined || free >= this.#reserveBytes) return
    throw new HolonError(
      'exhausted',
      `keep copies of logs in ${this.#dir}: only ${free} bytes are free there, and ` +
        `${this.#reserveBytes} are left to what is needed more`,
    )
  }

  #name(machineId: string, name: string): void {
    const dir = joinPath(this.#dir, machineId)
    if (exists(joinPath(dir, nameFile)) && this.nameOf(machineId) === name) return
    ensureDir(dir, 0o700)
    writeText(joinPath(dir, nameFile), `${name}\n`, 0o600)
  }
}

function endOf(file: LogFile | undefined): LogPosition | null {
  return file === undefined ? null : [file.ino, file.end, file.segment?.firstTime ?? '']
}

function requireSegmentName(name: string): void {
  if (parseSegmentName(name) !== undefined) return
  throw new HolonError('invalid_argument', `keep a log: ${JSON.stringify(name)} is no place in it`)
}

function instanceDir(instance: string): string {
  const [unit = '', number = '', ...more] = instance.split('/')
  if (isLogName(unit) && /^\d{1,6}$/.test(number) && more.length === 0) return `${unit}/${number}`
  throw new HolonError(
    'invalid_argument',
    `keep a log: ${JSON.stringify(instance)} names no instance`,
  )
}
