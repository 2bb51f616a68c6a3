/** Places where there is least. Stands in where the scheduler itself is not what is looked at. */
import type { Placer, PlacerMachine } from '../cluster/reconcile/placer.ts'
import type { Place } from '../cluster/reconcile/unit-view.ts'
import type { PlacementRules } from '../unit/placement-rules.ts'

export class NaivePlacer implements Placer {
  #machines: readonly PlacerMachine[] = []
  readonly #units = new Map<string, { slot: number; machineId: string }[]>()
  readonly #rules = new Map<string, PlacementRules | undefined>()

  setMachines(machines: readonly PlacerMachine[]): void {
    this.#machines = machines
  }

  setUnit(
    unit: string,
    rules: PlacementRules | undefined,
    places: readonly { readonly slot: number; readonly machineId: string }[],
  ): void {
    this.#rules.set(unit, rules)
    this.#units.set(unit, [...places])
  }

  place(unit: string, slot: number, avoid: ReadonlySet<string>): Place {
    const perNode = this.#rules.get(unit)?.perNode ?? 0
    const own = (machineId: string) =>
      (this.#units.get(unit) ?? []).filter(
        (each) => each.machineId === machineId && each.slot !== slot,
      ).length
    const all = (machineId: string) =>
      [...this.#units.values()].flat().filter((each) => each.machineId === machineId).length
    const [best] = this.#machines
      .filter(({ closed, machineId }) => closed === undefined && !avoid.has(machineId))
      .filter(({ machineId }) => perNode === 0 || own(machineId) < perNode)
      .map(({ machineId, name }) => ({ machineId, name, own: own(machineId), all: all(machineId) }))
      .sort((a, b) => a.own - b.own || a.all - b.all || (a.name < b.name ? -1 : 1))
    if (best === undefined) return { kind: 'nowhere', why: 'no machine fits' }
    this.#units.get(unit)?.push({ slot, machineId: best.machineId })
    return { kind: 'placed', machineId: best.machineId, why: `${best.name} has least` }
  }

  everywhere(): readonly string[] {
    return this.#machines
      .filter(({ closed }) => closed !== 'draining')
      .map((each) => each.machineId)
  }

  surplus(unit: string, count: number): readonly number[] {
    const slots = new Set((this.#units.get(unit) ?? []).map(({ slot }) => slot))
    return [...slots].sort((a, b) => b - a).slice(0, count)
  }
}
