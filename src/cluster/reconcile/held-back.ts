/**
 * What does not happen for now, and why: as the machine that decides sees it, and no other. Nobody
 * needs it but people, so it is asked for and kept nowhere.
 */
import type { Fitting } from '../../kernel/decisions.ts'

export interface HeldBackQuery {
  /** What waits is told of these only; without it, of all units. */
  readonly units?: readonly string[]
  /** Of this unit, which machines would have one more. */
  readonly fitting?: string
}

export interface WaitingRow {
  readonly unit: string
  readonly slot: number
  readonly why: string
}

export interface HeldBack {
  /** Instances that wait, at most `limits.waitingRowsMax`. */
  readonly waiting: readonly WaitingRow[]
  /** Why nothing is moved away from a zone, a sentence for each. */
  readonly pauses: readonly string[]
  /** What was asked for; absent where nobody places the unit. */
  readonly fitting?: Fitting
}
