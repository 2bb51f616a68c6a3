/**
 * Time as a dependency. Nothing outside src/io reads a clock or sets a timer by itself: it is given
 * a Clock, so that the same code runs under a simulated one. Reading the clock changes nothing.
 *
 * A wait is bounded by a Deadline: an AbortSignal that aborts with `deadline_exceeded`, or with
 * whatever its parent aborts with. How much is left can be asked of the signal alone
 * (`remainingMs`), so that the rest of a deadline can travel with a call.
 */
import { HolonError } from './errors.ts'

export interface Timer extends Disposable {
  /** Ends the timer; once or twice alike. */
  [Symbol.dispose](): void
}

export interface Clock {
  /** Milliseconds since boot, suspend included; never goes back. Fractions are allowed. */
  nowMs(): number
  /** Milliseconds since 1970-01-01 UTC; may jump. For people and for files, never for waits. */
  wallMs(): number
  /** Calls `fire` once after `delayMs` unless disposed. `background`: need not keep the process. */
  timer(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer
}

export interface Deadline extends Disposable {
  readonly signal: AbortSignal
  /** Frees the timer. The signal does not abort after this. */
  [Symbol.dispose](): void
}

const endBySignal = new WeakMap<AbortSignal, { readonly clock: Clock; readonly endMs: number }>()

/** A signal that aborts after `ms`, or when `parent` does, whichever comes first. */
export function deadline(clock: Clock, ms: number, parent?: AbortSignal): Deadline {
  const controller = new AbortController()
  const endMs = clock.nowMs() + ms
  const outer = parent === undefined ? undefined : endBySignal.get(parent)
  endBySignal.set(controller.signal, {
    clock,
    endMs: outer === undefined ? endMs : Math.min(endMs, outer.endMs),
  })
  const onParent = () => controller.abort(parent?.reason)
  const timer = clock.timer(ms, () => controller.abort(deadlineError(ms)))
  if (parent?.aborted) onParent()
  else parent?.addEventListener('abort', onParent, { once: true })
  return {
    signal: controller.signal,
    [Symbol.dispose]() {
      timer[Symbol.dispose]()
      parent?.removeEventListener('abort', onParent)
    },
  }
}

/**
 * Milliseconds left until `signal` aborts by its deadline, at least 0; undefined when it has none.
 */
export function remainingMs(signal: AbortSignal): number | undefined {
  const end = endBySignal.get(signal)
  return end === undefined ? undefined : Math.max(0, end.endMs - end.clock.nowMs())
}

function deadlineError(ms: number): HolonError {
  return new HolonError('deadline_exceeded', `no answer within ${formatMs(ms)}`, {
    outcome: 'unknown',
    details: { timeoutMs: ms },
  })
}

function formatMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 100) / 10} s`
}

/** The error a signal aborted with, as a HolonError: a foreign reason becomes `cancelled`. */
export function abortError(signal: AbortSignal): HolonError {
  const reason: unknown = signal.reason
  if (reason instanceof HolonError) return reason
  return new HolonError('cancelled', 'the call was cancelled', {
    outcome: 'unknown',
    cause: reason,
  })
}

/** Resolves after `ms`; rejects with the signal's error when it aborts first. */
export function sleep(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const onAbort = () => {
      timer[Symbol.dispose]()
      reject(abortError(signal))
    }
    const timer = clock.timer(ms, () => {
      signal.removeEventListener('abort', onAbort)
      resolve()
    })
    signal.addEventListener('abort', onAbort, { once: true })
  })
}

/** `work`, or the signal's error as soon as it aborts. The work itself is not stopped by this. */
export function withSignal<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const onAbort = () => reject(abortError(signal))
    signal.addEventListener('abort', onAbort, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', onAbort))
  })
}
