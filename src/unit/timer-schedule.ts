/**
 * What a timer is to do now: pure, from the timer, what is recorded of it, and the time. Whoever
 * asks records the moment of `fire` and of `pass` in the same transaction that starts the unit, if
 * nobody else has meanwhile, and asks again. So it does not matter who asks, how often, how late.
 *
 * Invariants, where clocks of machines differ by at most `limits.clockGraceMs`:
 * - a moment that is recorded, or lies before it, is never given again;
 * - a moment is left out only by a policy: OnMissed= (nobody could act on it for too long),
 *   Overlap= (the unit was running), or because an earlier one was still being delayed at random,
 *   as with systemd;
 * - every machine computes the same moments and delays: they depend on the arguments alone.
 */
import { hash } from 'node:crypto'
import { limits } from '../base/limits.ts'
import { nextElapse } from './calendar-next.ts'
import type { TimerSpan, TimerUnit } from './timer-unit.ts'

/** What is recorded of a timer; all in milliseconds of wall time. */
export interface TimerState {
  /** When the timer was started. */
  readonly activatedAtMs: number
  /** The scheduled moment last fired or passed over; with Persistent= also from earlier times. */
  readonly lastScheduledMs?: number
  /** When the timer last started its unit. */
  readonly lastFiredAtMs?: number
  /** When the unit last became active, by whatever cause, and when it last ended. */
  readonly unitActiveAtMs?: number
  readonly unitInactiveAtMs?: number
  readonly unitRunning: boolean
}

export interface TimerContext {
  /** The time zone of calendars that name none. */
  readonly zone: string
  /** What makes random delays differ between fleets; the same on all machines of one. */
  readonly seed: string
}

export type TimerDecision =
  /**
   * Start the unit. `missedFromMs` is the first moment that this one makes up for, too; they count
   * as done with it.
   */
  | { readonly kind: 'fire'; readonly scheduledMs: number; readonly missedFromMs?: number }
  /** Missed, and not to be made up for: record it, start nothing. */
  | { readonly kind: 'pass'; readonly scheduledMs: number; readonly missedFromMs: number }
  /** Ask again at `dueMs`, or when the unit starts or ends. */
  | { readonly kind: 'wait'; readonly scheduledMs: number; readonly dueMs: number }
  /** Ask again when the unit has ended, or has run for the first time. */
  | { readonly kind: 'wait-for-unit' }
  /** Never again; without RemainAfterElapse= the timer is stopped. */
  | { readonly kind: 'elapsed' }

export function decideTimer(
  timer: TimerUnit,
  state: TimerState,
  context: TimerContext,
  nowMs: number,
): TimerDecision {
  // As with systemd: nothing elapses while the unit runs.
  if (state.unitRunning && timer.overlap !== 'allow') return { kind: 'wait-for-unit' }
  const schedule = new TimerSchedule(timer, state, context, nowMs)
  const calendar = schedule.calendar()
  const span = schedule.span()
  // A span first where the calendar has only something to pass over: that must not take it along.
  if (span?.kind === 'fire' && (calendar?.kind === 'pass' || !isBefore(calendar, span))) return span
  if (calendar?.kind === 'fire' || calendar?.kind === 'pass') return calendar
  const decision = isBefore(calendar, span) ? calendar : span
  if (decision !== undefined) return decision
  const byUnit = timer.spans.some(({ base }) => base !== 'timer')
  return { kind: byUnit ? 'wait-for-unit' : 'elapsed' }
}

type Scheduled = Extract<TimerDecision, { readonly scheduledMs: number }>

// Of two that wait, the one that is due first; otherwise the one that was scheduled first.
function isBefore(a: Scheduled | undefined, b: Scheduled | undefined): boolean {
  if (a === undefined || b === undefined) return a !== undefined
  if (a.kind === 'wait' && b.kind === 'wait') return a.dueMs <= b.dueMs
  if (a.kind === 'wait' || b.kind === 'wait') return b.kind === 'wait'
  return a.scheduledMs <= b.scheduledMs
}

/** The scheduled moment with its random delay: when it is to be acted on. */
export function timerDueMs(timer: TimerUnit, seed: string, scheduledMs: number): number {
  if (timer.randomizedDelayMs === 0) return scheduledMs
  const moment = timer.fixedRandomDelay ? '' : scheduledMs
  const digits = hash('sha256', JSON.stringify([seed, timer.name, moment]), 'hex').slice(0, 12)
  const share = Number.parseInt(digits, 16) / 2 ** 48
  return scheduledMs + Math.floor(share * timer.randomizedDelayMs)
}

class TimerSchedule {
  readonly #timer: TimerUnit
  readonly #state: TimerState
  readonly #context: TimerContext
  readonly #nowMs: number
  /** Everything up to here is done. */
  readonly #doneMs: number

  constructor(timer: TimerUnit, state: TimerState, context: TimerContext, nowMs: number) {
    this.#timer = timer
    this.#state = state
    this.#context = context
    this.#nowMs = nowMs
    const { lastScheduledMs: last } = state
    const doneMs = last === undefined ? Number.NEGATIVE_INFINITY : this.#dueMs(last)
    // Later than clocks can differ: ours was put back, and what comes again is to be done again.
    this.#doneMs = doneMs > nowMs + limits.clockGraceMs ? nowMs : doneMs
  }

  /** What OnCalendar= asks for. */
  calendar(): Scheduled | undefined {
    const { overlap, onMissed } = this.#timer
    const { unitInactiveAtMs = Number.NEGATIVE_INFINITY } = this.#state
    let first = this.#next(this.#calendarFromMs())
    if (overlap === 'skip' && first !== undefined && this.#cameWhileRunning(first)) {
      first = this.#next(unitInactiveAtMs)
    }
    if (first === undefined) return undefined
    const dueMs = this.#dueMs(first)
    if (dueMs > this.#nowMs) return { kind: 'wait', scheduledMs: first, dueMs }
    if (onMissed === 'run-all') return { kind: 'fire', scheduledMs: first }
    const queued = overlap === 'queue' && this.#cameWhileRunning(first)
    const lateMs = Math.max(this.#timer.accuracyMs, limits.timerLateMsMin)
    const lateAfterMs = (queued ? unitInactiveAtMs : dueMs) + lateMs
    if (this.#nowMs <= lateAfterMs) {
      // All that came while the unit ran are one.
      const until = queued ? Math.min(unitInactiveAtMs, this.#nowMs) : dueMs
      return fire(first, queued ? this.#latest(first, until) : first)
    }
    if (onMissed === 'run-once') return fire(first, this.#latest(first, this.#nowMs))
    const passed = this.#latest(first, this.#nowMs - lateMs)
    return { kind: 'pass', scheduledMs: passed, missedFromMs: first }
  }

  /** What the spans (OnBootSec=, OnUnitActiveSec=, …) ask for. They are never too late. */
  span(): Scheduled | undefined {
    let first: Scheduled | undefined
    for (const span of this.#timer.spans) {
      const sinceMs = this.#sinceMs(span)
      if (sinceMs === undefined) continue
      const scheduledMs = sinceMs + span.spanMs
      if (scheduledMs <= this.#doneMs) continue
      const dueMs = this.#dueMs(scheduledMs)
      const found: Scheduled =
        dueMs > this.#nowMs ? { kind: 'wait', scheduledMs, dueMs } : { kind: 'fire', scheduledMs }
      if (!isBefore(first, found)) first = found
    }
    return first
  }

  #calendarFromMs(): number {
    const { activatedAtMs, lastScheduledMs } = this.#state
    const known = this.#timer.persistent && lastScheduledMs !== undefined
    return known ? this.#doneMs : Math.max(this.#doneMs, activatedAtMs)
  }

  #sinceMs({ base }: TimerSpan): number | undefined {
    const { activatedAtMs, unitActiveAtMs, unitInactiveAtMs, lastFiredAtMs } = this.#state
    if (base === 'timer') return activatedAtMs
    const unitMs = base === 'unit-active' ? unitActiveAtMs : unitInactiveAtMs
    if (unitMs === undefined && lastFiredAtMs === undefined) return undefined
    // Another machine's clock may be ahead of ours.
    return Math.min(Math.max(unitMs ?? 0, lastFiredAtMs ?? 0), this.#nowMs)
  }

  // In the unit's last run, from its start to its end.
  #cameWhileRunning(scheduledMs: number): boolean {
    const { unitActiveAtMs, unitInactiveAtMs } = this.#state
    if (unitActiveAtMs === undefined || unitInactiveAtMs === undefined) return false
    const dueMs = this.#dueMs(scheduledMs)
    return unitActiveAtMs <= dueMs && dueMs <= unitInactiveAtMs
  }

  #dueMs(scheduledMs: number): number {
    return timerDueMs(this.#timer, this.#context.seed, scheduledMs)
  }

  /** The first moment of a calendar after `afterMs`. */
  #next(afterMs: number): number | undefined {
    let first: number | undefined
    for (const spec of this.#timer.calendars) {
      const next = nextElapse(spec, afterMs, this.#context.zone)
      if (next !== undefined && (first === undefined || next < first)) first = next
    }
    return first
  }

  /**
   * The last moment from `first` on that is due by `untilMs`. Found by halving, since there may be
   * millions, where no delay can matter; from there on one by one as they would have been fired.
   */
  #latest(first: number, untilMs: number): number {
    const { fixedRandomDelay, randomizedDelayMs } = this.#timer
    const delayMs = fixedRandomDelay ? this.#dueMs(first) - first : randomizedDelayMs
    const endMs = Math.floor(untilMs) - delayMs
    let found = first
    let highMs = endMs
    for (let lowMs = first; lowMs < highMs; ) {
      const middleMs = Math.floor((lowMs + highMs) / 2)
      const next = this.#next(middleMs)
      if (next === undefined || next > endMs) highMs = middleMs
      else lowMs = found = next
    }
    let next = this.#next(this.#dueMs(found))
    while (next !== undefined && this.#dueMs(next) <= untilMs) {
      found = next
      next = this.#next(this.#dueMs(found))
    }
    return found
  }
}

function fire(first: number, scheduledMs: number): Scheduled {
  const made: Scheduled = { kind: 'fire', scheduledMs }
  return scheduledMs === first ? made : { ...made, missedFromMs: first }
}
