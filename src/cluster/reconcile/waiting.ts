/**
 * Units of which something waits, with the reasons. What they wait for is mostly told: a machine is
 * back, an instance ready, another unit up. That time has passed, or that there is room again,
 * nobody tells: so they are planned again now and then, the more rarely the longer nothing has
 * come of it and the more there is to plan.
 */

/** Of the time for which nothing has come of it. */
const shareOfWait = 0.25
const msForSlot = 0.5
const pauseMaxMs = 5_000

interface WaitingUnit {
  readonly reasons: ReadonlyMap<number, string>
  readonly sinceMs: number
  readonly nextMs: number
}

export class Waiting {
  readonly #units = new Map<string, WaitingUnit>()

  /** A unit was planned. `isPatient`: nothing came of it, and nothing of it is under way. */
  planned(
    unit: string,
    reasons: ReadonlyMap<number, string>,
    {
      isPatient,
      slots,
      nowMs,
    }: { readonly isPatient: boolean; readonly slots: number; readonly nowMs: number },
  ): void {
    const before = this.#units.get(unit)
    const sinceMs = isPatient && before !== undefined ? before.sinceMs : nowMs
    const pauseMs = Math.max((nowMs - sinceMs) * shareOfWait, slots * msForSlot)
    const nextMs = isPatient ? nowMs + Math.min(pauseMs, pauseMaxMs) : nowMs
    this.#units.set(unit, { reasons, sinceMs, nextMs })
  }

  /** Nothing of it waits. */
  delete(unit: string): void {
    this.#units.delete(unit)
  }

  /** By slot, as of the last plan. */
  reasons(unit: string): ReadonlyMap<number, string> {
    return this.#units.get(unit)?.reasons ?? new Map()
  }

  /** Units of which something waits. */
  units(): readonly string[] {
    return [...this.#units].flatMap(([unit, { reasons }]) => (reasons.size > 0 ? [unit] : []))
  }

  /** Units to be planned again. */
  *due(nowMs: number): Iterable<string> {
    for (const [unit, { nextMs }] of this.#units) if (nextMs <= nowMs) yield unit
  }
}
