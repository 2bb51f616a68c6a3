/** `control/lease/<machineId>`: under which epoch a machine may run what must not run twice. */
import { HolonError } from '../../base/errors.ts'
import { isJsonObject } from '../fields.ts'

export const leasePrefix = 'control/lease/'

export function leaseKey(machineId: string): string {
  return `${leasePrefix}${machineId}`
}

export interface LeaseRecord {
  /** Grows whenever the machine registers anew. Claims carry it; an older one is void. */
  readonly epoch: number
  /** `held`: renewed by the machine. The others are ends: nothing is claimed under this epoch. */
  readonly status: 'held' | 'released' | 'broken'
  /** Counts renewals: each is a change of the key. */
  readonly renewals: number
}

export function parseLease(value: unknown): LeaseRecord {
  if (isJsonObject(value)) {
    const { epoch, status, renewals } = value
    const known = status === 'held' || status === 'released' || status === 'broken'
    if (typeof epoch === 'number' && typeof renewals === 'number' && known) {
      return { epoch, status, renewals }
    }
  }
  throw new HolonError('internal', `no record of a lease: ${JSON.stringify(value)}`)
}

/** Whether a claim made under `epoch` gives no right any more. */
export function isVoid(lease: LeaseRecord | undefined, epoch: number): boolean {
  return lease === undefined || lease.epoch > epoch || lease.status !== 'held'
}
