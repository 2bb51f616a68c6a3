/**
 * All watches of a store on etcd: one watch there, whose changes go into a history in memory, from
 * which every watch here is served. So etcd is asked once, however many are watching, and the
 * history's rules (src/state/history.ts) are the same as for every engine.
 *
 * The head ends each revision's events, so a revision is passed on whole. A stream that breaks is
 * opened again after the last whole revision, at another endpoint. One that says nothing is
 * compared with etcd now and then: a frozen member keeps a connection open, but not a linearizable
 * read.
 */
import { abortError, type Clock, sleep } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { type Change, History } from '../history.ts'
import type { SignalOptions, WatchEvent } from '../port.ts'
import { asInteger, asList, asObject, type Json, type JsonObject } from './client.ts'
import { isCompacted } from './faults.ts'
import { keyValue, parseEntry, parseHead, prefixRange } from './layout.ts'
import type { EtcdStore } from './store.ts'

const backoffMs = 100

export class Feed {
  readonly #clock: Clock
  readonly #store: EtcdStore
  readonly #changesMax: number
  readonly #end = new AbortController()
  #running: Upstream | undefined

  constructor(clock: Clock, store: EtcdStore, changesMax: number) {
    this.#clock = clock
    this.#store = store
    this.#changesMax = changesMax
  }

  /** See State.watch. */
  async *watch(
    prefix: string,
    from: number,
    { signal }: SignalOptions,
  ): AsyncGenerator<WatchEvent> {
    const both = AbortSignal.any([signal, this.#end.signal])
    const { revision, head } = await this.#store.read(() => [], { signal: both })
    if (from > revision) return yield { kind: 'reset' }
    this.#running ??= this.#start(from, head.root)
    const upstream = this.#running
    try {
      // What came until now must come before the first `synced`.
      await upstream.reached(revision, both)
      yield* upstream.history.watch(prefix, from, both)
    } catch (error) {
      if (error !== upstream.lost) throw error
      yield { kind: 'reset' }
    }
  }

  /** Ends every watch with this error. */
  close(error: HolonError): void {
    this.#end.abort(error)
  }

  #start(from: number, root: string): Upstream {
    const history = new History(from, this.#changesMax)
    const upstream = new Upstream(this.#clock, this.#store, history, from, root)
    upstream.run(this.#end.signal).then(() => {
      this.#running = undefined
    })
    return upstream
  }
}

/** One history, from its beginning until changes are lost. */
class Upstream {
  readonly history: History
  /** What watches end with when changes were lost. */
  readonly lost = new HolonError('stale', 'changes were lost')
  readonly #clock: Clock
  readonly #store: EtcdStore
  readonly #root: string
  /** All changes up to here are in the history. */
  #revision: number
  #pending: Change[] = []
  #ended: HolonError | undefined
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock, store: EtcdStore, history: History, from: number, root: string) {
    this.#clock = clock
    this.#store = store
    this.history = history
    this.#revision = from
    this.#root = root
  }

  /** Until changes are lost or the signal aborts. */
  async run(signal: AbortSignal): Promise<void> {
    let ended: HolonError = this.lost
    try {
      while (await this.#follow(signal)) await sleep(this.#clock, backoffMs, signal)
    } catch (error) {
      // A bug or damage: each watch gets it, and the next one starts anew.
      ended = signal.aborted ? abortError(signal) : asError(error)
    }
    this.#ended = ended
    this.history.close(ended)
    this.#wake()
  }

  async reached(revision: number, signal: AbortSignal): Promise<void> {
    while (this.#revision < revision) {
      if (this.#ended !== undefined) throw this.#ended
      if (signal.aborted) throw abortError(signal)
      await new Promise<void>((resolve) => {
        const done = () => {
          this.#waiting.delete(done)
          signal.removeEventListener('abort', done)
          resolve()
        }
        this.#waiting.add(done)
        signal.addEventListener('abort', done, { once: true })
      })
    }
  }

  #wake(): void {
    for (const done of [...this.#waiting]) done()
  }

  /** One stream; false when changes are lost. */
  async #follow(outer: AbortSignal): Promise<boolean> {
    this.#pending = []
    const ending = new AbortController()
    const signal = AbortSignal.any([outer, ending.signal])
    const { client, layout } = this.#store
    const at = client.current
    const checking = this.#check(signal, (why) => {
      client.avoid(at)
      ending.abort(why)
    })
    try {
      const create_request = {
        ...prefixRange(layout.watched),
        start_revision: String(this.#revision + 1),
        fragment: true,
      }
      for await (const message of client.stream('watch', { create_request }, { signal })) {
        if (!this.#take(message)) return false
      }
      return true
    } catch (error) {
      if (outer.aborted) throw error
      if (ending.signal.reason === this.lost || isCompacted(error)) return false
      if (error instanceof HolonError && error.code === 'unavailable') return true
      throw error
    } finally {
      ending.abort(new HolonError('cancelled', 'the watch has ended'))
      await checking
    }
  }

  /** False when changes are lost. */
  #take(message: JsonObject): boolean {
    if (asInteger(message['compact_revision']) > 0) return false
    if (message['canceled'] === true) {
      const why = `etcd ended the watch: ${String(message['cancel_reason'] ?? 'no reason')}`
      throw new HolonError('unavailable', why)
    }
    return asList(message['events']).every((event) => this.#apply(event))
  }

  #apply(event: Json): boolean {
    const { type, kv } = asObject(event)
    const change = keyValue(kv)
    const { key, revision } = change
    const { layout } = this.#store
    if (revision <= this.#revision) return true
    const entries = layout.entries(this.#root)
    if (key.startsWith(entries)) {
      const name = key.slice(entries.length)
      const gone = type === 'DELETE'
      this.#pending.push(
        gone ? { key: name, revision } : { key: name, revision, stored: parseEntry(name, change) },
      )
      return true
    }
    if (key !== layout.head) return true
    if (type === 'DELETE' || parseHead(change).root !== this.#root) return false
    this.history.append(revision, this.#pending)
    this.#pending = []
    this.#revision = revision
    this.#wake()
    return true
  }

  /**
   * Ends the stream when etcd has had a revision for a whole interval that the stream lacks; or
   * when etcd has another root or is behind the stream, as after a restore: then changes are lost.
   */
  async #check(signal: AbortSignal, end: (why: HolonError) => void): Promise<void> {
    let known = this.#revision
    while (!signal.aborted) {
      try {
        await sleep(this.#clock, limits.stateWatchCheckMs, signal)
        if (this.#revision < known) return end(stalled())
        const had = this.#revision
        // What others have just heard serves, too, unless the stream is past it.
        const heard = this.#store.lastRead(limits.stateWatchCheckMs)
        const isNew = heard !== undefined && heard.revision >= had
        const { revision, head } = isNew ? heard : await this.#store.read(() => [], { signal })
        if (head.root !== this.#root || revision < had) return end(this.lost)
        known = revision
      } catch (error) {
        if (signal.aborted) return
        // Without an answer nothing can be said; the stream's own end or the next answer does.
        const mapped = asError(error)
        if (mapped.code !== 'unavailable') return end(mapped)
      }
    }
  }
}

function stalled(): HolonError {
  return new HolonError('unavailable', 'a watch of etcd is stalled')
}

function asError(error: unknown): HolonError {
  if (error instanceof HolonError) return error
  return new HolonError('internal', 'a watch of etcd failed', { cause: error })
}
