/**
 * The fleet's State as it crosses a link: machines that run no etcd ask one that does. Values
 * travel as JSON text, so that what arrives is what was written; large answers come in pages, since
 * a frame is bounded.
 *
 * Secrets of the fleet (keys under `fleet/private/`) are not served: a machine that holds them is
 * one that runs etcd. Who may ask at all is decided before, by the link's certificate.
 */
import { abortError, type Clock, deadline, withSignal } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Pages } from '../../kernel/kernel.ts'
import type { CallOptions, Page } from '../../kernel/types.ts'
import { defineInterface } from '../../rpc/interface.ts'
import type { Condition, Delete, Entry, State, Txn, WatchEvent } from '../../state/port.ts'

/** An entry with its value as JSON text. */
export interface WireEntry extends Omit<Entry, 'value'> {
  readonly json: string
}

export interface WirePut {
  readonly kind: 'put'
  readonly key: string
  readonly json: string
  readonly schema: number
}

export interface WireTxn extends Omit<Txn, 'then'> {
  readonly then: readonly (WirePut | Delete)[]
}

/** Without `entry` the key did not exist, unless `tooLarge`: then it is to be read by itself. */
export interface WireKeyState {
  readonly key: string
  readonly entry?: WireEntry
  readonly tooLarge?: boolean
}

export type WireTxnResult =
  | { readonly kind: 'done'; readonly revision: number }
  | { readonly kind: 'conflict'; readonly current: readonly WireKeyState[] }
  | { readonly kind: 'unknown'; readonly why: string }
  | { readonly kind: 'unavailable'; readonly why: string }

export interface WirePage extends Page {
  readonly entries: readonly WireEntry[]
  readonly revision: number
}

export type WireEvent =
  | { readonly kind: 'put'; readonly entry: WireEntry }
  | Exclude<WatchEvent, { readonly kind: 'put' }>

export interface WireEvents {
  /** Empty when nothing happened for a while: ask again. */
  readonly events: readonly WireEvent[]
}

/** A watch; kept until disposed of. */
export interface StateWatch {
  /** Waits for news, for limits.stateWatchPollMs at most. One call at a time; not repeated. */
  next(options: CallOptions): Promise<WireEvents>
}

/** Errors are those of State; `permission_denied` for keys that are not served. */
export interface StateService {
  get(
    key: string,
    how: { readonly stale: boolean },
    options: CallOptions,
  ): Promise<{ readonly entry?: WireEntry }>
  /** The first page, which nearly always is the last. */
  list(prefix: string, options: CallOptions): Promise<WirePage>
  /** All pages of a listing, at one revision, for when there are more. */
  pages(prefix: string, options: CallOptions): Promise<Pages<WirePage>>
  /** See State.txn: may be repeated with the same operation id, by who asks, not by the link. */
  txn(txn: WireTxn, options: CallOptions): Promise<WireTxnResult>
  watch(prefix: string, fromRevision: number, options: CallOptions): Promise<StateWatch>
}

export const statePagesInterface = defineInterface<Pages<WirePage>>('StatePages', {
  next: { args: 0, idempotent: false },
})

export const stateWatchInterface = defineInterface<StateWatch>('StateWatch', {
  next: { args: 0, idempotent: false },
})

export const stateServiceInterface = defineInterface<StateService>('StateService', {
  get: { args: 2, idempotent: true },
  list: { args: 1, idempotent: true },
  pages: { args: 1, idempotent: true, returns: statePagesInterface },
  txn: { args: 1, idempotent: false },
  watch: { args: 2, idempotent: true, returns: stateWatchInterface },
})

/** Keys that begin with this stay on the machines that run the engine. */
export const privatePrefix = 'fleet/private/'

export function toWire({ value, ...entry }: Entry): WireEntry {
  return { ...entry, json: JSON.stringify(value) }
}

export function fromWire({ json, ...entry }: WireEntry): Entry {
  return { ...entry, value: JSON.parse(json) as unknown }
}

/** Serves a State that somebody else owns. One object serves any number of links. */
export class StateServer implements StateService {
  readonly #clock: Clock
  readonly #state: State

  constructor(clock: Clock, state: State) {
    this.#clock = clock
    this.#state = state
  }

  async get(
    key: string,
    { stale }: { readonly stale: boolean },
    { signal }: CallOptions,
  ): Promise<{ readonly entry?: WireEntry }> {
    refusePrivate(key)
    const entry = await this.#state.get(key, { signal, stale })
    return entry === undefined ? {} : { entry: toWire(entry) }
  }

  async list(prefix: string, options: CallOptions): Promise<WirePage> {
    const pages = await this.pages(prefix, options)
    return pages.next()
  }

  async pages(prefix: string, { signal }: CallOptions): Promise<EntryPages> {
    refusePrivate(prefix)
    const { entries, revision } = await this.#state.list(prefix, { signal })
    return new EntryPages(entries.filter(isServed), revision)
  }

  async txn(txn: WireTxn, { signal }: CallOptions): Promise<WireTxnResult> {
    for (const { key } of [...txn.if, ...txn.then]) refusePrivate(key)
    const then = txn.then.map((change) => {
      if (change.kind === 'delete') return { kind: change.kind, key: change.key }
      const { kind, key, json, schema } = change
      return { kind, key, value: parseJson(key, json), schema }
    })
    const conditions: readonly Condition[] = txn.if.map(({ key, revision }) => ({ key, revision }))
    const { operationId, writer } = txn
    const result = await this.#state.txn({ if: conditions, then, operationId, writer }, { signal })
    if (result.kind !== 'conflict') return result
    let bytes = 0
    const current = result.current.map(({ key, entry }): WireKeyState => {
      if (entry === undefined) return { key }
      const wire = toWire(entry)
      bytes += wire.json.length
      return bytes > limits.statePageBytesMax ? { key, tooLarge: true } : { key, entry: wire }
    })
    return { kind: 'conflict', current }
  }

  async watch(prefix: string, fromRevision: number): Promise<Watch> {
    refusePrivate(prefix)
    return new Watch(this.#clock, this.#state, prefix, fromRevision)
  }
}

function refusePrivate(key: string): void {
  if (typeof key !== 'string' || !key.startsWith(privatePrefix)) return
  throw new HolonError(
    'permission_denied',
    `"${key}" is a secret of the fleet: it is not served to other machines`,
  )
}

function isServed({ key }: { readonly key: string }): boolean {
  return !key.startsWith(privatePrefix)
}

function parseJson(key: string, json: string): unknown {
  try {
    return JSON.parse(json)
  } catch (cause) {
    throw new HolonError('invalid_argument', `the value of "${key}" is no JSON`, { cause })
  }
}

class EntryPages implements Pages<WirePage> {
  #entries: readonly Entry[]
  readonly #revision: number
  #at = 0

  constructor(entries: readonly Entry[], revision: number) {
    this.#entries = entries
    this.#revision = revision
  }

  async next(): Promise<WirePage> {
    const entries: WireEntry[] = []
    let bytes = 0
    while (this.#at < this.#entries.length && bytes < limits.statePageBytesMax) {
      const entry = this.#entries[this.#at++]
      if (entry === undefined) break
      const wire = toWire(entry)
      bytes += wire.json.length + wire.key.length
      entries.push(wire)
    }
    return { entries, revision: this.#revision, last: this.#at >= this.#entries.length }
  }

  [Symbol.dispose](): void {
    this.#entries = []
  }
}

class Watch implements StateWatch, Disposable {
  readonly #clock: Clock
  readonly #end = new AbortController()
  readonly #events: AsyncIterator<WatchEvent>
  /** Asked for and not passed on yet: a call that ended before it came leaves it to the next. */
  #coming: Promise<IteratorResult<WatchEvent>> | undefined

  constructor(clock: Clock, state: State, prefix: string, fromRevision: number) {
    this.#clock = clock
    const { signal } = this.#end
    this.#events = state.watch(prefix, fromRevision, { signal })[Symbol.asyncIterator]()
  }

  async next({ signal }: CallOptions): Promise<WireEvents> {
    const events: WireEvent[] = []
    let bytes = 0
    using limit = deadline(this.#clock, limits.stateWatchPollMs, signal)
    while (bytes < limits.statePageBytesMax) {
      this.#coming ??= this.#events.next()
      let came: IteratorResult<WatchEvent>
      try {
        came = await withSignal(this.#coming, limit.signal)
      } catch (error) {
        if (signal.aborted) throw abortError(signal)
        if (limit.signal.aborted) return { events }
        throw error
      }
      this.#coming = undefined
      if (came.done) return { events }
      const event = came.value
      if ('key' in event && !isServed(event)) continue
      const wire: WireEvent =
        event.kind === 'put' ? { kind: 'put', entry: toWire(event.entry) } : event
      if (wire.kind === 'put') bytes += wire.entry.json.length
      // Each event takes some room of the frame, whatever it says.
      bytes += 100
      events.push(wire)
      if (event.kind === 'synced' || event.kind === 'reset') return { events }
    }
    return { events }
  }

  [Symbol.dispose](): void {
    this.#end.abort(new HolonError('cancelled', 'the watch was disposed of'))
    // What is still coming ends by that signal, and nobody waits for it any more.
    this.#coming?.catch(() => undefined)
    this.#events.return?.().catch(() => undefined)
  }
}
