/** On whose behalf a call is made. */
import { HolonError } from '../base/errors.ts'

/** Proven by the socket that the call came through: only this uid can enter its directory. */
export interface Caller {
  readonly uid: number
}

/** Root may do everything; others act on their own. `what` completes "may not …". */
export function requireOwner(caller: Caller, ownerUid: number, what: string): void {
  if (caller.uid === 0 || caller.uid === ownerUid) return
  throw new HolonError('permission_denied', `uid ${caller.uid} may not ${what}`)
}
