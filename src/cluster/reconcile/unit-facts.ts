/** What a leader must know of a unit's text. */
import { unitProblemsError } from '../../unit/parse.ts'
import type { PlacementRules } from '../../unit/placement-rules.ts'
import type { PortTerms } from '../../unit/port-terms.ts'
import type { ServiceUnit, UnitDependency } from '../../unit/service-unit.ts'
import { loadTimer, type TimerUnit } from '../../unit/timer-unit.ts'
import { loadUnit } from '../../unit/unit.ts'

/** What the text of a unit says that the leader must know. */
export interface UnitFacts {
  readonly rules: PlacementRules
  readonly settleMs: number
  readonly readyTimeoutMs: number
  readonly dependencies: readonly UnitDependency[]
  /** How it is reached from outside, if it is. */
  readonly serves?: PortTerms
  /** Whether an instance that has failed for good is over, and not tried elsewhere. */
  readonly failureEnds: 'always' | 'by-timer' | 'never'
}

/** A service that only runs counts as settled after this; one that tells its readiness at once. */
const settleMs = 3_000
/** On top of its own time to start: what placing, claiming and conditions take. */
const readyMarginMs = 20_000
const noTimeoutMs = 10 * 60_000

/** Throws `invalid_argument` for a text that cannot be read. */
export function unitFacts(name: string, text: string): UnitFacts {
  const loaded = loadUnit({ name, text })
  if (loaded.kind === 'refused') throw unitProblemsError(name, loaded.problems)
  const { dependencies, placement, type, timeoutStartMs, restart, serves } = loaded.unit
  const tells = type === 'notify' || type === 'oneshot' || serves !== undefined
  return {
    rules: placement,
    dependencies,
    settleMs: tells ? 0 : settleMs,
    failureEnds: failureEnds(type, restart),
    ...(serves === undefined ? {} : { serves }),
    readyTimeoutMs: (timeoutStartMs === 0 ? noTimeoutMs : timeoutStartMs) + readyMarginMs,
  }
}

/** Without Restart= what a timer starts is not tried again; a oneshot service never is. */
function failureEnds(
  type: ServiceUnit['type'],
  restart: ServiceUnit['restart'],
): UnitFacts['failureEnds'] {
  if (restart !== 'no' && restart !== 'on-success') return 'never'
  return type === 'oneshot' ? 'always' : 'by-timer'
}

/** Throws `invalid_argument` for a text that cannot be read. */
export function readTimer(name: string, text: string): TimerUnit {
  const loaded = loadTimer({ name, text })
  if (loaded.kind === 'refused') throw unitProblemsError(name, loaded.problems)
  return loaded.unit
}
