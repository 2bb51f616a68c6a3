/**
 * The simulated engine: a store in memory, and connections to it that keep every promise of the
 * port or, with chaos, only the promises. The seed behind `random` decides everything, so the same
 * seed on the same simulated clock gives the same trace.
 */
import { assert } from '../base/assert.ts'
import { type Clock, sleep, withSignal } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import { type Chaos, noChaos } from './chaos.ts'
import { type CheckedTxn, checkTxn } from './check-txn.ts'
import { type Committed, type Decision, Draft, type DraftTarget } from './draft.ts'
import { checkDump } from './dump.ts'
import { closedError, notDone } from './ending.ts'
import { History } from './history.ts'
import { KeyIndex } from './key-index.ts'
import { checkKey, checkPrefix } from './keys.ts'
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
} from './port.ts'
import { type StoredEntry, toEntry } from './stored.ts'

export interface SimulatedOptions {
  /** Default: limits.stateBytesMax. */
  readonly bytesMax?: number
  /** Default: limits.stateHistoryChangesMax. */
  readonly historyChangesMax?: number
}

/** The durable part: outlives its connections, as a database outlives an agent. */
export class SimulatedStore {
  readonly history: History
  readonly #bytesMax: number
  readonly #values = new Map<number, StoredEntry>()
  readonly #previous = new Map<string, StoredEntry | undefined>()
  readonly #committed: Committed = {
    index: new KeyIndex(),
    operations: new Map(),
    slotById: new Map(),
    meta: { revision: 0, entries: 0, operations: 0, sum: 0n },
    nextId: 1,
  }
  readonly #target: DraftTarget = {
    putEntry: (id, stored) => {
      this.#previous.set(stored.key, this.#values.get(id))
      this.#values.set(id, stored)
    },
    deleteEntry: (id) => {
      const stored = this.#values.get(id)
      if (stored !== undefined) this.#previous.set(stored.key, stored)
      this.#values.delete(id)
    },
    putOperation: () => undefined,
    readEntry: (key) => {
      const stored = this.read(key)
      assert(stored !== undefined, `the index has "${key}"`)
      return stored
    },
  }
  /** Attempts under way, by operation, and whether one of them was answered `conflict`. */
  readonly #attempts = new Map<string, { count: number; refused: boolean }>()

  constructor(options: SimulatedOptions = {}) {
    this.#bytesMax = options.bytesMax ?? limits.stateBytesMax
    this.history = new History(0, options.historyChangesMax)
  }

  get revision(): number {
    return this.#committed.meta.revision
  }

  read(key: string): StoredEntry | undefined {
    const row = this.#committed.index.get(key)
    return row === undefined ? undefined : this.#values.get(row.id)
  }

  /** What `read` answered before the last change of the key. */
  readPrevious(key: string): StoredEntry | undefined {
    return this.#previous.get(key)
  }

  keys(prefix: string): readonly string[] {
    return this.#committed.index.keys(prefix)
  }

  /**
   * An attempt at a txn begins; the function ends it, once, by deciding or (`false`) by vanishing.
   */
  attempt(txn: CheckedTxn): (decide: boolean) => Decision | undefined {
    const attempts = this.#attempts.get(txn.operationId) ?? { count: 0, refused: false }
    this.#attempts.set(txn.operationId, attempts)
    attempts.count += 1
    return (decide) => {
      attempts.count -= 1
      if (attempts.count === 0) this.#attempts.delete(txn.operationId)
      if (!decide) return undefined
      // `conflict` is definite, so an attempt that comes later must not succeed after all.
      if (attempts.refused) return this.#conflict(txn)
      const decision = this.#write((draft) => draft.decide(txn))
      attempts.refused ||= decision.kind === 'conflict'
      return decision
    }
  }

  fill(entries: readonly StoredEntry[]): void {
    if (entries.length > 0) this.#write((draft) => draft.fill(entries))
  }

  #write<T>(work: (draft: Draft) => T): T {
    const draft = new Draft(this.#committed, this.#target, this.#bytesMax)
    const result = work(draft)
    draft.settle()
    for (const changes of draft.changes) this.history.append(this.revision, changes)
    return result
  }

  #conflict(txn: CheckedTxn): Decision {
    const current = txn.conditions.map(({ key }) => {
      const stored = this.read(key)
      return stored === undefined ? { key } : { key, entry: toEntry(stored) }
    })
    return { kind: 'conflict', current }
  }
}

export interface SimulatedDeps {
  readonly clock: Clock
  readonly random: Random
}

/** One connection to a simulated store. */
export class SimulatedState implements State {
  readonly engine = 'simulated'
  readonly mode: StateMode = { kind: 'read-write' }
  readonly #deps: SimulatedDeps
  readonly #store: SimulatedStore
  readonly #chaos: Chaos
  readonly #end = new AbortController()

  constructor(deps: SimulatedDeps, store: SimulatedStore, chaos: Partial<Chaos> = {}) {
    this.#deps = deps
    this.#store = store
    this.#chaos = { ...noChaos, ...chaos }
  }

  async get(
    key: string,
    options: SignalOptions & { readonly stale?: boolean },
  ): Promise<Entry | undefined> {
    checkKey(key)
    return this.#call(options, () => {
      const old = options.stale === true && this.#chance('stale')
      const stored = old ? this.#store.readPrevious(key) : this.#store.read(key)
      return stored === undefined ? undefined : toEntry(stored)
    })
  }

  async list(prefix: string, options: SignalOptions): Promise<Listing> {
    checkPrefix(prefix)
    return this.#call(options, () => {
      const stored = this.#store.keys(prefix).map((key) => this.#store.read(key))
      const entries = stored.filter((entry) => entry !== undefined).map(toEntry)
      return { entries, revision: this.#store.revision }
    })
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    { signal }: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix)
    this.#admit(signal)
    const ended = AbortSignal.any([signal, this.#end.signal])
    // The last event of each key, so that a repeated one is never older than what came before.
    const last = new Map<string, WatchEvent>()
    for await (const event of this.#store.history.watch(prefix, fromRevision, ended)) {
      if (this.#chance('unavailable')) throw unavailableError()
      if (this.#chance('reset')) return yield { kind: 'reset' }
      if (this.#chance('late')) await sleep(this.#deps.clock, this.#lateMs(), ended)
      yield event
      if (event.kind === 'put' || event.kind === 'delete') last.set(event.key, event)
      if (last.size > 0 && this.#chance('duplicate')) {
        const again = [...last.values()][Math.floor(this.#deps.random.next() * last.size)]
        if (again !== undefined) yield again
      }
    }
  }

  async txn(txn: Txn, { signal }: SignalOptions): Promise<TxnResult> {
    const checked = checkTxn(txn)
    this.#admit(signal)
    if (this.#chance('unavailable')) {
      await this.#travel(signal)
      return { kind: 'unavailable', why: 'simulated' }
    }
    const finish = this.#store.attempt(checked)
    if (!this.#chance('unknown')) return this.#decide(finish, signal)
    const fate = this.#deps.random.next()
    if (fate < 1 / 3) finish(true)
    else if (fate < 2 / 3) finish(false)
    else this.#deps.clock.timer(this.#lateMs(), () => void finish(true), { background: true })
    await this.#travel(signal)
    return { kind: 'unknown', why: 'simulated' }
  }

  async export(options: SignalOptions): Promise<StateDump> {
    return this.list('', options)
  }

  async import(dump: StateDump, options: SignalOptions): Promise<{ readonly revision: number }> {
    const entries = checkDump(dump)
    return this.#call(options, () => {
      if (this.#store.keys('').length > 0) {
        throw new HolonError('already_exists', 'import into the state: it is not empty')
      }
      this.#store.fill(entries)
      return { revision: this.#store.revision }
    })
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

  /** The attempt arrives whether or not the caller still waits for the answer. */
  async #decide(
    finish: (decide: boolean) => Decision | undefined,
    signal: AbortSignal,
  ): Promise<TxnResult> {
    const decision = await withSignal(
      this.#arrive(() => finish(true)),
      signal,
    )
    assert(decision !== undefined, 'a decided attempt')
    await this.#travel(signal)
    if (decision.kind === 'refused') throw decision.error
    return decision
  }

  async #call<T>({ signal }: SignalOptions, work: () => T): Promise<T> {
    this.#admit(signal)
    await this.#travel(signal)
    if (this.#chance('unavailable')) throw unavailableError()
    const result = work()
    await this.#travel(signal)
    return result
  }

  async #travel(signal: AbortSignal): Promise<void> {
    const ms = this.#latencyMs()
    if (ms > 0) await sleep(this.#deps.clock, ms, signal)
  }

  #arrive<T>(work: () => T): Promise<T> {
    const ms = this.#latencyMs()
    if (ms === 0) return Promise.resolve().then(work)
    return new Promise((resolve, reject) => {
      this.#deps.clock.timer(ms, () => void Promise.resolve().then(work).then(resolve, reject))
    })
  }

  #latencyMs(): number {
    const { latencyMsMax } = this.#chaos
    return latencyMsMax === 0 ? 0 : this.#deps.random.next() * latencyMsMax
  }

  #lateMs(): number {
    return this.#deps.random.next() * this.#chaos.lateMsMax
  }

  #chance(kind: 'unknown' | 'unavailable' | 'duplicate' | 'late' | 'reset' | 'stale'): boolean {
    const probability = this.#chaos[kind]
    // Without chaos nothing is drawn, so turning one kind on does not disturb the others' callers.
    return probability > 0 && this.#deps.random.next() < probability
  }
}

function unavailableError(): HolonError {
  return new HolonError('unavailable', 'the state is unavailable (simulated)')
}
