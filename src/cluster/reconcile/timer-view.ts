/**
 * A timer of the fleet as State has it, and what follows from that, pure: the same for whoever
 * leads, and for whoever only wants to show it.
 */
import { decideTimer, type TimerDecision, timerDueMs } from '../../unit/timer-schedule.ts'
import type { TimerUnit } from '../../unit/timer-unit.ts'
import type { SlotRecord, SpecRecord } from './records.ts'
import { roundState } from './rounds.ts'

export interface TimerView {
  readonly timer: TimerUnit
  /** The timer's own record. */
  readonly spec: SpecRecord
  /** Of the unit that it starts; undefined when the fleet does not know that. */
  readonly target: SpecRecord | undefined
  readonly slots: readonly SlotRecord[]
  /** Makes random delays differ between fleets. */
  readonly seed: string
}

export type FleetTimerDecision =
  | TimerDecision
  | { readonly kind: 'stopped' }
  | { readonly kind: 'no-target' }

export function decideFleetTimer(view: TimerView, wallMs: number): FleetTimerDecision {
  const { timer, spec, target, slots, seed } = view
  const { timer: record, wanted } = spec
  if (!wanted || record === undefined) return { kind: 'stopped' }
  if (target === undefined) return { kind: 'no-target' }
  const { zone, ...done } = record
  const state = { ...done, ...roundState(target, slots) }
  return decideTimer(timer, state, { zone, seed }, wallMs)
}

/** When it is due next; while its unit runs, by its calendars. Undefined: nobody can tell. */
export function nextDueMs(view: TimerView, wallMs: number): number | undefined {
  const { timer, spec, target, slots, seed } = view
  if (!spec.wanted || spec.timer === undefined) return undefined
  const { zone, ...done } = spec.timer
  const state = { ...done, ...roundState(target, slots) }
  const known = state.unitRunning ? { ...timer, spans: [] } : timer
  const decision = decideTimer(known, { ...state, unitRunning: false }, { zone, seed }, wallMs)
  if (decision.kind === 'wait') return decision.dueMs
  return decision.kind === 'fire' ? timerDueMs(timer, seed, decision.scheduledMs) : undefined
}

/** Why it waits, for people. */
export function whyTimerWaits({ timer }: TimerView, decision: FleetTimerDecision): string {
  switch (decision.kind) {
    case 'stopped':
      return 'it is stopped'
    case 'no-target':
      return `the fleet has no ${timer.unit}; load its file, too`
    case 'wait-for-unit':
      return `it waits for ${timer.unit}`
    case 'elapsed':
      return 'it will not elapse again'
    case 'wait':
      return 'its time has not come'
    case 'fire':
    case 'pass':
      return 'it is due'
  }
}
