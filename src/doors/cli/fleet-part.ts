/** A unit of the fleet in words: what its change has come to, and why its instances are there. */
import type { FleetPart, UnitStatus } from '../../kernel/types.ts'
import { ago, duration } from './time.ts'

/** Whether instances still have another text than the one that is wanted. */
export function isChanging({ wanted, fleet }: UnitStatus): boolean {
  if (fleet === undefined) return false
  if (fleet.rollout?.status === 'going') return true
  return wanted && fleet.slots.some(({ spec }) => spec !== fleet.spec)
}

/** The change that ended in the text that is wanted now, by being taken back. */
export function takenBack({ rollout, spec }: FleetPart): FleetPart['rollout'] {
  return rollout?.status === 'failed' && rollout.to === spec ? rollout : undefined
}

/** "2 of 5 instances have text 3, which is being brought out". */
export function rolloutText(status: UnitStatus, fleet: FleetPart, nowMs: number): string {
  const { slots, spec } = fleet
  const have = slots.filter((slot) => slot.spec === spec).length
  const text =
    `${have} of ${slots.length} instances have text ${spec}` +
    (isChanging(status) ? ', which is being brought out' : '')
  const failed = takenBack(fleet)
  if (failed === undefined) return text
  return `${text}; text ${failed.from} was taken back ${ago(nowMs - failed.sinceMs)}: ${failed.why}`
}

/** "here because it is the least busy one; n3 takes over once it is ready there". */
export function placeText({ why, next }: FleetPart['slots'][number]): string {
  const moving = next === undefined ? '' : `; ${next} takes over once it is ready there`
  return `here because ${why}${moving}`
}

/** "7, started by backup.timer 3min ago, over after 12s"; undefined before the first one. */
export function roundText({ round }: FleetPart, nowMs: number): string | undefined {
  if (round === undefined) return undefined
  const { number, by, atMs, endedAtMs } = round
  const begun = `${number}, started by ${by} ${ago(nowMs - atMs)}`
  return endedAtMs === undefined ? begun : `${begun}, over after ${duration(endedAtMs - atMs)}`
}
