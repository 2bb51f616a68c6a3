/**
 * Clients of State that do random things and write down what they were told, for the checker. They
 * follow the rules for callers: an `unknown` txn is repeated with its operation id.
 */
import { type Clock, deadline, sleep } from '../../src/base/clock.ts'
import { HolonError } from '../../src/base/errors.ts'
import { type Random, randomBelow } from '../../src/base/random.ts'
import { commit, newOperationId } from '../../src/state/commit.ts'
import type { Condition, Entry, State, Txn } from '../../src/state/port.ts'
import type { HistoryRecord, TxnRecord, WatchRecord } from './history-checker.ts'

export interface ClientDeps {
  readonly clock: Clock
  readonly random: Random
}

export interface ClientOptions {
  readonly name: string
  readonly keys: readonly string[]
  /** Ends the client; what is under way is finished. */
  readonly stop: AbortSignal
  /** For one call. */
  readonly callMs: number
  /** Between two calls, at most. */
  readonly pauseMsMax: number
}

export class RecordedClient {
  readonly #deps: ClientDeps
  readonly #state: State
  readonly #options: ClientOptions
  readonly records: HistoryRecord[] = []
  #writes = 0

  constructor(deps: ClientDeps, state: State, options: ClientOptions) {
    this.#deps = deps
    this.#state = state
    this.#options = options
  }

  /** Reads and writes until told to stop. */
  async work(): Promise<void> {
    const { stop, pauseMsMax } = this.#options
    while (!stop.aborted) {
      await this.#step()
      await sleep(this.#deps.clock, this.#deps.random.next() * pauseMsMax, stop).catch(() => {})
    }
  }

  /** Each key once; false when one could not be read. */
  async readAll(): Promise<boolean> {
    let complete = true
    for (const key of this.#options.keys)
      complete = (await this.#read(key)) !== 'failed' && complete
    return complete
  }

  /** Watches everything until told to stop, and lists again when it must. */
  async watch(): Promise<void> {
    const { stop } = this.#options
    while (!stop.aborted) {
      try {
        using limit = deadline(this.#deps.clock, this.#options.callMs, stop)
        const { revision } = await this.#state.list('', { signal: limit.signal })
        await this.#watchFrom(revision)
      } catch (error) {
        if (!(error instanceof HolonError)) throw error
        await sleep(this.#deps.clock, 20, stop).catch(() => {})
      }
    }
  }

  async #watchFrom(from: number): Promise<void> {
    const { name, stop } = this.#options
    const events: WatchRecord['events'][number][] = []
    const invokedAt = this.#deps.clock.nowMs()
    let synced = from
    try {
      for await (const event of this.#state.watch('', from, { signal: stop })) {
        if (event.kind === 'reset') return
        if (event.kind === 'synced') {
          synced = Math.max(synced, event.revision)
          continue
        }
        const { key, revision } = event
        const { operationId } = event.kind === 'put' ? event.entry : {}
        events.push({ key, revision, ...(operationId === undefined ? {} : { operationId }) })
      }
    } finally {
      const returnedAt = this.#deps.clock.nowMs()
      const times = { invokedAt, returnedAt }
      this.records.push({ kind: 'watch', client: name, prefix: '', from, synced, events, ...times })
    }
  }

  async #step(): Promise<void> {
    const key = this.#key()
    const dice = this.#deps.random.next()
    if (dice < 0.3) {
      await this.#read(key)
      return
    }
    if (dice < 0.45) return this.#txn([], [this.#put(key)])
    const entry = await this.#read(key)
    if (entry === 'failed') return
    const conditions = [{ key, revision: entry?.revision ?? 0 }]
    const other = this.#key()
    if (dice < 0.55) await this.#txn(conditions, [{ kind: 'delete', key }])
    else if (dice < 0.7 && other !== key) {
      await this.#txn(conditions, [this.#put(key), this.#put(other)])
    } else await this.#txn(conditions, [this.#put(key)])
  }

  #key(): string {
    const { keys } = this.#options
    return keys[randomBelow(this.#deps.random, keys.length)] ?? ''
  }

  #put(key: string): Txn['then'][number] {
    return { kind: 'put', key, schema: 1, value: `${this.#options.name} ${this.#writes++}` }
  }

  async #read(key: string): Promise<Entry | undefined | 'failed'> {
    const { name, callMs } = this.#options
    const invokedAt = this.#deps.clock.nowMs()
    using limit = deadline(this.#deps.clock, callMs)
    try {
      const entry = await this.#state.get(key, { signal: limit.signal })
      const returnedAt = this.#deps.clock.nowMs()
      const read = { kind: 'read', client: name, key, invokedAt, returnedAt } as const
      this.records.push(entry === undefined ? read : { ...read, entry })
      return entry
    } catch (error) {
      if (!(error instanceof HolonError) || error.code === 'internal') throw error
      return 'failed'
    }
  }

  async #txn(conditions: readonly Condition[], then: Txn['then']): Promise<void> {
    const { name, callMs } = this.#options
    const operationId = newOperationId(this.#deps.random)
    const invokedAt = this.#deps.clock.nowMs()
    using limit = deadline(this.#deps.clock, callMs)
    const txn = { if: conditions, then, operationId, writer: name }
    let result: TxnRecord['result']
    try {
      const answer = await commit(this.#deps, this.#state, txn, { signal: limit.signal })
      result = answer.kind === 'done' ? answer : { kind: 'conflict' }
    } catch (error) {
      if (!(error instanceof HolonError) || error.code === 'internal') throw error
      result = { kind: error.outcome }
    }
    const returnedAt = this.#deps.clock.nowMs()
    const base = { kind: 'txn', client: name, operationId, if: conditions, then } as const
    this.records.push({ ...base, invokedAt, returnedAt, result })
  }
}
