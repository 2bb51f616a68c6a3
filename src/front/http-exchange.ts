/**
 * One request on its way to an instance, and its answer on the way back.
 *
 * It is tried again on another instance when that cannot do harm: nothing of it was sent, or it is
 * idempotent and has no body; and nothing of an answer has gone to the client. An answer that
 * breaks off is broken off for the client, too, never made to look whole.
 */
import { Readable } from 'node:stream'
import type { Client, Dispatcher } from 'undici'
import { limits } from '../base/limits.ts'
import type { HttpRequest, HttpResponse } from '../io/http-listener.ts'
import type { Target } from './balancer.ts'
import { answerHeaders, forwardedHeaders } from './headers.ts'
import type { LiveRoute } from './live-route.ts'

const idempotent: ReadonlySet<string> = new Set([
  'GET',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'PUT',
  'DELETE',
])

export class HttpExchange implements Dispatcher.DispatchHandler {
  readonly #route: LiveRoute
  readonly #request: HttpRequest
  readonly #response: HttpResponse
  readonly #startedMs: number
  readonly #hasBody: boolean
  readonly #client: string
  #tried: Set<Target> | undefined
  #target: Target | undefined
  #upstream: Client | undefined
  #body: RequestBody | undefined
  #abort: ((error?: Error) => void) | undefined
  #isSent = false
  #hasBegun = false

  constructor(route: LiveRoute, request: HttpRequest, response: HttpResponse, startedMs: number) {
    this.#route = route
    this.#request = request
    this.#response = response
    this.#startedMs = startedMs
    const { headers, socket } = request
    this.#hasBody =
      headers['transfer-encoding'] !== undefined || (headers['content-length'] ?? '0') !== '0'
    this.#client = plainAddress(socket.remoteAddress)
    response.once('close', () => this.#closed())
  }

  start(): void {
    const target = this.#route.balancer.pick()
    if (target === undefined) void this.#again()
    else this.#send(target)
  }

  // ---- what undici tells of the request

  onConnect(abort: (error?: Error) => void): void {
    this.#abort = abort
    this.#isSent = true
  }

  onHeaders(status: number, raw: Buffer[], resume: () => void, text: string): boolean {
    // Continue and the like are between two neighbours; Node has said its own.
    if (status < 200) return true
    this.#hasBegun = true
    this.#target?.worked()
    const response = this.#response
    response.on('drain', resume)
    response.writeHead(status, text, answerHeaders(raw))
    return true
  }

  onData(chunk: Buffer): boolean {
    return this.#response.write(chunk)
  }

  onComplete(): void {
    this.#response.end()
    const { upstream } = this.#leave()
    if (upstream !== undefined) this.#route.upstream(this.#targetOf()).give(upstream)
    this.#target = undefined
    this.#route.stats.answered(this.#response.statusCode, this.#elapsedMs)
  }

  onError(error: Error): void {
    const { upstream } = this.#leave()
    void upstream?.destroy()
    const target = this.#targetOf()
    this.#target = undefined
    if (this.#response.destroyed) return
    const isOurs = target.isClosing
    if (!isOurs) target.failed(this.#route.nowMs())
    if (this.#hasBegun) {
      this.#route.stats.broken()
      this.#response.destroy()
      return
    }
    this.#tried ??= new Set()
    this.#tried.add(target)
    const method = this.#request.method ?? 'GET'
    const isUntouched = this.#body === undefined || !this.#body.isTouched
    const mayRepeat = !this.#isSent || (idempotent.has(method) && !this.#hasBody)
    if (mayRepeat && isUntouched && this.#tried.size < limits.frontTriesMax) {
      this.#route.stats.retried()
      void this.#again()
      return
    }
    this.#fail(502, `${target.endpoint.instance} did not answer: ${error.message}`)
  }

  // ---- its way

  #send(target: Target): void {
    this.#target = target
    this.#isSent = false
    target.active += 1
    const upstream = this.#route.upstream(target).take()
    this.#upstream = upstream
    const { method = 'GET', url = '/', rawHeaders } = this.#request
    this.#body = this.#hasBody ? new RequestBody(this.#request) : undefined
    const client = { address: this.#client, protocol: this.#route.scheme }
    try {
      upstream.dispatch(
        {
          method: method as Dispatcher.HttpMethod,
          path: url,
          headers: forwardedHeaders(rawHeaders, client),
          body: this.#body ?? null,
        },
        this,
      )
    } catch (error) {
      // It refuses what is no sound request, before anything of it is sent.
      this.#leave()
      this.#target = undefined
      this.#fail(400, error instanceof Error ? error.message : 'it cannot be passed on')
    }
  }

  async #again(): Promise<void> {
    const { balancer } = this.#route
    const gone = new AbortController()
    const onClose = () => gone.abort()
    this.#response.once('close', onClose)
    const target = await balancer.choose(this.#tried ?? new Set(), gone.signal)
    this.#response.off('close', onClose)
    if (this.#response.destroyed) return
    if (target === undefined) this.#fail(503, 'no instance is ready')
    else this.#send(target)
  }

  #leave(): { readonly upstream: Client | undefined } {
    const upstream = this.#upstream
    this.#upstream = undefined
    this.#abort = undefined
    if (this.#target !== undefined) this.#target.active -= 1
    return { upstream }
  }

  #targetOf(): Target {
    if (this.#target === undefined) throw new Error('an answer to nothing')
    return this.#target
  }

  #fail(status: number, why: string): void {
    const { unit } = this.#route.route
    const response = this.#response
    this.#route.stats.answered(status, this.#elapsedMs)
    if (response.headersSent) return
    // What is left of a body would be taken for the next request.
    if (this.#hasBody) response.setHeader('Connection', 'close')
    if (status === 503) response.setHeader('Retry-After', '1')
    response.writeHead(status, { 'Content-Type': 'text/plain; charset=utf-8' })
    response.end(`${unit}: ${why}\n`)
  }

  /** The client is gone, or has its answer. */
  #closed(): void {
    if (this.#response.writableFinished) return
    this.#abort?.(new Error('the client is gone'))
  }

  get #elapsedMs(): number {
    return this.#route.nowMs() - this.#startedMs
  }
}

/**
 * The body of a request, read when it is sent and not before, and never destroyed with the try that
 * it was for.
 */
class RequestBody extends Readable {
  isTouched = false
  readonly #request: HttpRequest

  constructor(request: HttpRequest) {
    super()
    this.#request = request
  }

  override _read(): void {
    if (this.isTouched) {
      this.#request.resume()
      return
    }
    this.isTouched = true
    this.#request.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) this.#request.pause()
    })
    this.#request.once('end', () => this.push(null))
    this.#request.once('close', () => this.destroy())
  }
}

/** IPv4 as it is written, also where the socket is an IPv6 one. */
export function plainAddress(address = ''): string {
  return address.startsWith('::ffff:') ? address.slice('::ffff:'.length) : address
}
