/**
 * The fleet's State as one simulated machine reaches it: one store, which the machines that keep
 * the state serve while a majority of them are alive and see each other. Requests and answers are
 * lost, late and ambiguous as the port allows; a txn that was answered `unknown` may still happen.
 */
import { type Clock, sleep, withSignal } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
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
import { SimulatedState, type SimulatedStore } from '../state/simulated.ts'
import type { Gate } from './gate.ts'
import type { World } from './world.ts'

/** What may go wrong between a machine and the engine, by probability. */
export interface EngineWeather {
  unknown: number
  late: number
  /** Watches: an event comes again. */
  duplicates: number
  reset: number
}

export interface Engine {
  readonly store: SimulatedStore
  readonly weather: EngineWeather
  /** Whether the machine gets an answer from the engine now. */
  reaches(machineId: string): boolean
}

const unreachableMs = 1_500
const latencyMsMax = 6
const lateMsMax = 12_000
const watchLookMs = 500

export class SimState implements State {
  readonly engine = 'simulated'
  readonly mode: StateMode = { kind: 'read-write' }
  readonly #world: World
  readonly #engine: Engine
  readonly #machineId: string
  readonly #clock: Clock
  readonly #gate: Gate
  readonly #inner: SimulatedState
  readonly #end = new AbortController()

  constructor(world: World, engine: Engine, machineId: string, clock: Clock, gate: Gate) {
    this.#world = world
    this.#engine = engine
    this.#machineId = machineId
    this.#clock = clock
    this.#gate = gate
    this.#inner = new SimulatedState({ clock, random: world.random }, engine.store)
  }

  get(key: string, options: SignalOptions): Promise<Entry | undefined> {
    return this.#ask(options, () => this.#inner.get(key, { signal: never }))
  }

  list(prefix: string, options: SignalOptions): Promise<Listing> {
    return this.#ask(options, () => this.#inner.list(prefix, { signal: never }))
  }

  async txn(txn: Txn, { signal }: SignalOptions): Promise<TxnResult> {
    this.#admit(signal)
    const { weather } = this.#engine
    if (!this.#reaches()) {
      await sleep(this.#clock, unreachableMs, signal)
      return { kind: 'unavailable', why: 'nobody serves the state (simulated)' }
    }
    const decide = () => this.#inner.txn(txn, { signal: never })
    if (!this.#world.chance(weather.unknown)) {
      const result = await withSignal(this.#trip(decide), signal)
      // The answer is lost when the engine went away meanwhile.
      if (result !== undefined) return result
      await sleep(this.#clock, unreachableMs, signal)
      return { kind: 'unknown', why: 'no answer (simulated)' }
    }
    const fate = this.#world.random.next()
    if (fate < 0.4) void this.#trip(decide)
    else if (fate < 0.7) {
      // It happens long after its sender was told that nobody knows.
      this.#world.after(this.#world.between(0, lateMsMax), () => {
        if (this.#engine.reaches(this.#machineId)) void decide()
      })
    }
    await sleep(this.#clock, this.#world.between(1, unreachableMs), signal)
    return { kind: 'unknown', why: 'no answer (simulated)' }
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

  async #ask<T>({ signal }: SignalOptions, work: () => Promise<T>): Promise<T> {
    this.#admit(signal)
    const box = this.#reaches()
      ? await withSignal(
          this.#trip(async () => ({ value: await work() })),
          signal,
        )
      : undefined
    if (box !== undefined) return box.value
    await sleep(this.#clock, unreachableMs, signal)
    throw new HolonError('unavailable', 'nobody serves the state (simulated)')
  }

  /** There and back; undefined when the answer found nobody or nothing to come back through. */
  #trip<T>(work: () => Promise<T>): Promise<T | undefined> {
    return new Promise((resolve, reject) => {
      const world = this.#world
      world.after(world.between(0.2, latencyMsMax), () => {
        if (!this.#reaches()) return this.#gate.enter(() => resolve(undefined))
        work().then(
          (result) =>
            world.after(world.between(0.2, latencyMsMax), () =>
              this.#gate.enter(() => resolve(this.#reaches() ? result : undefined)),
            ),
          (error: unknown) => this.#gate.enter(() => reject(error)),
        )
      })
    })
  }
}

const never = new AbortController().signal

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
        if (this.#world.chance(weather.reset)) return this.#deliver({ kind: 'reset' })
        this.#deliver(event)
        if (event.kind === 'put' && this.#world.chance(weather.duplicates)) this.#deliver(event)
      }
    } catch {
      // The watch has ended; who waits for it knows.
    }
  }

  #deliver(event: WatchEvent): void {
    const late = this.#world.chance(this.#engine.weather.late) ? 400 : latencyMsMax
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
