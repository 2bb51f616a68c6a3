/**
 * Which units a pass plans, pure: higher priority first, of equal ones who waits for longest, and
 * not so many at once that beats and answers wait. A very large unit is planned last and alone of
 * its kind, and not with each of its changes.
 */

/** So many slots are planned in one pass, and one unit that is larger than that. */
const slotsInPassMax = 5_000
/** After a unit was planned it rests for this, for each of its slots. */
const restForSlotMs = 0.1

export interface UnitsView {
  readonly nowMs: number
  readonly priority: (unit: string) => number
  readonly slots: (unit: string) => number
  /** When it was planned last. */
  readonly plannedMs: (unit: string) => number | undefined
}

export function takeUnits(
  units: readonly string[],
  { nowMs, priority, slots, plannedMs }: UnitsView,
): { readonly taken: readonly string[]; readonly slots: number } {
  const taken: string[] = []
  let giant: string | undefined
  let sum = 0
  for (const unit of units.toSorted((a, b) => priority(b) - priority(a))) {
    const count = slots(unit)
    const last = plannedMs(unit)
    if (last !== undefined && nowMs - last < count * restForSlotMs) continue
    if (count > slotsInPassMax) giant ??= unit
    else if (sum < slotsInPassMax) {
      sum += count
      taken.push(unit)
    }
  }
  if (giant === undefined) return { taken, slots: sum }
  return { taken: [...taken, giant], slots: sum + slots(giant) }
}
