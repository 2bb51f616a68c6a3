/**
 * The calling side of a link: what is in flight, and how each call ends. A call ends by its answer,
 * by its signal (the other side is then told to stop: `flush`), or with the link; whichever is
 * first.
 *
 * Invariant: every call is settled exactly once, and after that nothing of it is kept: no listener,
 * no timer, no entry here or in capnweb.
 */
import { RpcSession } from 'capnweb'
import { assert } from '../base/assert.ts'
import { abortError, type Clock, remainingMs, type Timer } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { Method } from './interface.ts'
import { fitsIntoFrame, type RpcLimits } from './rpc-limits.ts'
import type { Transport } from './transport.ts'
import { fromWire } from './wire-errors.ts'

/** What is used of a capnweb stub: `[args as JSON, ms, call id] → JSON text or a stub`. */
export type WireFunction = (...args: readonly (string | number)[]) => WireResult
export type WireResult = PromiseLike<unknown> & Disposable
export type Stub = Readonly<Record<string, WireFunction>> & Disposable

export interface ClientStats {
  readonly callsInFlight: number
  /** Capabilities held, the main object included. */
  readonly capabilities: number
  /** Entries of capnweb's tables. */
  readonly imports: number
  readonly exports: number
}

/** One call under way. It is its own listener for its signal's abort. */
class Call {
  readonly id: number
  readonly method: Method
  readonly signal: AbortSignal
  readonly #session: ClientSession
  readonly resolve: (value: unknown) => void
  readonly reject: (error: HolonError) => void
  /** Set when the signal has no deadline: then the session keeps one. */
  endMs = 0
  wire: WireResult | undefined

  constructor(
    session: ClientSession,
    id: number,
    method: Method,
    signal: AbortSignal,
    resolve: (value: unknown) => void,
    reject: (error: HolonError) => void,
  ) {
    this.#session = session
    this.id = id
    this.method = method
    this.signal = signal
    this.resolve = resolve
    this.reject = reject
  }

  handleEvent(): void {
    this.#session.abandon(this, labelled(this.method, abortError(this.signal)))
  }
}

export class ClientSession {
  readonly #clock: Clock
  readonly #transport: Transport
  readonly #limits: RpcLimits
  readonly #rpc: RpcSession<undefined>
  readonly main: Stub
  /** By id, in order of their start. */
  readonly #calls = new Map<number, Call>()
  /**
   * Those of them whose deadline is kept here; all have the same timeout, so the first ends first.
   */
  readonly #timed = new Map<number, Call>()
  #timer: Timer | undefined
  #lastId = 0
  #capabilities = 0

  constructor(clock: Clock, transport: Transport, limits: RpcLimits) {
    this.#clock = clock
    this.#transport = transport
    this.#limits = limits
    this.#rpc = new RpcSession(transport)
    this.main = this.#rpc.getRemoteMain() as unknown as Stub
  }

  get busy(): boolean {
    return this.#calls.size > 0
  }

  get stats(): ClientStats {
    return {
      callsInFlight: this.#calls.size,
      capabilities: this.#capabilities,
      ...this.#rpc.getStats(),
    }
  }

  /** Counts the capabilities held, for `stats`. */
  held(change: 1 | -1): void {
    this.#capabilities += change
  }

  /**
   * Calls `send`, a function of a stub. `args` ends with CallOptions and is taken over.
   * Resolves to the value, or for a capability to its stub, owned by the caller.
   */
  call(method: Method, send: WireFunction, args: unknown[]): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const refusal = this.#refusal(method, args)
      if (refusal !== undefined) return reject(refusal)
      const { signal } = args.pop() as { readonly signal: AbortSignal }
      const json = JSON.stringify(args)
      if (!fitsIntoFrame(json, this.#limits.frameBytesMax))
        return reject(tooLong(method, this.#limits.frameBytesMax))
      const id = ++this.#lastId
      const call = new Call(this, id, method, signal, resolve, reject)
      this.#start(call, send, json)
    })
  }

  /** Ends `call` before its answer came, and tells the other side to stop working on it. */
  abandon(call: Call, error: HolonError): void {
    if (!this.#finish(call)) return
    call.reject(error)
    // Frees the answer's place here; a capability that still comes is released by capnweb.
    call.wire?.[Symbol.dispose]()
    if (this.#transport.reason === undefined) this.main['flush']?.(call.id)[Symbol.dispose]()
  }

  /** The link has ended: every call fails with what that means for it. */
  end(reason: HolonError): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    for (const call of [...this.#calls.values()])
      if (this.#finish(call)) call.reject(brokenError(call.method, reason))
  }

  #start(call: Call, send: WireFunction, json: string): void {
    let ms = remainingMs(call.signal)
    if (ms === undefined) {
      ms = this.#limits.callTimeoutMs
      this.#keepDeadline(call, ms)
    }
    this.#calls.set(call.id, call)
    call.signal.addEventListener('abort', call, { once: true })
    this.#transport.wake()
    const wire = send(json, Math.ceil(ms), call.id)
    call.wire = wire
    wire.then(
      (value) => this.#answered(call, value),
      (error) => {
        if (this.#finish(call)) call.reject(fromWire(error))
      },
    )
  }

  #answered(call: Call, value: unknown): void {
    const isStub = typeof value === 'function'
    const wanted = this.#finish(call)
    if (wanted && isStub === (call.method.returns !== undefined)) {
      if (isStub || value === undefined || call.method.isText) call.resolve(value)
      else resolveJson(call, value as string)
      return
    }
    if (isStub) (value as unknown as Disposable)[Symbol.dispose]()
    if (wanted) call.reject(badAnswer(call.method))
  }

  /** Forgets `call`; false when it was over already. */
  #finish(call: Call): boolean {
    if (!this.#calls.delete(call.id)) return false
    if (call.endMs !== 0) this.#timed.delete(call.id)
    call.signal.removeEventListener('abort', call)
    return true
  }

  /** Why the call may not even start, or undefined. */
  #refusal(method: Method, args: readonly unknown[]): HolonError | undefined {
    const options = args[args.length - 1] as { readonly signal?: unknown } | undefined
    if (args.length !== method.args + 1 || !(options?.signal instanceof AbortSignal))
      return new HolonError(
        'invalid_argument',
        `${method.label} takes ${method.args} arguments and then {signal}`,
      )
    if (options.signal.aborted) return notSent(labelled(method, abortError(options.signal)))
    const { reason } = this.#transport
    if (reason !== undefined) return notSent(brokenError(method, reason))
    if (this.#calls.size < this.#limits.callsMax) return undefined
    return new HolonError(
      'exhausted',
      `${method.label}: ${this.#calls.size} calls are in flight on this link, ` +
        'which is the most it takes; wait for some of them',
    )
  }

  #keepDeadline(call: Call, ms: number): void {
    call.endMs = this.#clock.nowMs() + ms
    this.#timed.set(call.id, call)
    // One timer for all of them: it stays when its call ends, and is set anew once it fires.
    if (this.#timer === undefined) this.#armTimer(ms)
  }

  #armTimer(ms: number): void {
    this.#timer = this.#clock.timer(ms, () => this.#expire(), { background: true })
  }

  #expire(): void {
    this.#timer = undefined
    const nowMs = this.#clock.nowMs()
    for (const call of this.#timed.values()) {
      if (call.endMs > nowMs) {
        this.#armTimer(call.endMs - nowMs)
        return
      }
      this.abandon(call, timeoutError(call.method, this.#limits.callTimeoutMs))
    }
  }
}

function resolveJson(call: Call, json: string): void {
  try {
    call.resolve(JSON.parse(json))
  } catch (error) {
    call.reject(badAnswer(call.method, error))
  }
}

function tooLong(method: Method, frameBytesMax: number): HolonError {
  return new HolonError(
    'exhausted',
    `${method.label}: the arguments are longer than a message may be (${frameBytesMax} bytes)`,
    { details: { frameBytesMax } },
  )
}

function timeoutError(method: Method, timeoutMs: number): HolonError {
  return new HolonError('deadline_exceeded', `${method.label}: no answer within ${timeoutMs} ms`, {
    outcome: 'unknown',
    details: { timeoutMs },
  })
}

/**
 * What the end of the link means for a call: whether it happened is known only if it is harmless.
 */
function brokenError(method: Method, reason: HolonError): HolonError {
  return new HolonError(reason.code, `${method.label}: ${reason.message}`, {
    retryable: reason.retryable && method.idempotent,
    outcome: method.idempotent ? 'none' : 'unknown',
    details: reason.details,
    cause: reason,
  })
}

function labelled(method: Method, error: HolonError): HolonError {
  const { code, message, retryable, outcome, details } = error
  const text = `${method.label}: ${message}`
  return new HolonError(code, text, { retryable, outcome, details, cause: error })
}

function notSent(error: HolonError): HolonError {
  const { code, message, retryable, details } = error
  return new HolonError(code, message, { retryable, outcome: 'none', details, cause: error })
}

function badAnswer(method: Method, cause?: unknown): HolonError {
  return new HolonError('internal', `${method.label}: the answer is not of the described kind`, {
    outcome: 'unknown',
    cause,
  })
}

/** For the compiler and the reader: a stub has every method of its descriptor. */
export function wireFunction(stub: Stub, name: string): WireFunction {
  const send = stub[name]
  assert(send !== undefined, 'a stub answers to any name')
  return send
}
