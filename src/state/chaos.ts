/** What the simulated engine may do to its callers: everything the port allows, by probability. */

export interface Chaos {
  /** A txn is answered `unknown`: it happened, never will, or happens later. */
  readonly unknown: number
  /** Any call is answered `unavailable`; a watch ends with that error. */
  readonly unavailable: number
  /** A watch event is followed by one that came before (per key never an older one). */
  readonly duplicate: number
  /** A watch event waits, up to `lateMsMax`. */
  readonly late: number
  /** A watch gets `reset` before an event. */
  readonly reset: number
  /** A stale read answers with the value before. */
  readonly stale: number
  /** Bound of late events and of txns that happen later. */
  readonly lateMsMax: number
  /** Each way, of every call. */
  readonly latencyMsMax: number
}

export const noChaos: Chaos = {
  unknown: 0,
  unavailable: 0,
  duplicate: 0,
  late: 0,
  reset: 0,
  stale: 0,
  lateMsMax: 0,
  latencyMsMax: 0,
}

/** Much of everything, so that a short test meets each kind. */
export const wildChaos: Chaos = {
  unknown: 0.2,
  unavailable: 0.1,
  duplicate: 0.2,
  late: 0.2,
  reset: 0.05,
  stale: 0.5,
  lateMsMax: 20,
  latencyMsMax: 2,
}
