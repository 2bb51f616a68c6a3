/**
 * What was decided about units and machines, and why: plain values as in types.ts.
 */
import type { UnitStatus } from './types.ts'

/** One recorded decision: what was done or seen, when, and why. */
export interface Decision {
  readonly atMs: number
  readonly machine: string
  /** The instance it concerns; absent for the whole unit. */
  readonly instance?: string
  /** The machine it is about; absent where it is about a unit. */
  readonly about?: string
  readonly what: string
  readonly why: string
}

export interface WhyAnswer {
  readonly unit: string
  readonly status: UnitStatus
  /** Oldest first. */
  readonly decisions: readonly Decision[]
  /** What comes next, one sentence each. */
  readonly next: readonly string[]
  /** Of a unit of the fleet; absent while nobody leads, and where it is stopped. */
  readonly fitting?: Fitting
}

/** A decision about one of the fleet's units, or what was seen of a machine. */
export interface FleetEvent extends Decision {
  /** Absent where it is about a machine. */
  readonly unit?: string
}

export interface EventQuery {
  /** Only about this unit. */
  readonly unit?: string
  /** Only about this machine, by name. */
  readonly about?: string
  /** Only the last so many. Default: all that a page holds, which is limits.eventsPageMax. */
  readonly tail?: number
  /** Continue after this position, from an earlier page of the same query. */
  readonly cursor?: string
  /** Wait until there is something, so long at most; an empty page then is no error. */
  readonly waitMs?: number
}

/** In order of time; pass `cursor` on to get what came since. */
export interface EventPage {
  readonly events: readonly FleetEvent[]
  readonly cursor: string
}

/** Which machines would have one more instance of a unit now, and what refuses the others. */
export interface Fitting {
  /** All machines that are known. */
  readonly machines: number
  /** Those where it could be placed now. */
  readonly fitting: number
  /** What refuses the others, the commonest first; each machine counts once. At most 12. */
  readonly refusals: readonly Refusal[]
}

export interface Refusal {
  /** "not disk=ssd", "apart from db.service", "cordoned". */
  readonly why: string
  readonly count: number
  /** At most four of them, by name. */
  readonly examples: readonly RefusedMachine[]
}

export interface RefusedMachine {
  readonly machine: string
  /** "mem is 1.0G, not >=2G"; absent where there is no more to say. */
  readonly detail?: string
}
