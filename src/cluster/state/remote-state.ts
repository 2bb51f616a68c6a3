/**
 * State over a link to a machine that runs the engine. The promises are the engine's; what the link
 * adds is another way not to know: a link that breaks under a txn is `unknown`, and the caller
 * repeats the same txn, which then goes to another machine. Reads are repeated there by themselves.
 */
import { type Clock, sleep } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import type { Remote } from '../../rpc/remote.ts'
import { checkTxn } from '../../state/check-txn.ts'
import { closedError, notDone } from '../../state/ending.ts'
import { checkKey, checkPrefix } from '../../state/keys.ts'
import type {
  Entry,
  KeyState,
  Listing,
  SignalOptions,
  State,
  StateDump,
  StateMode,
  Txn,
  TxnResult,
  WatchEvent,
} from '../../state/port.ts'
import {
  fromWire,
  type StateService,
  type StateWatch,
  type WireEntry,
  type WireEvent,
  type WireTxn,
  type WireTxnResult,
} from './state-service.ts'

/** The state, as a machine serves it. */
export interface FoundState {
  /** The machine's id. */
  readonly at: string
  /** Whoever was given it disposes of it. */
  readonly service: Remote<StateService>
}

/** Some machine that serves the state; `failed`: the one that just did not, so not that one. */
export type FindStateService = (signal: AbortSignal, failed?: string) => Promise<FoundState>

interface Use extends Disposable {
  readonly lent: Lent
}

/** A service with its calls in flight: disposed of when it is not wanted and none is left. */
class Lent {
  readonly at: string
  readonly service: Remote<StateService>
  readonly #gone = new AbortController()
  readonly #ended: (lent: Lent) => void
  #users = 0
  #unwanted = false

  constructor({ at, service }: FoundState, ended: (lent: Lent) => void) {
    this.at = at
    this.service = service
    this.#ended = ended
  }

  borrow(): Use {
    this.#users += 1
    return {
      lent: this,
      [Symbol.dispose]: () => {
        this.#users -= 1
        this.#settle()
      },
    }
  }

  drop(): void {
    this.#unwanted = true
    this.#settle()
  }

  /** Calls that wait for it end now; what they did is not known. */
  leave(reason: HolonError): void {
    this.#gone.abort(reason)
  }

  until(signal: AbortSignal): AbortSignal {
    return AbortSignal.any([signal, this.#gone.signal])
  }

  #settle(): void {
    if (!this.#unwanted || this.#users > 0) return
    this.service[Symbol.dispose]()
    this.#ended(this)
  }
}

const attemptsMax = 3
const firstBackoffMs = 50

export class RemoteState implements State {
  readonly engine = 'on another machine'
  readonly #clock: Clock
  readonly #find: FindStateService
  readonly #end = new AbortController()
  readonly #underWay = new Set<Promise<unknown>>()
  /** With those that are not asked any more, but waited for. */
  readonly #lents = new Set<Lent>()
  #lent: Lent | undefined
  #failed: string | undefined
  #mode: StateMode = { kind: 'read-write' }

  constructor(clock: Clock, find: FindStateService) {
    this.#clock = clock
    this.#find = find
  }

  get mode(): StateMode {
    return this.#mode
  }

  /** The machine that is asked; undefined before the first question and after a failure. */
  get at(): string | undefined {
    return this.#lent?.at
  }

  async get(
    key: string,
    { signal, stale = false }: SignalOptions & { readonly stale?: boolean },
  ): Promise<Entry | undefined> {
    checkKey(key)
    return this.#read({ signal }, async (service, options) => {
      const { entry } = await service.get(key, { stale }, options)
      return entry === undefined ? undefined : fromWire(entry)
    })
  }

  async list(prefix: string, options: SignalOptions): Promise<Listing> {
    checkPrefix(prefix)
    return this.#read(options, async (service, ended) => {
      const page = await service.list(prefix, ended)
      if (page.last) return { entries: page.entries.map(fromWire), revision: page.revision }
      using pages = await service.pages(prefix, ended)
      const entries: WireEntry[] = []
      while (true) {
        const next = await pages.next(ended)
        entries.push(...next.entries)
        if (next.last) return { entries: entries.map(fromWire), revision: next.revision }
      }
    })
  }

  async *watch(
    prefix: string,
    fromRevision: number,
    { signal }: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    checkPrefix(prefix)
    this.#admit(signal)
    const options = { signal: AbortSignal.any([signal, this.#end.signal]) }
    const delivered = { revision: fromRevision }
    while (!(yield* this.#watchOnce(prefix, delivered, options))) {
      await sleep(this.#clock, firstBackoffMs, options.signal)
    }
  }

  /**
   * By one machine. `delivered` is where the next one goes on; answers whether there is to be none.
   */
  async *#watchOnce(
    prefix: string,
    delivered: { revision: number },
    options: SignalOptions,
  ): AsyncGenerator<WatchEvent, boolean> {
    const opened = await this.#read(options, async (service, ended, lent) => {
      const watch = (await service.watch(prefix, delivered.revision, ended)) as Remote<StateWatch>
      return { lent, watch, use: lent.borrow() }
    })
    using _use = opened.use
    using watch = opened.watch
    try {
      while (true) {
        const { events } = await watch.next({ signal: opened.lent.until(options.signal) })
        for (const event of events) {
          yield fromWireEvent(event)
          if (event.kind === 'reset') return true
          if (event.kind !== 'synced') continue
          delivered.revision = Math.max(delivered.revision, event.revision)
        }
      }
    } catch (error) {
      this.#drop(opened.lent, error, options.signal)
      return false
    }
  }

  async txn(txn: Txn, { signal }: SignalOptions): Promise<TxnResult> {
    const wire = wireTxn(txn)
    this.#admit(signal)
    const work = this.#attempt(wire, { signal })
    this.#underWay.add(work)
    return work.finally(() => this.#underWay.delete(work))
  }

  /** `unsupported`: what is private to the engine's machines would be missing. */
  async export(_options: SignalOptions): Promise<StateDump> {
    throw notHere('export')
  }

  /** `unsupported`: only a machine that runs the engine does it. */
  async import(_dump: StateDump, _options: SignalOptions): Promise<{ readonly revision: number }> {
    throw notHere('import')
  }

  /** That machine is not to be asked any more: whoever waits for it asks another one now. */
  leave(at: string, why: string): void {
    for (const lent of this.#lents) {
      if (lent.at !== at) continue
      this.#forget(lent)
      lent.leave(new HolonError('unavailable', why, { outcome: 'unknown' }))
    }
  }

  async close(): Promise<void> {
    this.#end.abort(closedError())
    await Promise.allSettled(this.#underWay)
    this.#lent?.drop()
    this.#lent = undefined
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  #admit(signal: AbortSignal): void {
    if (this.#end.signal.aborted) throw closedError()
    if (signal.aborted) throw notDone(signal)
  }

  async #attempt(wire: WireTxn, { signal }: SignalOptions): Promise<TxnResult> {
    let lent: Lent | undefined
    try {
      using use = await this.#borrow(signal)
      lent = use.lent
      const result = await lent.service.txn(wire, { signal: lent.until(signal) })
      this.#note(result)
      if (result.kind !== 'conflict') return result
      return { kind: 'conflict', current: await this.#current(result, { signal }) }
    } catch (error) {
      return this.#txnFailed(lent, error, signal)
    }
  }

  /** Borrowed before the answer is given: a caller that first awaits might get it disposed of. */
  async #borrow(signal: AbortSignal): Promise<Use> {
    if (this.#lent !== undefined) return this.#lent.borrow()
    const found = await this.#find(signal, this.#failed)
    // Two calls may look at once; the first one's is kept.
    const isUnwanted = this.#lent !== undefined || this.#end.signal.aborted
    if (isUnwanted) found.service[Symbol.dispose]()
    if (this.#end.signal.aborted) throw closedError()
    this.#lent ??= this.#lend(found)
    return this.#lent.borrow()
  }

  #lend(found: FoundState): Lent {
    const lent = new Lent(found, (ended) => this.#lents.delete(ended))
    this.#lents.add(lent)
    return lent
  }

  /** After an `unavailable` another machine is asked; any other error is thrown. */
  #drop(lent: Lent | undefined, error: unknown, signal: AbortSignal): void {
    if (signal.aborted) throw error
    // A link's end has the code of what ended it, and every later call on it fails alike.
    this.#forget(lent)
    if (!(error instanceof HolonError) || error.code !== 'unavailable') throw error
  }

  #forget(lent: Lent | undefined): void {
    // Another call may have found a better one meanwhile.
    if (lent === undefined || lent !== this.#lent) return
    this.#lent = undefined
    this.#failed = lent.at
    lent.drop()
  }

  async #read<T>(
    options: SignalOptions,
    work: (service: Remote<StateService>, options: SignalOptions, lent: Lent) => Promise<T>,
  ): Promise<T> {
    this.#admit(options.signal)
    const signal = AbortSignal.any([options.signal, this.#end.signal])
    let backoffMs = firstBackoffMs
    for (let left = attemptsMax; ; left--) {
      const found = await this.#readOnce(signal, work)
      if ('value' in found) return found.value
      if (left <= 1) throw unavailable(found.error)
      await sleep(this.#clock, backoffMs, signal)
      backoffMs *= 2
    }
  }

  /** Throws what another machine would not mend either. */
  async #readOnce<T>(
    signal: AbortSignal,
    work: (service: Remote<StateService>, options: SignalOptions, lent: Lent) => Promise<T>,
  ): Promise<{ readonly value: T } | { readonly error: unknown }> {
    let lent: Lent | undefined
    try {
      using use = await this.#borrow(signal)
      lent = use.lent
      return { value: await work(lent.service, { signal: lent.until(signal) }, lent) }
    } catch (error) {
      this.#drop(lent, error, signal)
      return { error }
    }
  }

  /** What did not fit into the answer is read by itself: as of now, so perhaps newer. */
  async #current(
    { current }: Extract<WireTxnResult, { readonly kind: 'conflict' }>,
    options: SignalOptions,
  ): Promise<readonly KeyState[]> {
    const states: KeyState[] = []
    for (const { key, entry, tooLarge } of current) {
      const found = tooLarge === true ? await this.get(key, options) : entry && fromWire(entry)
      states.push(found === undefined ? { key } : { key, entry: found })
    }
    return states
  }

  #txnFailed(lent: Lent | undefined, error: unknown, signal: AbortSignal): TxnResult {
    if (!(error instanceof HolonError) || signal.aborted) throw error
    this.#forget(lent)
    const outcome = lent === undefined ? 'none' : error.outcome
    const isLink = error.code === 'unavailable' || error.code === 'deadline_exceeded'
    if (!isLink && outcome === 'none') throw error
    const result: TxnResult = {
      kind: outcome === 'unknown' ? 'unknown' : 'unavailable',
      why: error.message,
    }
    this.#note(result)
    return result
  }

  #note(result: { readonly kind: TxnResult['kind']; readonly why?: string }): void {
    const isRefused = result.kind === 'unknown' || result.kind === 'unavailable'
    this.#mode = isRefused ? { kind: 'read-only', why: result.why ?? '' } : { kind: 'read-write' }
  }
}

/** Checked here, so that a bad txn fails before it travels. */
function wireTxn(txn: Txn): WireTxn {
  const { conditions, changes, operationId, writer } = checkTxn(txn)
  const then = changes.map(({ key, put }) =>
    put === undefined
      ? ({ kind: 'delete', key } as const)
      : ({ kind: 'put', key, json: put.json, schema: put.schema } as const),
  )
  return { if: conditions, then, operationId, writer }
}

function fromWireEvent(event: WireEvent): WatchEvent {
  if (event.kind !== 'put') return event
  const entry = fromWire(event.entry)
  return { kind: 'put', key: entry.key, revision: entry.revision, entry }
}

/** A read that failed did nothing, and may be repeated, whatever the link says. */
function unavailable(cause: unknown): HolonError {
  return new HolonError('unavailable', asHolonError(cause).message, { cause })
}

function notHere(what: string): HolonError {
  return new HolonError(
    'unsupported',
    `${what} the state: only on a machine that runs its engine ("holon machines" shows which)`,
  )
}
