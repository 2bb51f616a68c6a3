/**
 * The answering side of a link: which calls are being worked on, which capabilities it handed out.
 *
 * Each call has a signal, which aborts when the caller's deadline passes, when the caller flushes
 * the call, and when the link ends. It is made when the target first looks at it: most calls end
 * sooner.
 */
import { assert } from '../base/assert.ts'
import { abortError, type Clock, type Deadline, deadline } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import type { CallOptions } from '../kernel/types.ts'
import type { Interface, Method } from './interface.ts'
import { fitsIntoFrame, type RpcLimits } from './rpc-limits.ts'
import { WireError } from './wire-errors.ts'

export interface ServerStats {
  readonly callsInFlight: number
  /** Capabilities that the peer holds, the main object included. */
  readonly capabilities: number
  readonly imports: number
  readonly exports: number
}

/** Told of errors that are nobody's answer: bugs in a target, with what it was doing. */
export type OnInternalError = (error: unknown, action: string) => void

/** One call being worked on. */
class Work {
  readonly #clock: Clock
  readonly #endMs: number
  #cancelled: HolonError | undefined
  #controller: AbortController | undefined
  #deadline: Deadline | undefined

  constructor(clock: Clock, ms: number) {
    this.#clock = clock
    this.#endMs = clock.nowMs() + ms
  }

  /** A plain object, so that targets may spread it or pick from it. */
  get options(): CallOptions {
    const signal = () => this.#signal()
    return {
      get signal() {
        return signal()
      },
    }
  }

  cancel(reason: HolonError): void {
    this.#cancelled ??= reason
    this.#controller?.abort(this.#cancelled)
  }

  /** What `error` means: an AbortError of Node's own is the signal's reason. */
  failure(error: unknown): unknown {
    const signal = this.#deadline?.signal
    const isAbort = error instanceof Error && error.name === 'AbortError'
    return isAbort && signal?.aborted ? abortError(signal) : error
  }

  end(): void {
    this.#deadline?.[Symbol.dispose]()
  }

  #signal(): AbortSignal {
    if (this.#deadline === undefined) {
      this.#controller = new AbortController()
      if (this.#cancelled !== undefined) this.#controller.abort(this.#cancelled)
      const leftMs = Math.max(0, this.#endMs - this.#clock.nowMs())
      this.#deadline = deadline(this.#clock, leftMs, this.#controller.signal)
    }
    return this.#deadline.signal
  }
}

/** serve(), which makes what the peer can reach of a target. */
type Wrap = (returns: Interface<unknown>, result: object, session: ServerSession) => Disposable

export interface ServerSessionOptions {
  readonly limits: RpcLimits
  readonly onInternalError: OnInternalError
  /** Called when work begins: the peer's life matters now. */
  readonly wake: () => void
}

export class ServerSession {
  readonly #clock: Clock
  readonly #options: ServerSessionOptions
  readonly #work = new Map<number, Work>()
  readonly #capabilities = new Set<Disposable>()
  #ended: HolonError | undefined

  constructor(clock: Clock, options: ServerSessionOptions) {
    this.#clock = clock
    this.#options = options
  }

  get busy(): boolean {
    return this.#work.size > 0
  }

  get stats(): Pick<ServerStats, 'callsInFlight' | 'capabilities'> {
    return { callsInFlight: this.#work.size, capabilities: this.#capabilities.size }
  }

  /** Runs one call. Resolves to JSON text or to what `wrap` made of a capability. */
  async call(
    target: object,
    method: Method,
    wire: readonly unknown[],
    wrap: Wrap,
  ): Promise<unknown> {
    try {
      const { args, ms, id } = parseCall(method, wire)
      const work = this.#begin(ms, id)
      try {
        const text = method.asText === undefined ? undefined : (target as Target)[method.asText]
        if (text !== undefined) {
          const given = await Reflect.apply(text, target, [...args, work.options])
          return this.#fitting(method, String(given))
        }
        const result = await invoke(target, method, args, work.options)
        if (method.returns === undefined) return this.#text(method, result)
        return this.#capability(method, method.returns, wrap, result)
      } catch (error) {
        throw work.failure(error)
      } finally {
        this.#work.delete(id)
        work.end()
      }
    } catch (error) {
      throw this.#wireError(error, method.label)
    }
  }

  /** Stops the work on call `id`, if there still is any. */
  flush(id: unknown): void {
    this.#work.get(id as number)?.cancel(
      new HolonError('cancelled', 'the caller no longer waits for this call', {
        outcome: 'unknown',
      }),
    )
  }

  /** The link has ended: all work is cancelled, all capabilities are taken back. */
  end(reason: HolonError): void {
    assert(this.#ended === undefined, 'a session ends once')
    this.#ended = reason
    const gone = new HolonError('cancelled', `the caller is gone: ${reason.message}`, {
      outcome: 'unknown',
      cause: reason,
    })
    for (const work of this.#work.values()) work.cancel(gone)
    for (const capability of [...this.#capabilities]) capability[Symbol.dispose]()
  }

  /** Counts `capability` as held by the peer, until `released`. */
  adopt(capability: Disposable): void {
    this.#capabilities.add(capability)
  }

  /** A capability was taken back, by the peer or by the end. */
  released(capability: Disposable, dispose: () => void, name: string): void {
    if (!this.#capabilities.delete(capability)) return
    try {
      dispose()
    } catch (error) {
      this.#options.onInternalError(error, `dispose of a ${name}`)
    }
  }

  #begin(ms: number, id: number): Work {
    if (this.#work.size >= this.#options.limits.callsMax)
      throw new HolonError(
        'exhausted',
        `${this.#work.size} calls are in flight on this link, which is the most it takes`,
        { retryable: true },
      )
    if (this.#work.has(id))
      throw new HolonError('invalid_argument', `call ${id} is in flight already`)
    const work = new Work(this.#clock, ms)
    this.#work.set(id, work)
    this.#options.wake()
    return work
  }

  #text(method: Method, result: unknown): string | undefined {
    if (result === undefined) return undefined
    return this.#fitting(method, method.isText ? String(result) : JSON.stringify(result))
  }

  #fitting(method: Method, text: string): string {
    const { frameBytesMax } = this.#options.limits
    if (fitsIntoFrame(text, frameBytesMax)) return text
    throw new HolonError(
      'exhausted',
      `${method.label}: the answer is longer than a message may be ` +
        `(${frameBytesMax} bytes); ask for less at a time`,
      { outcome: method.idempotent ? 'none' : 'unknown', details: { frameBytesMax } },
    )
  }

  #capability(
    method: Method,
    returns: Interface<unknown>,
    wrap: Wrap,
    result: unknown,
  ): Disposable {
    assert(
      typeof result === 'object' && result !== null,
      `${method.label} returns a ${returns.name}`,
    )
    const capability = wrap(returns, result, this)
    this.adopt(capability)
    const full = this.#capabilities.size > this.#options.limits.capabilitiesMax
    if (this.#ended === undefined && !full) return capability
    capability[Symbol.dispose]()
    throw (
      this.#ended ??
      new HolonError(
        'exhausted',
        `${method.label}: this link holds ${this.#capabilities.size} objects, ` +
          'which is the most it may; dispose of some of them',
      )
    )
  }

  #wireError(error: unknown, action: string): WireError {
    const failure = asHolonError(error)
    if (failure.code === 'internal') this.#options.onInternalError(error, action)
    return new WireError(failure)
  }
}

type Target = Readonly<Record<string, (...args: readonly unknown[]) => unknown>>

function invoke(
  target: object,
  method: Method,
  args: readonly unknown[],
  options: CallOptions,
): unknown {
  const callee = (target as Target)[method.name]
  assert(typeof callee === 'function', `the target has ${method.label}`)
  return Reflect.apply(callee, target, [...args, options])
}

function parseCall(
  { args: count, label }: Method,
  wire: readonly unknown[],
): { readonly args: readonly unknown[]; readonly ms: number; readonly id: number } {
  const [json, ms, id] = wire
  const args = typeof json === 'string' ? parseArray(json) : undefined
  if (args?.length !== count)
    throw new HolonError('invalid_argument', `${label} takes ${count} arguments`)
  if (typeof ms !== 'number' || !(ms >= 0) || typeof id !== 'number')
    throw new HolonError('invalid_argument', `${label}: no time left or no id`)
  return { args, ms, id }
}

function parseArray(json: string): readonly unknown[] | undefined {
  try {
    const value: unknown = JSON.parse(json)
    return Array.isArray(value) ? value : undefined
  } catch {
    // Not JSON: the caller is told like for any wrong arguments.
    return undefined
  }
}
