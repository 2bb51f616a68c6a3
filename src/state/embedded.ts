/**
 * State on one machine: SQLite in a file, one writer, the agent. Txns that arrive in one turn share
 * one sync of the disk. A txn is acknowledged when it is durable; reads are of what is durable.
 *
 * Faults: a full disk refuses txns until there is room; a write that certainly did not happen is
 * `unavailable`; a sync that failed is `unknown`, and since nobody can say what the disk holds
 * after that, no txn is accepted until the next open has verified it. Damage is named, never worked
 * around. Reading goes on in all of these.
 */
import { assert } from '../base/assert.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { type CheckedTxn, checkTxn } from './check-txn.ts'
import { Damage, damageError, type FaultKind, sqliteFault, type WayBack } from './damage.ts'
import type { BatchResult, Database } from './database.ts'
import { checkDump } from './dump.ts'
import { closedError, notDone } from './ending.ts'
import { History } from './history.ts'
import { checkKey, checkPrefix } from './keys.ts'
import type { StateLock } from './lock.ts'
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
import { toEntry } from './stored.ts'

interface Waiting {
  readonly txn: CheckedTxn
  readonly signal: AbortSignal
  readonly resolve: (result: TxnResult) => void
  readonly reject: (error: unknown) => void
}

/** What `openEmbedded` (open.ts) has opened; owned by the state from here on. */
export interface EmbeddedDeps {
  readonly database: Database
  /** None while reading only. */
  readonly lock?: StateLock
}

export interface EmbeddedConfig {
  readonly path: string
  readonly wayBack: WayBack
  readonly bytesMax: number
  readonly historyChangesMax: number
  readonly mode: StateMode
}

export class EmbeddedState implements State {
  readonly engine = 'embedded (sqlite)'
  readonly #database: Database
  readonly #lock: StateLock | undefined
  readonly #config: EmbeddedConfig
  readonly #history: History
  #queue: Waiting[] = []
  #closed = false
  #mode: StateMode
  /** No txn is accepted any more. */
  #broken = false

  constructor(deps: EmbeddedDeps, config: EmbeddedConfig) {
    this.#database = deps.database
    this.#lock = deps.lock
    this.#config = config
    this.#mode = config.mode
    this.#broken = config.mode.kind === 'read-only'
    this.#history = new History(deps.database.revision, config.historyChangesMax)
  }

  get mode(): StateMode {
    return this.#mode
  }

  async get(key: string, options: SignalOptions): Promise<Entry | undefined> {
    checkKey(key)
    this.#admit(options.signal)
    const stored = this.#read(() => this.#database.read(key))
    return stored === undefined ? undefined : toEntry(stored)
  }

  async list(prefix: string, options: SignalOptions): Promise<Listing> {
    checkPrefix(prefix)
    this.#admit(options.signal)
    return this.#read(() => {
      const entries = this.#database.keys(prefix).map((key) => {
        const stored = this.#database.read(key)
        assert(stored !== undefined, `the index has "${key}"`)
        return toEntry(stored)
      })
      return { entries, revision: this.#database.revision }
    })
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    options: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix)
    this.#admit(options.signal)
    yield* this.#history.watch(prefix, fromRevision, options.signal)
  }

  async txn(txn: Txn, options: SignalOptions): Promise<TxnResult> {
    const checked = checkTxn(txn)
    this.#admit(options.signal)
    if (this.#queue.length >= limits.stateQueueMax) {
      throw new HolonError('exhausted', `${this.#queue.length} txns wait for the disk already`, {
        details: { limit: 'stateQueueMax' },
        retryable: true,
      })
    }
    return new Promise((resolve, reject) => {
      this.#queue.push({ txn: checked, signal: options.signal, resolve, reject })
      if (this.#queue.length === 1) queueMicrotask(() => this.#flush())
    })
  }

  async export(options: SignalOptions): Promise<StateDump> {
    return this.list('', options)
  }

  async import(dump: StateDump, options: SignalOptions): Promise<{ readonly revision: number }> {
    const entries = checkDump(dump)
    this.#admit(options.signal)
    this.#flush()
    if (this.#broken) throw this.#unavailable()
    if (!this.#database.empty) {
      throw new HolonError('already_exists', 'import into the state: it is not empty')
    }
    if (entries.length === 0) return { revision: this.#database.revision }
    try {
      const changes = this.#database.fill(entries, this.#config.bytesMax)
      this.#committed([changes])
    } catch (error) {
      throw this.#errorOf(error)
    }
    return { revision: this.#database.revision }
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#flush()
    this.#closed = true
    this.#history.close(closedError())
    this.#database[Symbol.dispose]()
    this.#lock?.[Symbol.dispose]()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #admit(signal: AbortSignal): void {
    if (this.#closed) throw closedError()
    if (signal.aborted) throw notDone(signal)
  }

  #read<T>(read: () => T): T {
    try {
      return read()
    } catch (error) {
      throw this.#errorOf(error)
    }
  }

  #flush(): void {
    while (this.#queue.length > 0) {
      const queued = this.#queue
      this.#queue = []
      const batch = queued.filter(({ signal, reject }) => {
        if (signal.aborted) reject(notDone(signal))
        return !signal.aborted
      })
      this.#commit(batch)
    }
  }

  #commit(batch: readonly Waiting[]): void {
    if (this.#broken) {
      for (const { resolve } of batch) resolve({ kind: 'unavailable', why: this.#why() })
      return
    }
    let result: BatchResult
    try {
      const txns = batch.map(({ txn }) => txn)
      result = this.#database.commit(txns, this.#config.bytesMax)
    } catch (error) {
      this.#answerFault(batch, error)
      return
    }
    this.#committed(result.changes)
    result.decisions.forEach((decision, i) => {
      const waiting = batch[i]
      assert(waiting !== undefined, 'one decision for each txn')
      if (decision.kind === 'refused') waiting.reject(decision.error)
      else waiting.resolve(decision)
    })
  }

  /** They are durable; a watch may hear of them before the caller does. */
  #committed(changes: BatchResult['changes']): void {
    this.#mode = { kind: 'read-write' }
    if (changes.length === 0) return
    try {
      this.#database.acknowledge()
    } catch (error) {
      // What was acknowledged until now is safe; more could be lost unnoticed.
      this.#break(asHolonError(error, 'write the record of what was acknowledged'))
    }
    const last = this.#database.revision
    changes.forEach((list, i) => {
      this.#history.append(last - changes.length + 1 + i, list)
    })
  }

  #answerFault(batch: readonly Waiting[], error: unknown): void {
    const fault = sqliteFault(error)
    const mapped = this.#errorOf(error)
    for (const { resolve, reject } of batch) {
      if (fault === 'unsure') resolve({ kind: 'unknown', why: mapped.message })
      else if (fault === 'not-written' || fault === 'busy') {
        resolve({ kind: 'unavailable', why: mapped.message })
      } else reject(mapped)
    }
  }

  /** The error for callers; notes what it means for later txns. */
  #errorOf(error: unknown): HolonError {
    if (error instanceof HolonError) return error
    const fault = error instanceof Damage ? 'damage' : sqliteFault(error)
    const text = error instanceof Error ? error.message : String(error)
    const { path, wayBack } = this.#config
    if (fault === undefined) throw error
    if (fault === 'damage') {
      const damage = damageError(path, text, wayBack)
      this.#break(damage)
      return damage
    }
    const mapped = writeError(fault, path, text, error)
    if (fault === 'unsure') this.#break(mapped)
    else this.#mode = { kind: 'read-only', why: mapped.message, error: mapped }
    return mapped
  }

  #break(error: HolonError): void {
    this.#broken = true
    this.#mode = { kind: 'read-only', why: error.message, error }
  }

  #why(): string {
    return this.#mode.kind === 'read-only' ? this.#mode.why : 'the state takes no changes'
  }

  #unavailable(): HolonError {
    return new HolonError('unavailable', this.#why())
  }
}

function writeError(
  fault: Exclude<FaultKind, 'damage'>,
  path: string,
  text: string,
  cause: unknown,
): HolonError {
  const details = { path, fault }
  switch (fault) {
    case 'full':
      return new HolonError(
        'exhausted',
        `write the state: no room on the disk of "${path}"; make room, it goes on by itself`,
        { details, cause, retryable: true },
      )
    case 'busy':
      return new HolonError(
        'unavailable',
        `write the state: another program has locked "${path}"; end that program`,
        { details, cause },
      )
    case 'not-written':
      return new HolonError('unavailable', `write the state in "${path}": ${text}`, {
        details,
        cause,
      })
    case 'unsure':
      return new HolonError(
        'unavailable',
        `write the state: the disk of "${path}" failed (${text}); check the disk, then restart ` +
          'the agent, which verifies what is stored',
        { details, cause, outcome: 'unknown', retryable: false },
      )
  }
}
