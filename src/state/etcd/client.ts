/**
 * etcd's official JSON gateway (/v3/…, on etcd's client port): keys and values in base64, 64-bit
 * integers as strings. It is plain HTTP, so it needs no gRPC library, which would cost every agent
 * 60 ms at start and 20 MB.
 *
 * A request goes to one endpoint, the next one only when the former certainly did not get it. After
 * any other failure the next *call* begins with another endpoint.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError, type Outcome } from '../../base/errors.ts'
import { HttpClient, type HttpPlace } from '../../io/http-client.ts'
import type { SignalOptions } from '../port.ts'
import { errorOfAnswer } from './faults.ts'

/** Where one member of etcd listens for clients: a unix socket, or TCP. */
export type EtcdEndpoint = HttpPlace

export type Json = null | boolean | number | string | readonly Json[] | JsonObject
export interface JsonObject {
  readonly [name: string]: Json | undefined
}

export interface EtcdClientDeps {
  readonly clock: Clock
}

// A refused txn answers with every key of its condition: at most 128 values of 1 MiB in base64.
const answerBytesMax = 256 * 1024 * 1024

// etcd refuses at once on a member without a leader, instead of letting the request wait, and ends
// a watch there: the gateway hands this header on as gRPC metadata.
const headers = { 'grpc-metadata-hasleader': 'true' }

export interface EtcdCallOptions extends SignalOptions {
  /** Also by a member that knows no leader. Default false. */
  readonly leaderless?: boolean
}

export class EtcdClient implements Disposable {
  readonly clock: Clock
  readonly #clients: readonly HttpClient[]
  #preferred = 0

  /** `endpoints`: at least one; used in this order. */
  constructor(deps: EtcdClientDeps, endpoints: readonly EtcdEndpoint[]) {
    if (endpoints.length === 0) {
      throw new HolonError('invalid_argument', 'connect to etcd: no endpoint was given')
    }
    this.clock = deps.clock
    this.#clients = endpoints.map((endpoint) => new HttpClient(endpoint))
  }

  get endpoints(): number {
    return this.#clients.length
  }

  /**
   * One request: `post('kv/range', {...})`. `unavailable` with outcome none when it certainly was not
   * accepted, else unknown; what etcd refused definitely (`invalid_argument`, `exhausted`,
   * `not_found`, `conflict`) with `details.grpcCode`; the signal's own error, with the outcome.
   */
  async post(path: string, body: unknown, options: EtcdCallOptions): Promise<JsonObject> {
    const text = JSON.stringify(body)
    let failed: HolonError | undefined
    for (let tries = 0; tries < this.#clients.length; tries++) {
      const at = this.#preferred
      try {
        return await this.#postTo(at, path, text, options)
      } catch (error) {
        if (!(error instanceof HolonError)) throw error
        failed = error
        if (error.code === 'unavailable' || options.signal.aborted) this.avoid(at)
        if (error.code !== 'unavailable' || error.outcome !== 'none') throw error
      }
    }
    throw failed ?? new HolonError('unavailable', 'ask etcd: no endpoint')
  }

  /**
   * A streaming answer (watch, snapshot): each message's `result`. Errors as for `post`; ends when
   * etcd ends it.
   */
  async *stream(path: string, body: unknown, options: EtcdCallOptions): AsyncGenerator<JsonObject> {
    const at = this.#preferred
    const client = this.#client(at)
    const request = { path: `/v3/${path}`, headers, body: JSON.stringify(body) }
    try {
      for await (const { status, text } of client.lines(request, {
        signal: options.signal,
        bytesMax: answerBytesMax,
      })) {
        const message = parse(text, client.name, 'none')
        const { result, error } = message
        if (status !== 200 || error !== undefined) throw errorOfAnswer(path, error ?? message)
        yield asObject(result)
      }
    } catch (error) {
      if (error instanceof HolonError && error.code === 'unavailable') this.avoid(at)
      throw error
    }
  }

  /** The next call begins with another endpoint than the one that `current` says. */
  avoid(at: number): void {
    if (at === this.#preferred) this.#preferred = (at + 1) % this.#clients.length
  }

  get current(): number {
    return this.#preferred
  }

  [Symbol.dispose](): void {
    for (const client of this.#clients) client[Symbol.dispose]()
  }

  async #postTo(
    at: number,
    path: string,
    body: string,
    { signal, leaderless = false }: EtcdCallOptions,
  ): Promise<JsonObject> {
    const client = this.#client(at)
    const request = { path: `/v3/${path}`, headers: leaderless ? {} : headers, body }
    const { status, text } = await client.post(request, { signal, bytesMax: answerBytesMax })
    const answer = parse(text, client.name, 'unknown')
    if (status !== 200) throw errorOfAnswer(path, answer)
    return answer
  }

  #client(at: number): HttpClient {
    const client = this.#clients[at]
    if (client === undefined) throw new HolonError('internal', `no endpoint ${at}`)
    return client
  }
}

function parse(text: string, name: string, outcome: Outcome): JsonObject {
  try {
    return asObject(JSON.parse(text) as Json)
  } catch (cause) {
    const message = `"${name}" answered ${JSON.stringify(text.slice(0, 80))}: is it etcd?`
    throw new HolonError('unavailable', message, { outcome, cause })
  }
}

/** Gateways leave out what is empty, so a missing object is an empty one. */
export function asObject(json: Json | undefined): JsonObject {
  if (json === undefined || json === null) return {}
  if (typeof json === 'object' && !Array.isArray(json)) return json as JsonObject
  throw new HolonError('internal', `etcd answered ${JSON.stringify(json).slice(0, 80)}, no object`)
}

export function asList(json: Json | undefined): readonly Json[] {
  if (json === undefined || json === null) return []
  if (Array.isArray(json)) return json
  throw new HolonError('internal', `etcd answered ${JSON.stringify(json).slice(0, 80)}, no list`)
}

/** A 64-bit integer: a string, or absent when 0. */
export function asInteger(json: Json | undefined): number {
  const value = Number(json ?? 0)
  if (Number.isSafeInteger(value)) return value
  throw new HolonError('internal', `etcd answered ${JSON.stringify(json)}, no whole number`)
}

export function toBase64(text: string): string {
  return Buffer.from(text).toString('base64')
}

export function fromBase64(json: Json | undefined): string {
  return Buffer.from(typeof json === 'string' ? json : '', 'base64').toString()
}
