/** How calls end that are refused before they begin, alike for all engines. */
import { abortError } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'

export function closedError(): HolonError {
  return new HolonError('unavailable', 'the state is closed', { retryable: false })
}

/** The signal's error for a call that certainly did nothing. */
export function notDone(signal: AbortSignal): HolonError {
  const { code, message, retryable, details, cause } = abortError(signal)
  return new HolonError(code, message, { outcome: 'none', retryable, details, cause })
}
