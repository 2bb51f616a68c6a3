/**
 * Reading logs: those of one or several instances, merged by time, page by page.
 *
 * Nothing is kept between calls: the cursor says where each instance's log is to be read on, so it
 * stays good when the agent is restarted and when files are rotated. What is damaged in a log is
 * skipped, and an entry in its place says so.
 */
import { isUtf8 } from 'node:buffer'
import { abortError, type Clock, deadline, remainingMs, sleep } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { LogPosition } from '../cluster/logs-kept/kept-log.ts'
import { joinPath, listDir, watchDir } from '../io/files.ts'
import { listLogFiles, logUsageBelow } from '../io/log-files.ts'
import type { LogEntry, LogPage, LogQuery, LogUsage } from '../kernel/log-types.ts'
import type { CallOptions } from '../kernel/types.ts'
import { BackwardLines, LogSource, type PlacedLine } from './log-source.ts'

export interface LogsDeps {
  readonly clock: Clock
}

export interface LogsOptions {
  readonly machine: string
  /** Below it are the logs of all jobs. */
  readonly dir: string
}

/** One instance's log. */
export interface LogSourceAddress {
  readonly instance: string
  readonly dir: string
  /** Whose log it is, if another machine's. */
  readonly machine?: string
}

/** Below a directory of logs, those of a unit's instances: `unit/number`, in order of number. */
export function unitLogs(
  root: string,
  unit: string,
  instances?: readonly number[],
): readonly LogSourceAddress[] {
  if (!isLogName(unit)) return []
  const dir = joinPath(root, unit)
  return listDir(dir)
    .map(Number)
    .filter((number) => Number.isInteger(number) && (instances?.includes(number) ?? true))
    .sort((a, b) => a - b)
    .map((number) => ({ instance: `${unit}/${number}`, dir: joinPath(dir, String(number)) }))
}

/** What others name becomes a path: only what can be the name of a unit or a machine. */
export function isLogName(name: string): boolean {
  return /^[A-Za-z0-9:_@\\-][A-Za-z0-9:_.@\\-]{0,254}$/.test(name)
}

/** Time of the last line in any of them; undefined where there is none. */
export async function logsEndAtMs(
  sources: readonly LogSourceAddress[],
): Promise<number | undefined> {
  const ends: number[] = []
  for (const { dir } of sources) {
    const last = await new BackwardLines(listLogFiles(dir)).previous()
    if (last !== undefined) ends.push(last.atMs)
  }
  return ends.length === 0 ? undefined : Math.max(...ends)
}

const pageBytesMax = 1024 * 1024
/** What an entry costs beside its text. */
const entryBytes = 200
/** Parts of one line are joined up to here; what is longer comes in several entries. */
const joinedBytesMax = 256 * 1024
/** A safety net under the kernel's file events. */
const pollMs = 1000
/** Left for the answer's way back. */
const answerMs = 500

type Cursor = Readonly<Record<string, LogPosition>>

export class Logs {
  readonly #clock: Clock
  readonly #options: LogsOptions

  constructor({ clock }: LogsDeps, options: LogsOptions) {
    this.#clock = clock
    this.#options = options
  }

  /**
   * `invalid_argument` for a cursor that is none. A missing log is an empty one. Idempotent: the
   * same cursor gives the same entries, and more once there are more.
   */
  async read(
    sources: readonly LogSourceAddress[],
    query: LogQuery,
    { signal }: CallOptions,
  ): Promise<LogPage> {
    const start = query.cursor === undefined ? undefined : decodeCursor(query.cursor)
    if (query.waitMs === undefined || query.waitMs <= 0) {
      return await this.#page(sources, query, start, signal)
    }
    const waitMs = Math.min(query.waitMs, (remainingMs(signal) ?? Infinity) - answerMs)
    using limit = deadline(this.#clock, Math.max(0, waitMs), signal)
    using changes = new LogChanges(this.#clock, sources)
    for (let position = start; ; ) {
      const page = await this.#page(sources, query, position, signal)
      if (page.entries.length > 0) return page
      if (signal.aborted) throw abortError(signal)
      if (limit.signal.aborted) return page
      position = decodeCursor(page.cursor)
      try {
        await changes.next(limit.signal)
      } catch {
        if (signal.aborted) throw abortError(signal)
        return page
      }
    }
  }

  /** Of all logs of this machine. */
  usage(): LogUsage {
    return { ...logUsageBelow(this.#options.dir), missing: [] }
  }

  async #page(
    addresses: readonly LogSourceAddress[],
    query: LogQuery,
    cursor: Cursor | undefined,
    signal: AbortSignal,
  ): Promise<LogPage> {
    const sources = addresses.map(({ instance, dir }) => new LogSource(instance, dir))
    const machines = new Map(addresses.map(({ instance, machine }) => [instance, machine]))
    const known = (source: LogSource) => cursor?.[source.instance]
    const fresh = sources.filter((source) => known(source) === undefined)
    if (cursor === undefined && query.tail !== undefined) await seekTail(fresh, query, signal)
    else if (query.sinceMs !== undefined) {
      for (const source of fresh) await source.seekTime(query.sinceMs)
    }
    for (const source of sources) {
      const position = known(source)
      if (position !== undefined) await source.seekPosition(position)
    }
    const machineOf = (source: LogSource) => machines.get(source.instance) ?? this.#options.machine
    const { entries, full } = await this.#collect(sources, query, { signal, machineOf })
    if (cursor === undefined && query.tail !== undefined) keepLastLines(entries, query.tail)
    const positions: Record<string, LogPosition> = { ...cursor }
    for (const source of sources) positions[source.instance] = await source.position()
    return { entries, cursor: encodeCursor(positions), atEnd: !full, missing: [] }
  }

  async #collect(
    sources: readonly LogSource[],
    query: LogQuery,
    { signal, machineOf }: { signal: AbortSignal; machineOf: (source: LogSource) => string },
  ) {
    const entries: LogEntry[] = []
    let bytes = 0
    const heads = new Map<LogSource, PlacedLine>()
    const advance = async (source: LogSource) => {
      const line = await source.peek()
      const over = line !== undefined && query.untilMs !== undefined && line.atMs > query.untilMs
      if (line === undefined || over) heads.delete(source)
      else heads.set(source, line)
    }
    for (const source of sources) {
      if (signal.aborted) throw abortError(signal)
      await advance(source)
    }
    while (heads.size > 0 && bytes < pageBytesMax) {
      const [source, line] = earliest(heads)
      const text = await joinParts(source, line)
      entries.push(...notes(source, machineOf(source), line.atMs))
      if (isWanted(line, query)) {
        entries.push(entryOf(source, machineOf(source), line, text))
        bytes += text.bytes.length + entryBytes
      }
      // Chunks are read asynchronously, lines within one are not: look up now and then.
      if (entries.length % 256 === 0 && signal.aborted) throw abortError(signal)
      await advance(source)
    }
    for (const source of sources) {
      const atMs = heads.get(source)?.atMs ?? source.files.at(-1)?.modifiedMs ?? 0
      entries.push(...notes(source, machineOf(source), atMs))
    }
    return { entries, full: heads.size > 0 }
  }
}

function entryOf(source: LogSource, machine: string, line: PlacedLine, text: JoinedText): LogEntry {
  return {
    atMs: line.atMs,
    machine,
    instance: source.instance,
    stream: line.stream,
    text: text.bytes.toString(),
    ...(isUtf8(text.bytes) ? {} : { base64: text.bytes.toString('base64') }),
    complete: text.complete,
  }
}

/** What is missing before the line that comes now, if anything, as entries in its place. */
function notes(source: LogSource, machine: string, atMs: number): readonly LogEntry[] {
  const told: string[] = []
  if (source.takeGap()) told.push('lines are missing here: this copy of the log has not got them')
  const damaged = source.takeDamaged()
  if (damaged > 0) {
    told.push(
      `${damaged === 1 ? '1 damaged line' : `${damaged} damaged lines`} of this log skipped`,
    )
  }
  const { instance } = source
  return told.map((text) => ({
    atMs,
    machine,
    instance,
    stream: 'stderr',
    text: `holon: ${text}`,
    complete: true,
  }))
}

interface JoinedText {
  readonly bytes: Buffer
  readonly complete: boolean
}

/** Takes the line, and with a part those that continue it right behind. */
async function joinParts(source: LogSource, first: PlacedLine): Promise<JoinedText> {
  source.take()
  const parts = [first.text]
  let bytes = first.text.length
  let last = first
  while (last.partial) {
    const next = await source.peek()
    if (next === undefined || next.stream !== first.stream) break
    if (bytes + next.text.length > joinedBytesMax) break
    source.take()
    parts.push(next.text)
    bytes += next.text.length
    last = next
  }
  const whole = parts.length === 1 ? first.text : Buffer.concat(parts)
  return { bytes: whole, complete: !last.partial }
}

/** Of lines of one time the first source's comes first, so that an order once shown stays. */
function earliest(heads: ReadonlyMap<LogSource, PlacedLine>): [LogSource, PlacedLine] {
  let found: [LogSource, PlacedLine] | undefined
  for (const [source, line] of heads) {
    if (found === undefined || line.atMs < found[1].atMs) found = [source, line]
  }
  if (found === undefined) throw new RangeError('no lines to choose from')
  return found
}

function isWanted(line: PlacedLine, { stream, sinceMs }: LogQuery): boolean {
  if (stream !== undefined && line.stream !== stream) return false
  return sinceMs === undefined || line.atMs >= sinceMs
}

interface TailSource {
  readonly source: LogSource
  readonly lines: BackwardLines
  /** The line before those taken. */
  head: PlacedLine | undefined
  /** Stream of the earliest line taken: a part before it belongs to it. */
  followedBy: 'stdout' | 'stderr' | undefined
}

/**
 * What was written since the tail was sought pushes out what is now before it. A line in several
 * parts is one line.
 */
function keepLastLines(entries: LogEntry[], count: number): void {
  let surplus = entries.filter((entry) => entry.complete).length - count
  while (surplus > 0) if (entries.shift()?.complete) surplus--
}

/** Puts the sources before the last `query.tail` entries of all of them together. */
async function seekTail(
  sources: readonly LogSource[],
  query: LogQuery,
  signal: AbortSignal,
): Promise<void> {
  const tails: TailSource[] = []
  for (const source of sources) {
    await source.seekEnd()
    const lines = new BackwardLines(source.files)
    tails.push({ source, lines, head: await lines.previous(), followedBy: undefined })
  }
  let count = 0
  for (;;) {
    if (signal.aborted) throw abortError(signal)
    const tail = latest(tails)
    if (tail?.head === undefined) return
    const line = tail.head
    const late = query.untilMs !== undefined && line.atMs > query.untilMs
    if (!continues(tail) && !late && isWanted(line, query)) {
      if (count >= (query.tail ?? 0)) break
      count++
    }
    if (query.sinceMs !== undefined && line.atMs < query.sinceMs) tail.head = undefined
    else await takeBackwards(tail)
  }
  // Parts of the earliest entries that were taken.
  for (const tail of tails) while (continues(tail)) await takeBackwards(tail)
}

function continues({ head, followedBy }: TailSource): boolean {
  return head?.partial === true && head.stream === followedBy
}

async function takeBackwards(tail: TailSource): Promise<void> {
  const line = tail.head
  if (line === undefined) return
  tail.source.seek(line.file, line.offset)
  tail.followedBy = line.stream
  tail.head = await tail.lines.previous()
}

function latest(tails: readonly TailSource[]): TailSource | undefined {
  let found: TailSource | undefined
  for (const tail of tails) {
    if (tail.head === undefined) continue
    if (found?.head === undefined || tail.head.atMs >= found.head.atMs) found = tail
  }
  return found
}

/** Wakes a reader when one of the logs may have grown. */
class LogChanges implements Disposable {
  readonly #clock: Clock
  readonly #ends = new DisposableStack()
  #changed = Promise.withResolvers<void>()

  constructor(clock: Clock, sources: readonly LogSourceAddress[]) {
    this.#clock = clock
    for (const { dir } of sources) {
      try {
        this.#ends.use(watchDir(dir, () => this.#changed.resolve()))
      } catch {
        // No log yet, or no more watches to be had: the poll finds it.
      }
    }
  }

  /** Resolves after a change since the last call, and now and then without one. */
  async next(signal: AbortSignal): Promise<void> {
    using poll = deadline(this.#clock, pollMs, signal)
    const timeUp = sleep(this.#clock, pollMs * 2, poll.signal).catch(() => {})
    await Promise.race([this.#changed.promise, timeUp])
    if (signal.aborted) throw abortError(signal)
    this.#changed = Promise.withResolvers<void>()
  }

  [Symbol.dispose](): void {
    this.#ends.dispose()
  }
}

function encodeCursor(cursor: Cursor): string {
  return Buffer.from(JSON.stringify(cursor)).toString('base64url')
}

function decodeCursor(text: string): Cursor {
  try {
    const value: unknown = JSON.parse(Buffer.from(text, 'base64url').toString())
    if (isCursor(value)) return value
  } catch {
    // Not ours.
  }
  throw new HolonError('invalid_argument', `read logs: ${JSON.stringify(text)} is no cursor`)
}

function isCursor(value: unknown): value is Cursor {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return Object.values(value).every(
    (position: unknown) =>
      Array.isArray(position) &&
      position.length === 3 &&
      Number.isSafeInteger(position[0]) &&
      Number.isSafeInteger(position[1]) &&
      position[1] >= 0 &&
      typeof position[2] === 'string',
  )
}
