/**
 * Requests to the store in etcd that hold only while the head is the one we know. Each carries the
 * comparison with it, so no answer is ever about another root; when the head has moved on, the new
 * one is learnt from the refusal and the request is made again.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { SignalOptions } from '../port.ts'
import { asList, asObject, type EtcdClient, type JsonObject, toBase64 } from './client.ts'
import { damaged, type Head, headText, Layout, only, parseHead } from './layout.ts'

export interface StoreDeps {
  readonly clock: Clock
  readonly client: EtcdClient
}

export interface ReadAnswer {
  /** The store's, at the moment of the read. */
  readonly revision: number
  /** etcd's own at that moment: further pages are read at it. */
  readonly etcdRevision: number
  readonly head: Head
  /** One for each request, in order. */
  readonly ranges: readonly JsonObject[]
}

export type Request = JsonObject
type Requests = (head: Head) => readonly Request[]

const firstHead = headText({ root: '0', horizon: 0 })
const firstBackoffMs = 20

export class EtcdStore {
  readonly layout: Layout
  readonly client: EtcdClient
  readonly #clock: Clock
  #head: Head | undefined
  #lastRead: { readonly revision: number; readonly head: Head; readonly atMs: number } | undefined

  constructor(deps: StoreDeps, prefix: string) {
    this.#clock = deps.clock
    this.client = deps.client
    this.layout = new Layout(prefix)
  }

  /** The head as last heard of; asks for it, and makes the first one, only when there is none. */
  async head(options: SignalOptions): Promise<Head> {
    return this.#head ?? (await this.#load(options))
  }

  /** Takes over a head from an answer; without one the store is gone. */
  learn(range: JsonObject): Head {
    const found = only(range)
    if (found === undefined) {
      throw damaged(this.layout.head, 'the store was there before and is gone now')
    }
    // An older one, from an answer that was overtaken, costs one more request and no more. It may
    // also be right: after a restore revisions are lower.
    this.#head = parseHead(found)
    return this.#head
  }

  /** That the head still is the one we know. */
  unchanged(head: Head): Request {
    return {
      key: toBase64(this.layout.head),
      target: 'VALUE',
      result: 'EQUAL',
      value: toBase64(head.text),
    }
  }

  /** Ranges at one moment. Linearizable unless `stale`. */
  async read(
    requests: Requests,
    { signal, stale = false }: SignalOptions & { readonly stale?: boolean },
  ): Promise<ReadAnswer> {
    return this.retry(signal, async (attempt) => {
      while (true) {
        const head = await this.head({ signal: attempt })
        const ranges = [{ key: toBase64(this.layout.head) }, ...requests(head)]
        const success = ranges.map((range) => ({
          request_range: stale ? { ...range, serializable: true } : range,
        }))
        const body = { compare: [this.unchanged(head)], success, failure: success.slice(0, 1) }
        const options = { signal: attempt, leaderless: stale }
        const answer = await this.client.post('kv/txn', body, options)
        const [first, ...rest] = responses(answer)
        const now = this.learn(first ?? {})
        if (answer['succeeded'] !== true) continue
        const etcdRevision = Number(asObject(answer['header'])['revision'])
        const { revision } = now
        if (!stale) this.#lastRead = { revision, head: now, atMs: this.#clock.nowMs() }
        return { revision, etcdRevision, head: now, ranges: rest }
      }
    })
  }

  /** The last linearizable read, whoever asked for it, unless it is older than that. */
  lastRead(maxAgeMs: number): Pick<ReadAnswer, 'revision' | 'head'> | undefined {
    const last = this.#lastRead
    return last !== undefined && this.#clock.nowMs() - last.atMs <= maxAgeMs ? last : undefined
  }

  /** The store's revision, linearizable. */
  async revision(options: SignalOptions): Promise<number> {
    return (await this.read(() => [], options)).revision
  }

  /**
   * Repeats idempotent work that fails as `unavailable`, on another endpoint each time; an attempt
   * without an answer ends after limits.stateAttemptMs.
   */
  async retry<T>(signal: AbortSignal, work: (attempt: AbortSignal) => Promise<T>): Promise<T> {
    const tries = this.client.endpoints + 1
    let backoffMs = firstBackoffMs
    for (let left = tries; ; left--) {
      try {
        return await this.attempt(signal, work)
      } catch (error) {
        if (signal.aborted || !(error instanceof HolonError)) throw error
        if (error.code !== 'unavailable' || left <= 1) throw error
      }
      await sleep(this.#clock, backoffMs, signal)
      backoffMs *= 2
    }
  }

  /** One attempt: its own end of patience is `unavailable`, outcome unknown. */
  async attempt<T>(signal: AbortSignal, work: (attempt: AbortSignal) => Promise<T>): Promise<T> {
    const at = this.client.current
    using limit = deadline(this.#clock, limits.stateAttemptMs, signal)
    try {
      return await work(limit.signal)
    } catch (error) {
      if (signal.aborted || !limit.signal.aborted || !(error instanceof HolonError)) throw error
      this.client.avoid(at)
      const { outcome } = error
      throw new HolonError('unavailable', `etcd: ${error.message}`, { outcome, cause: error })
    }
  }

  async #load({ signal }: SignalOptions): Promise<Head> {
    const key = toBase64(this.layout.head)
    const range = await this.client.post('kv/range', { key }, { signal })
    if (only(range) !== undefined) return this.learn(range)
    const body = {
      compare: [{ key, target: 'VERSION', result: 'EQUAL', version: '0' }],
      success: [{ request_put: { key, value: toBase64(firstHead) } }],
    }
    await this.client.post('kv/txn', body, { signal })
    return this.learn(await this.client.post('kv/range', { key }, { signal }))
  }
}

/** The answers to a txn's requests, whatever their kind. */
export function responses(answer: JsonObject): readonly JsonObject[] {
  return asList(answer['responses']).map((response) => {
    const [body] = Object.values(asObject(response))
    return asObject(body)
  })
}
