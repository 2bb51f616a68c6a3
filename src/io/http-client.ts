/**
 * HTTP to a program that we trust to answer HTTP: JSON there, JSON or lines of JSON back, over
 * keep-alive connections to one place (a unix socket, or TCP with or without TLS).
 *
 * The one thing it adds to node:http: whether a request that failed may have been received. Only
 * one whose connection never came about certainly was not.
 */
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http'
import { Agent as TlsAgent, request as tlsRequest } from 'node:https'
import type { Socket } from 'node:net'
import { abortError } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'

export interface HttpPlace {
  readonly socketPath?: string
  readonly host?: string
  readonly port?: number
  /** PEM texts; the other side must have a certificate by `ca`. */
  readonly tls?: {
    readonly ca: string
    readonly cert: string
    readonly key: string
    readonly servername?: string
  }
}

export interface HttpAnswer {
  readonly status: number
  readonly text: string
}

export interface HttpRequest {
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export interface HttpOptions {
  readonly signal: AbortSignal
  /** An answer (or a line of one) longer than this is `exhausted`. */
  readonly bytesMax: number
}

// Idle ones are closed by us before anything on the way may do so unnoticed.
const idleMs = 30_000
const socketsMax = 64

/** One place, and the connections to it. */
export class HttpClient implements Disposable {
  readonly #place: HttpPlace
  readonly #agent: Agent

  constructor(place: HttpPlace) {
    this.#place = place
    const options = { keepAlive: true, maxSockets: socketsMax, timeout: idleMs }
    this.#agent = place.tls === undefined ? new Agent(options) : new TlsAgent(options)
  }

  /** How people call the place. */
  get name(): string {
    const { socketPath, host, port } = this.#place
    return socketPath ?? `${host ?? '127.0.0.1'}:${port ?? ''}`
  }

  /**
   * The whole answer, whatever its status. `unavailable` when the connection fails: outcome none
   * when nothing was sent, else unknown; the signal's error, alike.
   */
  async post(what: HttpRequest, options: HttpOptions): Promise<HttpAnswer> {
    const { answer, sent } = await this.#send(what, options)
    const chunks: Buffer[] = []
    let bytes = 0
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        bytes += chunk.length
        if (bytes > options.bytesMax) throw tooLong(this.name, options.bytesMax)
        chunks.push(chunk)
      }
    } catch (error) {
      throw this.#failure(error, sent(), options.signal)
    }
    return { status: answer.statusCode ?? 0, text: Buffer.concat(chunks).toString() }
  }

  /** The lines of an answer, as they come, and its status with each. Ended by leaving the loop. */
  async *lines(what: HttpRequest, options: HttpOptions): AsyncGenerator<HttpAnswer> {
    const { answer, sent } = await this.#send(what, options)
    const status = answer.statusCode ?? 0
    // A connection that is silent for long is right here: a watch with nothing to tell.
    answer.socket.setTimeout(0)
    let parts: Buffer[] = []
    let bytes = 0
    try {
      for await (const chunk of answer as AsyncIterable<Buffer>) {
        let from = 0
        for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, from)) {
          parts.push(chunk.subarray(from, end))
          from = end + 1
          const text = Buffer.concat(parts).toString()
          parts = []
          bytes = 0
          if (text !== '') yield { status, text }
        }
        bytes += chunk.length - from
        if (bytes > options.bytesMax) throw tooLong(this.name, options.bytesMax)
        parts.push(chunk.subarray(from))
      }
    } catch (error) {
      throw this.#failure(error, sent(), options.signal)
    } finally {
      answer.destroy()
    }
    const rest = Buffer.concat(parts).toString()
    if (rest !== '') yield { status, text: rest }
  }

  /** Ends all connections. */
  [Symbol.dispose](): void {
    this.#agent.destroy()
  }

  #send(
    what: HttpRequest,
    { signal }: HttpOptions,
  ): Promise<{ readonly answer: IncomingMessage; readonly sent: () => boolean }> {
    const body = Buffer.from(what.body)
    return new Promise((resolve, reject) => {
      let sent = false
      if (signal.aborted) return reject(this.#failure(undefined, false, signal))
      const outgoing = this.#request(what, body.length)
      const onAbort = () => {
        outgoing.destroy()
        reject(this.#failure(undefined, sent, signal))
      }
      signal.addEventListener('abort', onAbort, { once: true })
      outgoing.once('close', () => signal.removeEventListener('abort', onAbort))
      outgoing.on('socket', (socket: Socket) => {
        // An idle keep-alive connection times out by the agent; one in use does not.
        socket.setTimeout(0)
        const connected = this.#place.tls === undefined ? 'connect' : 'secureConnect'
        if (outgoing.reusedSocket || !socket.connecting) sent = true
        else socket.once(connected, () => (sent = true))
      })
      outgoing.on('error', (error) => reject(this.#failure(error, sent, signal)))
      outgoing.on('response', (answer) => resolve({ answer, sent: () => sent }))
      outgoing.end(body)
    })
  }

  #request(what: HttpRequest, length: number): ClientRequest {
    const { socketPath, host, port, tls } = this.#place
    const place =
      socketPath === undefined ? { host: host ?? '127.0.0.1', port } : { socketPath, host: 'local' }
    const headers = {
      'content-type': 'application/json',
      'content-length': length,
      ...what.headers,
    }
    const common = { ...place, method: 'POST', path: what.path, headers, agent: this.#agent }
    if (tls === undefined) return request(common)
    return tlsRequest({ ...common, ...tls, minVersion: 'TLSv1.2', rejectUnauthorized: true })
  }

  #failure(error: unknown, sent: boolean, signal: AbortSignal): HolonError {
    const outcome = sent ? 'unknown' : 'none'
    if (signal.aborted) {
      const { code, message, retryable, details, cause } = abortError(signal)
      return new HolonError(code, message, { outcome, retryable, details, cause })
    }
    if (error instanceof HolonError) return error
    const text = error instanceof Error ? error.message : String(error)
    return new HolonError('unavailable', `ask "${this.name}": ${text}`, { outcome, cause: error })
  }
}

function tooLong(name: string, bytesMax: number): HolonError {
  return new HolonError('exhausted', `the answer of "${name}" has more than ${bytesMax} bytes`, {
    outcome: 'unknown',
  })
}
