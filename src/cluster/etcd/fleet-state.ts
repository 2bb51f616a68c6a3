/**
 * The fleet's State as the rest of this machine holds it: one object whose engine may change
 * beneath it, from the machine's own store to etcd, or to a link. Writes can be held while that
 * happens; they are answered `unavailable` then, which is definite, so callers repeat them
 * (`commit` does).
 *
 * A watch gets `reset` when the engine changes: revisions are new ones.
 */
import { HolonError } from '../../base/errors.ts'
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
} from '../../state/port.ts'

export class FleetState implements State {
  #current: State
  #changed = new AbortController()
  #heldWhy: string | undefined
  #writing = new Set<Promise<unknown>>()

  /** The engine stays the caller's: `close` closes whichever is current then. */
  constructor(current: State) {
    this.#current = current
  }

  get current(): State {
    return this.#current
  }

  get engine(): string {
    return this.#current.engine
  }

  get mode(): StateMode {
    if (this.#heldWhy !== undefined) return { kind: 'read-only', why: this.#heldWhy }
    return this.#current.mode
  }

  /** No write begins after this, and none is under way when it resolves, until disposed. */
  async hold(why: string): Promise<Disposable> {
    if (this.#heldWhy !== undefined) {
      throw new HolonError('conflict', `hold the state's writes: ${this.#heldWhy} already`)
    }
    this.#heldWhy = why
    await Promise.allSettled([...this.#writing])
    return {
      [Symbol.dispose]: () => {
        this.#heldWhy = undefined
      },
    }
  }

  /** Whoever watches begins again. Gives back the former engine, which is the caller's to close. */
  switchTo(next: State): State {
    const former = this.#current
    this.#current = next
    this.#changed.abort()
    this.#changed = new AbortController()
    return former
  }

  get(
    key: string,
    options: SignalOptions & { readonly stale?: boolean },
  ): Promise<Entry | undefined> {
    return this.#current.get(key, options)
  }

  list(prefix: string, options: SignalOptions): Promise<Listing> {
    return this.#current.list(prefix, options)
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    options: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    const changed = this.#changed.signal
    const signal = AbortSignal.any([options.signal, changed])
    try {
      yield* this.#current.watch(prefix, fromRevision, { signal })
    } catch (error) {
      if (!changed.aborted || options.signal.aborted) throw error
      yield { kind: 'reset' }
    }
  }

  txn(txn: Txn, options: SignalOptions): Promise<TxnResult> {
    if (this.#heldWhy !== undefined) {
      return Promise.resolve({ kind: 'unavailable', why: this.#heldWhy })
    }
    return this.#write(this.#current.txn(txn, options))
  }

  export(options: SignalOptions): Promise<StateDump> {
    return this.#current.export(options)
  }

  import(dump: StateDump, options: SignalOptions): Promise<{ readonly revision: number }> {
    if (this.#heldWhy !== undefined) {
      return Promise.reject(new HolonError('unavailable', `import: ${this.#heldWhy}`))
    }
    return this.#write(this.#current.import(dump, options))
  }

  async close(): Promise<void> {
    await this.#current.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #write<T>(work: Promise<T>): Promise<T> {
    this.#writing.add(work)
    const over = () => this.#writing.delete(work)
    work.then(over, over)
    return work
  }
}
