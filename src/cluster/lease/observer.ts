/**
 * Watches leases from outside. A revision is timed on this machine's own clock from when it was
 * first seen; two machines' clocks are never compared. That a lease is overdue here only allows an
 * attempt to break it, a txn at exactly the revision that was timed: if the holder renewed in the
 * meantime, it fails.
 */
import type { Clock } from '../../base/clock.ts'
import type { LeaseRecord } from './record.ts'
import { leaseTimes } from './times.ts'

export interface ObservedLease {
  readonly lease: LeaseRecord
  readonly revision: number
  readonly firstSeenMs: number
}

export class LeaseObserver {
  readonly #clock: Clock
  readonly #observed = new Map<string, ObservedLease>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get(machineId: string): ObservedLease | undefined {
    return this.#observed.get(machineId)
  }

  machines(): readonly string[] {
    return [...this.#observed.keys()]
  }

  see(machineId: string, lease: LeaseRecord, revision: number): void {
    if (this.#observed.get(machineId)?.revision === revision) return
    this.#observed.set(machineId, { lease, revision, firstSeenMs: this.#clock.nowMs() })
  }

  gone(machineId: string): void {
    this.#observed.delete(machineId)
  }

  /**
   * Times every lease afresh. After the state was away, holders had no way to renew, and what they
   * stopped is best started again where it was.
   */
  restart(): void {
    const firstSeenMs = this.#clock.nowMs()
    for (const [machineId, observed] of this.#observed) {
      this.#observed.set(machineId, { ...observed, firstSeenMs })
    }
  }

  /** Whether it was held, and has not been renewed for so long that it may be broken. */
  isOverdue(machineId: string): boolean {
    const observed = this.#observed.get(machineId)
    if (observed === undefined || observed.lease.status !== 'held') return false
    return this.#clock.nowMs() - observed.firstSeenMs >= leaseTimes.observeMs
  }
}
