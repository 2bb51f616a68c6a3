/**
 * State: the port behind which desired state, membership and leases are kept. Small, precious, few
 * writes. Several engines stand behind it (embedded, simulated, later a replicated one); one
 * conformance suite holds all of them to the promises below.
 *
 * Promises of every engine:
 * - An acknowledged txn (`done`) is durable and atomic.
 * - Of two txns on the same expected revision at most one ever takes effect.
 * - `conflict` is definite: the operation did not take effect and will not, whichever attempt.
 * - `unavailable` is definite for this attempt; an earlier `unknown` one may still happen.
 * - `unknown` may have happened and may still happen. The caller repeats the *same* txn, with the
 *   same operation id, or reads back by that id; it never invents a new one. `commit` does it.
 * - A repeated operation that took effect is answered `done` with its revision, not done again, for
 *   the last `limits.stateOperationsMax` operations. After that its `if` protects it.
 * - Revisions grow; every key carries the revision of its last change. They do not survive a change
 *   of engine or a restore, so epochs and generations live in values.
 */
import type { HolonError } from '../base/errors.ts'

export interface SignalOptions {
  /** Ends the call. What a txn did by then is said by the error's `outcome`. */
  readonly signal: AbortSignal
}

/** A key and its value, in the envelope that says who wrote it. */
export interface Entry {
  readonly key: string
  /** Of the txn that wrote it; always above 0. */
  readonly revision: number
  /** Plain JSON, unparsed: the reader checks it against `schema`. */
  readonly value: unknown
  /** Version of the value's shape, chosen by the writer. */
  readonly schema: number
  /** The txn that wrote it, for reading back after `unknown`. */
  readonly operationId: string
  /** Who wrote it: "agent n1". */
  readonly writer: string
}

export interface Listing {
  /** By key, in the byte order of UTF-8. */
  readonly entries: readonly Entry[]
  /** All entries are of this revision; a watch from it misses nothing. */
  readonly revision: number
}

/** Holds when the key's revision is exactly this one; 0: when the key does not exist. */
export interface Condition {
  readonly key: string
  readonly revision: number
}

export interface Put {
  readonly kind: 'put'
  readonly key: string
  /** Anything that JSON can hold. Later changes to the object are not seen. */
  readonly value: unknown
  /** Version of the value's shape. */
  readonly schema: number
}

/** Deleting a key that does not exist is no error. */
export interface Delete {
  readonly kind: 'delete'
  readonly key: string
}

export interface Txn {
  /** All must hold, or nothing happens. A key at most once. */
  readonly if: readonly Condition[]
  /** All happen, at one revision. A key at most once. */
  readonly then: readonly (Put | Delete)[]
  /**
   * Unique to this txn, for ever: `newId(random, 20)`. Reused for another txn: `invalid_argument`.
   */
  readonly operationId: string
  readonly writer: string
}

/** What a key was when a txn met it; without `entry` it did not exist. */
export interface KeyState {
  readonly key: string
  readonly entry?: Entry
}

export type TxnResult =
  /** Durable. `revision` is the txn's own, or, when `then` is empty, one at which `if` held. */
  | { readonly kind: 'done'; readonly revision: number }
  /** Definite. `current` has all keys of `if`, in their order. */
  | { readonly kind: 'conflict'; readonly current: readonly KeyState[] }
  /** May have happened and may still happen: repeat the same txn. */
  | { readonly kind: 'unknown'; readonly why: string }
  /** Definite: this attempt was not accepted. Repeat it, at once or later. */
  | { readonly kind: 'unavailable'; readonly why: string }

export type WatchEvent =
  | { readonly kind: 'put'; readonly key: string; readonly revision: number; readonly entry: Entry }
  | { readonly kind: 'delete'; readonly key: string; readonly revision: number }
  /** Everything up to `revision` was delivered. Comes at least once, after what was missed. */
  | { readonly kind: 'synced'; readonly revision: number }
  /** Changes were lost to this watch. The last event: list again, watch from that revision. */
  | { readonly kind: 'reset' }

/** What `import` takes: all of a store at one moment. */
export interface StateDump {
  /** Of the store it came from. Informative. */
  readonly revision: number
  readonly entries: readonly Entry[]
}

/** Whether writes are possible now, and if not, the reason and what to do, for people. */
export type StateMode =
  | { readonly kind: 'read-write' }
  | { readonly kind: 'read-only'; readonly why: string; readonly error?: HolonError }

/**
 * Errors of all methods: `invalid_argument` for a malformed key or txn; `unavailable` when the
 * engine cannot be reached or is closed; `internal` with `details.kind` = 'state_damaged' when what
 * is stored is not what was written, never a wrong answer; the signal's own error.
 */
export interface State extends AsyncDisposable {
  /** Which engine: "embedded (sqlite)". */
  readonly engine: string
  readonly mode: StateMode

  /**
   * The entry, or undefined when there is none. Linearizable: sees every txn acknowledged before
   * the call. With `stale` the answer may be older, in exchange for being available more often.
   * Idempotent.
   */
  get(
    key: string,
    options: SignalOptions & { readonly stale?: boolean },
  ): Promise<Entry | undefined>

  /** All keys that begin with `prefix` ('' for all), at one revision. Linearizable. Idempotent. */
  list(prefix: string, options: SignalOptions): Promise<Listing>

  /**
   * Changes after `fromRevision` (a listing's revision) of keys that begin with `prefix`, then new
   * ones as they happen. In order per key; an event may come twice or late, so a consumer ignores
   * what is not newer than what it has. A watch that falls behind the kept history, or comes from
   * an unknown revision, gets `reset` and ends. Ends by throwing when the signal aborts or the
   * engine closes. Holds nothing until iterated.
   */
  watch(prefix: string, fromRevision: number, options: SignalOptions): AsyncIterable<WatchEvent>

  /**
   * Compares and changes, atomically. Further errors: `exhausted`, definite, over a bound of
   * `limits.state*` or with a full disk (reads and deletes go on, except that a full disk may
   * refuse deletes too). Idempotent by operation id.
   */
  txn(txn: Txn, options: SignalOptions): Promise<TxnResult>

  /** Everything, at one revision: for backups and for moving to another engine. Idempotent. */
  export(options: SignalOptions): Promise<StateDump>

  /**
   * Fills an empty store; all entries get new revisions of this store. `already_exists` when it is
   * not empty, `exhausted` over the quota. All or nothing; `outcome: 'unknown'` as for a txn.
   */
  import(dump: StateDump, options: SignalOptions): Promise<{ readonly revision: number }>

  /** Waits for queued txns, ends watches, frees everything. Once or twice alike. */
  close(): Promise<void>
}
