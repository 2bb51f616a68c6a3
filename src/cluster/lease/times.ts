/**
 * The times of a lease, and the relation between them that makes it safe: whoever watched one
 * revision of a lease for `observeMs` on its own clock may break it, and by then the holder, on a
 * clock that runs up to `clockRateError` wrong, has noticed that its time is over and has stopped.
 *
 * What is not promised: a whole virtual machine that is paused beyond its lease runs on for the
 * moment until its keepers look at the clock. See docs/leases.md.
 */
import { assert } from '../../base/assert.ts'
import type { Clock } from '../../base/clock.ts'

export interface LeaseTimes {
  /** How often the holder renews. */
  readonly renewMs: number
  /** An acknowledged renewal lasts so long from the moment before it was sent. */
  readonly holdMs: number
  /** How long the holder's instances may take to be gone after that. */
  readonly stopMs: number
  /** How long a revision must have been seen unchanged before the lease may be broken. */
  readonly observeMs: number
  /** How wrong the rate of a clock may be: 0.05 is five percent. */
  readonly clockRateError: number
}

export const leaseTimes: LeaseTimes = {
  renewMs: 1_000,
  holdMs: 6_000,
  stopMs: 2_000,
  observeMs: 9_000,
  clockRateError: 0.05,
}

/** Whether breaking a lease by these times can never meet an instance that still runs. */
export function isSafe(times: LeaseTimes): boolean {
  const { holdMs, stopMs, observeMs, clockRateError: error } = times
  return observeMs * (1 - error) >= holdMs * (1 + error) + stopMs
}

assert(isSafe(leaseTimes), 'leases: observe (1 - error) >= hold (1 + error) + stop')
assert(leaseTimes.holdMs >= 3 * leaseTimes.renewMs, 'leases: hold >= 3 x renew')

/** One moment on both clocks of a machine. */
export interface Moment {
  readonly bootMs: number
  readonly wallMs: number
}

export function momentNow(clock: Clock): Moment {
  return { bootMs: clock.nowMs(), wallMs: clock.wallMs() }
}

/** The later of both, for each: a clock that stood still must not lengthen anything. */
export function elapsedMs(clock: Clock, since: Moment): number {
  return Math.max(clock.nowMs() - since.bootMs, clock.wallMs() - since.wallMs)
}
