/**
 * Moving instances of a unit to better places, pure: only of a unit that is at rest as a whole.
 * Each is ready in its new place before it ends in the old one. What must not run twice would have
 * to stop for that, which no better place is worth.
 */
import type { PlacementRules } from '../../unit/placement-rules.ts'
import { moveTo, type SlotOutcome } from './plan-slot.ts'
import type { UnitView } from './unit-view.ts'

/** Whether instances of the unit ever move by themselves. */
export function mayMove(rules: PlacementRules): boolean {
  return rules.rebalance !== 'no' && !rules.global && rules.partition !== 'at-most'
}

export function planMoves(view: UnitView): readonly SlotOutcome[] {
  const { context, input } = view
  const { spec, rules, slots } = input
  if (context.betterPlaces === undefined || rules === undefined || !mayMove(rules)) return []
  if (spec?.record.wanted !== true || spec.record.rollout?.status === 'going') return []
  for (const seen of slots.values()) if (!view.isSettled(seen)) return []
  return context.betterPlaces(view.step).flatMap(({ slot, from, to, why }) => {
    const seen = slots.get(slot)
    if (seen === undefined || seen.record.machineId !== from) return []
    if (view.failures(seen).some(({ machineId }) => machineId === to)) return []
    return [moveTo(view, seen, { machineId: to }, `Rebalance=${rules.rebalance}: ${why}`)]
  })
}
