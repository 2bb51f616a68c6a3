/**
 * Copies the end of every instance's log to another machine, while it is being written. What can
 * fail, and what then happens, is told in cluster/logs-kept/kept-log.ts.
 *
 * Nothing is done while nobody writes but ask the keeper of the copies now and then whether it is
 * there. A log is watched until the kernel tells that it grew, and then not before everything in it
 * is copied, so that a program that writes a lot costs no more than a round a second. Memory is one
 * call's bytes.
 */
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import {
  type LogKeeping,
  type LogPiece,
  type LogPosition,
  samePosition,
} from '../cluster/logs-kept/kept-log.ts'
import { ensureDir, isDir, joinPath, listDir, watchDir } from '../io/files.ts'
import { nextPiece } from './log-tail.ts'

export interface LogShippingDeps {
  readonly clock: Clock
  readonly keeping: LogKeeping
  readonly report: (message: string) => void
}

/** What is known of one instance's log. */
interface Tail {
  readonly dir: string
  /** Where its copy ends; undefined: not asked yet. */
  end: LogPosition | null | undefined
  watch: Disposable | undefined
}

/** A piece under way, and where the copy ends once it is taken. */
interface Sent {
  readonly piece: LogPiece
  readonly tail: Tail
  readonly end: LogPosition | null
  readonly more: boolean
}

const piecesMax = 256
const retryMs = 5_000
const failuresToTell = 3

export class LogShipping implements AsyncDisposable {
  readonly #deps: LogShippingDeps
  /** `UNIT/N/` below it. */
  readonly #dir: string
  readonly #life = new AbortController()
  readonly #tails = new Map<string, Tail>()
  /** Those that may have something new, the one that has waited longest first. */
  readonly #grown = new Set<string>()
  readonly #dirs = new Map<string, Disposable>()
  #keeper: string | undefined
  #wake = Promise.withResolvers<void>()
  #askedAtMs = Number.NEGATIVE_INFINITY
  /** Calls that failed in a row. */
  #failures = 0
  #running: Promise<void> | undefined

  constructor(deps: LogShippingDeps, dir: string) {
    this.#deps = deps
    this.#dir = dir
  }

  start(): void {
    // As keepers make it.
    ensureDir(this.#dir, 0o750)
    this.#running = this.#run()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(new HolonError('cancelled', 'the agent is stopping'))
    await this.#running
    for (const { watch } of this.#tails.values()) watch?.[Symbol.dispose]()
    for (const watch of this.#dirs.values()) watch[Symbol.dispose]()
  }

  async #run(): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#life
    while (!signal.aborted) {
      const pauseMs = await this.#round(signal).catch((error: unknown) => this.#failed(error))
      await sleep(clock, pauseMs, signal).catch(() => {})
      if (this.#grown.size === 0) await this.#untilWoken(signal)
    }
  }

  /** One call at most; resolves with how long to pause. */
  async #round(signal: AbortSignal): Promise<number> {
    const { clock, keeping } = this.#deps
    this.#look()
    const sent = await this.#collect()
    const nowMs = clock.nowMs()
    const isDue = this.#tails.size > 0 && nowMs - this.#askedAtMs >= limits.logKeeperCheckMs / 2
    if (sent.length === 0 && !isDue) return limits.logShipIntervalMs
    const pieces = sent.map(({ piece }) => piece)
    const { keeper, ends } = await keeping.keep(pieces, { signal })
    this.#askedAtMs = nowMs
    this.#failures = 0
    const isAnother = keeper !== this.#keeper
    if (isAnother) this.#beginAnew()
    this.#keeper = keeper
    const settled = sent.map((each, index) => this.#settle(each, ends[index] ?? null))
    if (!isAnother && settled.every((done) => done)) return limits.logShipIntervalMs
    const bytes = pieces.reduce((sum, piece) => sum + piece.bytes.length, 0)
    return (1000 * bytes) / limits.logShipBytesPerSecond
  }

  /** False: there is more to be sent, or it is known only now what. */
  #settle({ piece, tail, end, more }: Sent, kept: LogPosition | null): boolean {
    tail.end = kept
    const done = !more && samePosition(end, kept)
    if (!done) this.#grown.add(piece.instance)
    return done
  }

  #failed(error: unknown): number {
    if (this.#life.signal.aborted) return 0
    const { code, message } = asHolonError(error)
    this.#beginAnew()
    this.#failures++
    if (code !== 'not_found' && this.#failures === failuresToTell) {
      this.#deps.report(`no other machine takes copies of the logs written here: ${message}`)
    }
    return retryMs
  }

  /** Where copies end is asked again. */
  #beginAnew(): void {
    for (const [instance, tail] of this.#tails) {
      tail.end = undefined
      this.#grown.add(instance)
    }
  }

  // ---- what is new

  async #collect(): Promise<readonly Sent[]> {
    const sent: Sent[] = []
    let left: number = limits.logShipBytes
    for (const instance of [...this.#grown]) {
      const tail = this.#tails.get(instance)
      if (left < limits.keptLogSegmentBytes || sent.length >= piecesMax) break
      this.#grown.delete(instance)
      if (tail === undefined) continue
      this.#watch(instance, tail)
      const all = await this.#next(instance, tail, left)
      sent.push(...all)
      for (const { piece } of all) left -= Buffer.byteLength(piece.bytes, 'base64')
    }
    return sent
  }

  /** As much as there is room for, without a gap: of a flood at least that much is in one piece. */
  async #next(instance: string, tail: Tail, bytesMax: number): Promise<readonly Sent[]> {
    let { end } = tail
    if (end === undefined) {
      const at: LogPosition = [0, 0, '']
      return [{ piece: { instance, after: null, at, bytes: '' }, tail, end: null, more: true }]
    }
    const sent: Sent[] = []
    for (let left = bytesMax; left >= limits.keptLogSegmentBytes; ) {
      const next = await nextPiece(tail.dir, end, limits.keptLogSegmentBytes)
      if (next === undefined) break
      const { after, at, bytes, more } = next
      const [ino, offset, firstTime] = at
      end = [ino, offset + bytes.length, firstTime]
      const piece = { instance, after, at, bytes: bytes.toString('base64') }
      left -= bytes.length
      sent.push({ piece, tail, end, more: more && left < limits.keptLogSegmentBytes })
      if (!more) break
    }
    return sent
  }

  /** Before its log is read, so that nothing is missed; once it has grown it is not needed. */
  #watch(instance: string, tail: Tail): void {
    if (tail.watch !== undefined) return
    tail.watch = this.#watchDir(tail.dir, () => {
      tail.watch?.[Symbol.dispose]()
      tail.watch = undefined
      this.#grown.add(instance)
      this.#wake.resolve()
    })
  }

  /** Undefined when it is gone, or there are no more watches to be had: it is looked at then. */
  #watchDir(dir: string, changed: () => void): Disposable | undefined {
    try {
      return watchDir(dir, changed)
    } catch {
      return undefined
    }
  }

  /** Finds instances that came and went. */
  #look(): void {
    const present = new Set<string>()
    const dirs = new Set([this.#dir])
    for (const unit of listDir(this.#dir)) {
      const unitDir = joinPath(this.#dir, unit)
      dirs.add(unitDir)
      for (const number of listDir(unitDir)) {
        const instance = `${unit}/${number}`
        const dir = joinPath(unitDir, number)
        if (!/^\d+$/.test(number) || !isDir(dir)) continue
        present.add(instance)
        if (this.#tails.has(instance)) continue
        this.#tails.set(instance, { dir, end: undefined, watch: undefined })
        this.#grown.add(instance)
      }
    }
    for (const [instance, { watch }] of this.#tails) {
      if (present.has(instance)) continue
      watch?.[Symbol.dispose]()
      this.#tails.delete(instance)
    }
    this.#follow(dirs)
  }

  #follow(dirs: ReadonlySet<string>): void {
    for (const [dir, watch] of this.#dirs) {
      if (dirs.has(dir)) continue
      watch[Symbol.dispose]()
      this.#dirs.delete(dir)
    }
    for (const dir of dirs) {
      if (this.#dirs.has(dir)) continue
      const watch = this.#watchDir(dir, () => this.#wake.resolve())
      if (watch !== undefined) this.#dirs.set(dir, watch)
    }
  }

  /** Or until the keeper of the copies is to be asked whether it is there. */
  async #untilWoken(signal: AbortSignal): Promise<void> {
    using limit = deadline(this.#deps.clock, limits.logKeeperCheckMs, signal)
    const over = sleep(this.#deps.clock, 2 * limits.logKeeperCheckMs, limit.signal).catch(() => {})
    await Promise.race([this.#wake.promise, over])
    this.#wake = Promise.withResolvers<void>()
    // One that could not be watched.
    for (const [instance, { watch }] of this.#tails) {
      if (watch === undefined) this.#grown.add(instance)
    }
  }
}
