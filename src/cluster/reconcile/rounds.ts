/**
 * The rounds of a unit, pure. Every start of a unit that does not run is a round with a number. Its
 * instances carry that; when one has ended by itself, the leader records it in its slot, and when
 * all have, in the unit's record. From then on it does not matter what becomes of their machines:
 * only the next round starts them again.
 */

import type { PlacementRules } from '../../unit/placement-rules.ts'
import type { TimerState } from '../../unit/timer-schedule.ts'
import type { RoundRecord, SlotRecord, SpecRecord, Stored } from './records.ts'

/** 0: it was never started. */
export function roundNumber(spec: SpecRecord | undefined): number {
  return spec?.round?.number ?? 0
}

export function isOver({ round }: SpecRecord): boolean {
  return round?.endedAtMs !== undefined
}

/** As somebody who starts it leaves it: in the same round while it runs. */
export function started(before: SpecRecord, by: string, atMs: number): SpecRecord {
  if (before.wanted && !isOver(before)) return { ...before, asked: 'start' }
  const round: RoundRecord = { number: roundNumber(before) + 1, atMs, by }
  return { ...before, wanted: true, asked: 'start', up: false, round }
}

/** The same beside what runs of it. */
export function startedBeside(before: SpecRecord, by: string, atMs: number): SpecRecord {
  const round: RoundRecord = { number: roundNumber(before) + 1, atMs, by, beside: true }
  return { ...before, wanted: true, asked: 'start', round }
}

export function stopped(before: SpecRecord, atMs: number): SpecRecord {
  const { round } = before
  if (!before.wanted) return { ...before, asked: 'stop' }
  const after: SpecRecord = { ...before, wanted: false, asked: 'stop', up: false }
  if (round === undefined || isOver(before)) return after
  return { ...after, round: { ...round, endedAtMs: atMs } }
}

/** Part of an earlier round that goes on beside the last one. */
export function isEarlier(slot: SlotRecord, spec: SpecRecord): boolean {
  const { round, ended, machineId } = slot
  if (machineId === '' || ended !== undefined || spec.round?.beside !== true) return false
  return (round ?? 0) < roundNumber(spec)
}

/** Whether its instance has ended in the round that is the last one. */
export function hasEnded({ ended, round }: SlotRecord, spec: SpecRecord | undefined): boolean {
  return ended !== undefined && (round ?? 0) === roundNumber(spec)
}

/** What a timer must know of the unit that it starts. */
export function roundState(
  spec: SpecRecord | undefined,
  slots: Iterable<SlotRecord>,
): Pick<TimerState, 'unitRunning' | 'unitActiveAtMs' | 'unitInactiveAtMs'> {
  const round = spec?.round
  // What was stopped may still be stopping.
  const isThere = [...slots].some(({ machineId, ended }) => machineId !== '' && !ended)
  return {
    unitRunning: isThere || (spec?.wanted === true && !isOver(spec)),
    ...(round === undefined ? {} : { unitActiveAtMs: round.atMs }),
    ...(round?.endedAtMs === undefined ? {} : { unitInactiveAtMs: round.endedAtMs }),
  }
}

/** Every instance of the unit's last round was given a machine. */
export function isPlaced(
  spec: SpecRecord | undefined,
  rules: PlacementRules | undefined,
  all: ReadonlyMap<number, Stored<SlotRecord>>,
): boolean {
  if (spec === undefined || rules === undefined) return false
  const slots = [...all.values()].filter(
    ({ record }) => !isEarlier(record, spec) && (record.round ?? 0) === roundNumber(spec),
  )
  return slots.length >= (rules.global ? 1 : (spec.scale ?? rules.instances))
}
