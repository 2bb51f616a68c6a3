/**
 * A listing of many machines in pages: all of them are asked at once, and what they answer is
 * passed on as it comes, as text, in no order of machines.
 *
 * Invariants: of each machine one page at most is under way or waits here, and it is asked for the
 * next one when that was passed on. So memory is bounded by limits.fanOutBytes however much there
 * is and however slowly it is read. Who fails is named with the last page. Machines keep nothing
 * between pages, so there is nothing to give back at the end, whichever way it comes.
 */
import { type Clock, deadline, remainingMs, type Timer, withSignal } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Pages } from '../kernel/kernel.ts'
import type { CallOptions, MissingMachine, Page } from '../kernel/types.ts'
import { type FanOutMachine, missingMachine } from './fan-out.ts'
import type { PageWish } from './peer.ts'
import { readTextPage, type TextPage } from './text-page.ts'

export interface FleetPagesOptions<M extends FanOutMachine> {
  /** Names of the lists that the listing is made of, in the order of text pages. */
  readonly lists: readonly string[]
  /** A text page of one machine. */
  readonly ask: (machine: M, page: PageWish, signal: AbortSignal) => Promise<string>
  /** How long a machine has for each page. Default limits.fanOutMs. */
  readonly timeoutMs?: number | undefined
  readonly lastSeenAtMs: (machine: M) => number | undefined
}

/** A machine's page, and how it learns that there is room for another. */
interface Waiting {
  readonly page: TextPage
  readonly passedOn: () => void
}

/** Of the time that the caller has left a machine gets so much: the others' rows must arrive. */
const machineShare = 0.8

export class FleetPages<M extends FanOutMachine, P extends Page> implements Pages<P> {
  readonly #clock: Clock
  readonly #machines: readonly M[]
  readonly #options: FleetPagesOptions<M>
  readonly #end = new AbortController()
  readonly #waiting: Waiting[] = []
  readonly #missing: MissingMachine[] = []
  /** Machines that have not given their last page; undefined before the first `next`. */
  #reading: number | undefined
  #failure: HolonError | undefined
  #news: PromiseWithResolvers<void> | undefined
  /** Of the last `next`: how long its caller waits. */
  #asker: AbortSignal
  #idle: Timer | undefined

  constructor(clock: Clock, machines: readonly M[], options: FleetPagesOptions<M>) {
    this.#clock = clock
    this.#machines = machines
    this.#options = options
    this.#asker = this.#end.signal
  }

  async next(options: CallOptions): Promise<P> {
    return JSON.parse(await this.nextText(options)) as P
  }

  /** The same as JSON text: no objects are made of rows that are only passed on. */
  async nextText({ signal }: CallOptions): Promise<string> {
    this.#idle?.[Symbol.dispose]()
    this.#asker = signal
    if (this.#reading === undefined) this.#begin()
    try {
      while (this.#waiting.length === 0 && this.#reading !== 0) {
        if (this.#failure !== undefined) break
        this.#news ??= Promise.withResolvers()
        await withSignal(this.#news.promise, signal)
      }
      if (this.#failure !== undefined) throw this.#failure
      return this.#take()
    } finally {
      this.#expectCaller()
    }
  }

  [Symbol.dispose](): void {
    this.#giveUp(new HolonError('cancelled', 'the listing was disposed of'))
  }

  #expectCaller(): void {
    if (this.#failure !== undefined) return
    const giveUp = () => this.#giveUp(idleError())
    this.#idle = this.#clock.timer(limits.listingIdleMs, giveUp, { background: true })
  }

  #begin(): void {
    if (this.#failure !== undefined) return
    this.#reading = this.#machines.length
    const share = Math.floor(limits.fanOutBytes / Math.max(1, this.#machines.length))
    const bytes = Math.min(limits.listingPageBytes, Math.max(limits.fanOutPageBytesMin, share))
    for (const machine of this.#machines) void this.#read(machine, bytes)
  }

  /** All pages of one machine. Never rejects. */
  async #read(machine: M, bytes: number): Promise<void> {
    try {
      let page = await this.#ask(machine, { bytes })
      for (;;) {
        const passedOn = this.#offer(page)
        const { cursor } = page
        if (cursor === undefined) return
        await withSignal(passedOn, this.#end.signal)
        page = await this.#ask(machine, { bytes, cursor })
      }
    } catch (error) {
      this.#failed(machine, error)
    } finally {
      this.#reading = (this.#reading ?? 1) - 1
      this.#wake()
    }
  }

  async #ask(machine: M, page: PageWish): Promise<TextPage> {
    const wantedMs = this.#options.timeoutMs ?? limits.fanOutMs
    const leftMs = remainingMs(this.#asker) ?? Number.POSITIVE_INFINITY
    const ms = Math.min(wantedMs, machineShare * leftMs)
    using limit = deadline(this.#clock, ms, this.#end.signal)
    return readTextPage(await this.#options.ask(machine, page, limit.signal))
  }

  /** Resolves when `page` was passed on. */
  #offer(page: TextPage): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#waiting.push({ page, passedOn: resolve })
    this.#wake()
    return promise
  }

  #failed(machine: M, error: unknown): void {
    if (this.#failure !== undefined) return
    try {
      this.#missing.push(missingMachine(machine, asHolonError(error), this.#options))
    } catch (aboutTheQuestion) {
      this.#giveUp(asHolonError(aboutTheQuestion))
    }
  }

  /** What waits here as one page, which is complete when it is the last. */
  #take(): string {
    const lists = this.#options.lists.map((name) => ({ name, texts: [] as string[] }))
    let bytes = 0
    while (bytes < limits.listingPageBytes) {
      const next = this.#waiting.shift()
      if (next === undefined) break
      next.passedOn()
      for (const [i, { texts }] of lists.entries()) {
        const text = next.page.lists[i] ?? ''
        if (text !== '') texts.push(text)
        bytes += text.length
      }
    }
    const last = this.#reading === 0 && this.#waiting.length === 0
    const fields = lists.map(({ name, texts }) => `"${name}":[${texts.join(',')}]`)
    const missing = last ? this.#missing.sort((a, b) => (a.machine < b.machine ? -1 : 1)) : []
    return `{${fields.join(',')},"missing":${JSON.stringify(missing)},"last":${last}}`
  }

  #giveUp(reason: HolonError): void {
    this.#idle?.[Symbol.dispose]()
    if (this.#failure !== undefined) return
    this.#failure = reason
    this.#waiting.length = 0
    this.#end.abort(reason)
    this.#wake()
  }

  #wake(): void {
    this.#news?.resolve()
    this.#news = undefined
  }
}

function idleError(): HolonError {
  return new HolonError(
    'deadline_exceeded',
    `the listing was given up: nobody asked on for ${limits.listingIdleMs} ms; begin it anew`,
    { retryable: true, details: { idleMs: limits.listingIdleMs } },
  )
}
