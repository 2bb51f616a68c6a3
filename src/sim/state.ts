/**
 * The fleet's State as one simulated machine reaches it: one store, which the machines that keep
 * the state serve while a majority of them are alive and see each other. Requests and answers are
 * lost, late and ambiguous as the port allows; a txn that was answered `unknown` may still happen.
 */
import { abortError, type Clock, sleep, withSignal } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { type CheckedTxn, checkTxn } from '../state/check-txn.ts'
import type { Decision } from '../state/draft.ts'
import { closedError, notDone } from '../state/ending.ts'
import type {
  Entry,
  Listing,
  SignalOptions,
  State,
  StateDump,
  StateMode,
  Txn,
  TxnResult,
  WatchEvent,
} from '../state/port.ts'
import type { SimulatedStore } from '../state/simulated.ts'
import { toEntry } from '../state/stored.ts'
import type { Gate } from './gate.ts'
import type { World } from './world.ts'

/** What may go wrong between a machine and the engine, by probability. */
export interface EngineWeather {
  unknown: number
  /** Events of watches are late. */
  late: number
  /** Requests and answers take seconds. */
  slow: number
  /** Watches: an event comes again. */
  duplicates: number
  reset: number
}

export const goodEngine: EngineWeather = { unknown: 0, late: 0, slow: 0, duplicates: 0, reset: 0 }

export interface Engine {
  readonly store: SimulatedStore
  readonly weather: EngineWeather
  /** Whether the machine gets an answer from the engine now. */
  reaches(machineId: string): boolean
  /** The store decided about a txn. */
  decided(txn: CheckedTxn, decision: Decision): void
  /** A machine's call comes to this moment. Answers how much later what is on its way arrives. */
  reached(machineId: string, moment: StateMoment): number
}

/**
 * `sent`: a txn has left its machine. `claimed`: it is one that has more conditions than one.
 * `decided`: its answer is on its way back. `read`: so is another one; `text`: so is the
 * text of what must not run twice.
 */
export type StateMoment = 'sent' | 'claimed' | 'decided' | 'read' | 'text'

interface Trip {
  /** What it is when the engine has served it. */
  readonly served: StateMoment
  /** The request finds nobody. */
  readonly missed?: () => void
  /** How much later the request arrives. */
  readonly lateMs?: number
}

const unreachableMs = 1_500
const latencyMsMax = 6
const slowMsMax = 6_000
const lateMsMax = 12_000
const eventLateMsMax = 400
const watchLookMs = 500

export class SimState implements State {
  readonly engine = 'simulated'
  readonly mode: StateMode = { kind: 'read-write' }
  readonly #world: World
  readonly #engine: Engine
  readonly #machineId: string
  readonly #clock: Clock
  readonly #gate: Gate
  readonly #end = new AbortController()

  constructor(world: World, engine: Engine, machineId: string, clock: Clock, gate: Gate) {
    this.#world = world
    this.#engine = engine
    this.#machineId = machineId
    this.#clock = clock
    this.#gate = gate
  }

  get(key: string, { signal }: SignalOptions): Promise<Entry | undefined> {
    const { store } = this.#engine
    const isOfOne = key.startsWith('text/') && store.read(key)?.json.includes('at-most') === true
    return this.#ask(signal, isOfOne ? 'text' : 'read', () => {
      const stored = store.read(key)
      return stored === undefined ? undefined : toEntry(stored)
    })
  }

  list(prefix: string, { signal }: SignalOptions): Promise<Listing> {
    const { store } = this.#engine
    return this.#ask(signal, 'read', () => {
      const stored = store.keys(prefix).map((key) => store.read(key))
      const entries = stored.filter((entry) => entry !== undefined).map(toEntry)
      return { entries, revision: store.revision }
    })
  }

  async txn(txn: Txn, { signal }: SignalOptions): Promise<TxnResult> {
    this.#admit(signal)
    const { store, weather } = this.#engine
    if (!this.#reaches()) {
      await sleep(this.#clock, unreachableMs, signal)
      return { kind: 'unavailable', why: 'nobody serves the state (simulated)' }
    }
    const checked = checkTxn(txn)
    const finish = store.attempt(checked)
    const decide = () => {
      const decision = finish(true)
      if (decision !== undefined) this.#engine.decided(checked, decision)
      return decision
    }
    if (!this.#chance(weather.unknown)) {
      const moment = txn.if.length > 1 ? 'claimed' : 'sent'
      const lateMs = this.#engine.reached(this.#machineId, moment)
      const box = await this.#trip(signal, decide, {
        missed: () => void finish(false),
        lateMs,
        served: 'decided',
      })
      if (box?.value?.kind === 'refused') throw box.value.error
      if (box?.value !== undefined) return box.value
      // The answer is lost when the engine went away meanwhile.
      await sleep(this.#clock, unreachableMs, signal)
      return { kind: 'unknown', why: 'no answer (simulated)' }
    }
    this.#doOrNot(decide, finish)
    await sleep(this.#clock, this.#world.between(1, unreachableMs), signal)
    return { kind: 'unknown', why: 'no answer (simulated)' }
  }

  /** Now, or never, or long after its sender was told that nobody knows. */
  #doOrNot(decide: () => unknown, finish: (decide: boolean) => unknown): void {
    const fate = this.#world.random.next()
    const ms = this.#world.between(0, fate < 0.4 ? latencyMsMax : lateMsMax)
    this.#world.after(ms, () => {
      if (fate < 0.7 && this.#reaches()) decide()
      else finish(false)
    })
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    { signal }: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    this.#admit(signal)
    const ended = AbortSignal.any([signal, this.#end.signal])
    const feed = new Feed(this.#world, this.#engine, this.#machineId, this.#gate)
    feed.follow(this.#engine.store.history.watch(prefix, fromRevision, feed.signal))
    try {
      while (true) {
        const event = await withSignal(feed.next(), ended)
        yield event
        if (event.kind === 'reset') return
      }
    } finally {
      feed.end()
    }
  }

  async export(_options: SignalOptions): Promise<StateDump> {
    throw new HolonError('unsupported', 'export: not in a simulation')
  }

  async import(): Promise<{ readonly revision: number }> {
    throw new HolonError('unsupported', 'import: not in a simulation')
  }

  async close(): Promise<void> {
    this.#end.abort(closedError())
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #admit(signal: AbortSignal): void {
    if (this.#end.signal.aborted) throw closedError()
    if (signal.aborted) throw notDone(signal)
  }

  #reaches(): boolean {
    return this.#engine.reaches(this.#machineId)
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#world.chance(probability)
  }

  async #ask<T>(signal: AbortSignal, served: StateMoment, work: () => T): Promise<T> {
    this.#admit(signal)
    const box = this.#reaches() ? await this.#trip(signal, work, { served }) : undefined
    if (box !== undefined) return box.value
    await sleep(this.#clock, unreachableMs, signal)
    throw new HolonError('unavailable', 'nobody serves the state (simulated)')
  }

  /** There and back; undefined when the request found nobody, or the answer no way back. */
  #trip<T>(
    signal: AbortSignal,
    work: () => T,
    { served, missed, lateMs = 0 }: Trip,
  ): Promise<{ readonly value: T } | undefined> {
    const world = this.#world
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(abortError(signal))
      const answer = (box: { readonly value: T } | undefined) =>
        this.#gate.enter(() => {
          signal.removeEventListener('abort', onAbort)
          timer[Symbol.dispose]()
          resolve(box)
        })
      signal.addEventListener('abort', onAbort, { once: true })
      // Nobody waits for longer; what is on its way goes on.
      const timer = this.#clock.timer(limits.stateAttemptMs, () => answer(undefined))
      world.after(this.#legMs() + lateMs, () => {
        if (!this.#reaches()) {
          missed?.()
          return answer(undefined)
        }
        const box = { value: work() }
        const ms = this.#legMs() + this.#engine.reached(this.#machineId, served)
        // A slow one is on its way already, whatever happens to the way meanwhile.
        const isSlow = ms > latencyMsMax
        world.after(ms, () => answer(isSlow || this.#reaches() ? box : undefined))
      })
    })
  }

  /** One way to the engine, or back. */
  #legMs(): number {
    const isSlow = this.#chance(this.#engine.weather.slow)
    return this.#world.between(0.2, isSlow ? slowMsMax : latencyMsMax)
  }
}

/** The events of one watch on their way to its machine, in order. */
class Feed {
  readonly #world: World
  readonly #engine: Engine
  readonly #machineId: string
  readonly #gate: Gate
  readonly #end = new AbortController()
  readonly #ready: WatchEvent[] = []
  #wake: (() => void) | undefined
  #failure: unknown
  #readyAtMs = 0

  constructor(world: World, engine: Engine, machineId: string, gate: Gate) {
    this.#world = world
    this.#engine = engine
    this.#machineId = machineId
    this.#gate = gate
  }

  get signal(): AbortSignal {
    return this.#end.signal
  }

  follow(events: AsyncIterable<WatchEvent>): void {
    void this.#follow(events)
    this.#look(0)
  }

  end(): void {
    this.#end.abort(closedError())
  }

  async next(): Promise<WatchEvent> {
    while (true) {
      const event = this.#ready.shift()
      if (event !== undefined) return event
      if (this.#failure !== undefined) throw this.#failure
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
  }

  async #follow(events: AsyncIterable<WatchEvent>): Promise<void> {
    try {
      for await (const event of events) {
        const { weather } = this.#engine
        if (this.#chance(weather.reset)) return this.#deliver({ kind: 'reset' })
        this.#deliver(event)
        if (event.kind === 'put' && this.#chance(weather.duplicates)) this.#deliver(event)
      }
    } catch {
      // The watch has ended; who waits for it knows.
    }
  }

  #deliver(event: WatchEvent): void {
    const late = this.#chance(this.#engine.weather.late) ? eventLateMsMax : latencyMsMax
    const atMs = Math.max(this.#readyAtMs, this.#world.nowMs + this.#world.between(0.2, late))
    this.#readyAtMs = atMs
    this.#world.after(atMs - this.#world.nowMs, () => this.#arrive(event))
  }

  #arrive(event: WatchEvent): void {
    // What was on its way when the engine went away is lost with the watch.
    if (this.#failure !== undefined || this.#end.signal.aborted) return
    if (!this.#engine.reaches(this.#machineId)) {
      this.#fail()
      return
    }
    this.#gate.enter(() => {
      this.#ready.push(event)
      this.#wake?.()
    })
  }

  #chance(probability: number): boolean {
    return probability > 0 && this.#world.chance(probability)
  }

  #look(sinceMs: number): void {
    if (this.#end.signal.aborted || this.#failure !== undefined || this.#gate.isDead) return
    const silentMs = this.#engine.reaches(this.#machineId) ? 0 : sinceMs + watchLookMs
    if (silentMs > 4 * watchLookMs) this.#fail()
    else this.#world.after(watchLookMs, () => this.#look(silentMs))
  }

  #fail(): void {
    this.#gate.enter(() => {
      this.#failure = new HolonError('unavailable', 'the watch has ended (simulated)')
      this.#wake?.()
    })
  }
}
