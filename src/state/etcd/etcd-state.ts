/**
 * State of many machines: etcd, through its JSON gateway. How each promise of the port is kept is
 * said in layout.ts, attempt.ts, feed.ts, upkeep.ts and import.ts; docs/state.md has the overview.
 */
import { type Clock, withSignal } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { checkTxn } from '../check-txn.ts'
import { quotaError } from '../draft.ts'
import { checkDump } from '../dump.ts'
import { closedError, notDone } from '../ending.ts'
import { checkKey, checkPrefix } from '../keys.ts'
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
} from '../port.ts'
import { storedBytes, toEntry } from '../stored.ts'
import { attemptTxn } from './attempt.ts'
import { EtcdClient, type EtcdEndpoint, toBase64 } from './client.ts'
import { isNoSpace } from './faults.ts'
import { Feed } from './feed.ts'
import { importEntries } from './import.ts'
import { only, parseEntry } from './layout.ts'
import { listEntries } from './listing.ts'
import { EtcdStore } from './store.ts'
import { isFull, Upkeep } from './upkeep.ts'

export interface EtcdDeps {
  readonly clock: Clock
  readonly random: Random
}

export interface EtcdOptions {
  /** Where etcd listens for clients; tried in this order. At least one. */
  readonly endpoints: readonly EtcdEndpoint[]
  /** Before all keys in etcd; ends with "/". Default "holon/". */
  readonly prefix?: string
  /** What etcd may hold, its history included. Default: limits.stateBytesMax. */
  readonly bytesMax?: number
  /** Default: limits.stateHistoryChangesMax. */
  readonly historyChangesMax?: number
  /** Default: limits.stateOperationsMax. */
  readonly operationsMax?: number
  /**
   * Whether to compact etcd's history, which is that of all its users. Default true; false where
   * etcd is shared with others, who then see to that.
   */
  readonly compact?: boolean
  /**
   * Room on the disk of an etcd on this machine which is the only one, undefined where it is not
   * or the disk is unknown. Under limits.etcdDiskReserveBytes every change is `exhausted`.
   */
  readonly diskFreeBytes?: () => number | undefined
}

/** Asks nothing yet: an etcd that cannot be reached shows with the first call. */
export function openEtcd(deps: EtcdDeps, options: EtcdOptions): State {
  const prefix = options.prefix ?? 'holon/'
  if (!prefix.endsWith('/')) {
    throw new HolonError('invalid_argument', `the prefix "${prefix}" in etcd does not end with "/"`)
  }
  return new EtcdState(deps, { ...options, prefix })
}

class EtcdState implements State {
  readonly engine = 'etcd'
  readonly #deps: EtcdDeps
  readonly #bytesMax: number
  readonly #client: EtcdClient
  readonly #store: EtcdStore
  readonly #feed: Feed
  readonly #upkeep: Upkeep
  readonly #end = new AbortController()
  readonly #underWay = new Set<Promise<unknown>>()
  #mode: StateMode = { kind: 'read-write' }

  constructor(deps: EtcdDeps, options: EtcdOptions & { readonly prefix: string }) {
    const historyChangesMax = options.historyChangesMax ?? limits.stateHistoryChangesMax
    this.#deps = deps
    this.#bytesMax = options.bytesMax ?? limits.stateBytesMax
    this.#client = new EtcdClient(deps, options.endpoints)
    this.#store = new EtcdStore({ clock: deps.clock, client: this.#client }, options.prefix)
    this.#feed = new Feed(deps.clock, this.#store, historyChangesMax)
    this.#upkeep = new Upkeep(deps.clock, this.#store, {
      bytesMax: this.#bytesMax,
      historyChangesMax,
      operationsMax: options.operationsMax ?? limits.stateOperationsMax,
      compact: options.compact ?? true,
      diskFreeBytes: options.diskFreeBytes ?? (() => undefined),
    })
  }

  get mode(): StateMode {
    return this.#mode
  }

  async get(
    key: string,
    { signal, stale = false }: SignalOptions & { readonly stale?: boolean },
  ): Promise<Entry | undefined> {
    checkKey(key)
    return this.#read({ signal }, async (ended) => {
      const { layout } = this.#store
      const { ranges } = await this.#store.read(
        ({ root }) => [{ key: toBase64(layout.entries(root) + key) }],
        { ...ended, stale },
      )
      const found = only(ranges[0] ?? {})
      return found === undefined ? undefined : toEntry(parseEntry(key, found))
    })
  }

  async list(prefix: string, options: SignalOptions): Promise<Listing> {
    checkPrefix(prefix)
    return this.#read(options, (ended) => listEntries(this.#store, prefix, ended))
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    options: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix)
    this.#admit(options.signal)
    yield* this.#feed.watch(prefix, fromRevision, options)
  }

  async txn(txn: Txn, { signal }: SignalOptions): Promise<TxnResult> {
    const checked = checkTxn(txn)
    this.#admit(signal)
    if (this.#underWay.size >= limits.stateQueueMax) {
      throw new HolonError('exhausted', `${this.#underWay.size} txns wait for etcd already`, {
        details: { limit: 'stateQueueMax' },
        retryable: true,
      })
    }
    return this.#keep(this.#attempt(checked, { signal }))
  }

  async export(options: SignalOptions): Promise<StateDump> {
    return this.list('', options)
  }

  async import(dump: StateDump, options: SignalOptions): Promise<{ readonly revision: number }> {
    const entries = checkDump(dump)
    this.#admit(options.signal)
    const bytes = entries.reduce(
      (sum, { key, json }) => sum + storedBytes(key, Buffer.byteLength(json)),
      0,
    )
    if (bytes > this.#bytesMax) throw quotaError(bytes, this.#bytesMax)
    const work = importEntries(this.#store, this.#deps.random, entries, options)
    return { revision: await this.#keep(work) }
  }

  async close(): Promise<void> {
    if (this.#end.signal.aborted) return
    this.#end.abort(closedError())
    this.#feed.close(closedError())
    await Promise.allSettled(this.#underWay)
    await this.#upkeep.close(closedError())
    this.#client[Symbol.dispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #admit(signal: AbortSignal): void {
    if (this.#end.signal.aborted) throw closedError()
    if (signal.aborted) throw notDone(signal)
  }

  async #attempt(checked: ReturnType<typeof checkTxn>, options: SignalOptions): Promise<TxnResult> {
    try {
      await this.#upkeep.admit(checked, options)
      const result = await attemptTxn(this.#store, checked, options)
      if (result.kind === 'done') this.#upkeep.wrote(checked.bytes, result.revision)
      this.#note(result)
      return result
    } catch (error) {
      if (error instanceof HolonError && (isFull(error) || isNoSpace(error))) {
        this.#mode = { kind: 'read-only', why: error.message, error }
      }
      throw error
    }
  }

  #note(result: TxnResult): void {
    if (result.kind === 'done' || result.kind === 'conflict') this.#mode = { kind: 'read-write' }
    else this.#mode = { kind: 'read-only', why: result.why }
  }

  async #read<T>(options: SignalOptions, work: (options: SignalOptions) => Promise<T>): Promise<T> {
    this.#admit(options.signal)
    const signal = AbortSignal.any([options.signal, this.#end.signal])
    return withSignal(work({ ...options, signal }), signal)
  }

  #keep<T>(work: Promise<T>): Promise<T> {
    this.#underWay.add(work)
    return work.finally(() => this.#underWay.delete(work))
  }
}
