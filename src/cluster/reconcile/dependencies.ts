/** What units say of each other, kept together for the leader; plan-dependencies.ts decides. */
import type { UnitDependency } from '../../unit/service-unit.ts'
import type { ControlView } from './control-view.ts'
import { DependencyGraph } from './dependency-graph.ts'
import {
  type DependencyView,
  orderOf,
  type Spread,
  spread,
  type UnitOrder,
} from './plan-dependencies.ts'
import type { Reports } from './reports.ts'
import type { Presence } from './unit-view.ts'

export interface DependenciesDeps {
  readonly view: ControlView
  readonly reports: Reports
  readonly machines: () => readonly { readonly machineId: string; readonly presence: Presence }[]
  readonly nameOf: (machineId: string) => string
  /** Why slots of a unit wait, as of the last look. */
  readonly waiting: (unit: string) => ReadonlyMap<number, string>
}

const noOrder: UnitOrder = { isAwaited: false }

export class Dependencies {
  readonly #deps: DependenciesDeps
  readonly #graph = new DependencyGraph()
  /** By unit, since when fewer of it are ready than may be. */
  readonly #lackingSince = new Map<string, number>()

  constructor(deps: DependenciesDeps) {
    this.#deps = deps
  }

  /** What its text says; the units for which that means something, before or now. */
  learn(unit: string, dependencies: readonly UnitDependency[]): readonly string[] {
    const before = this.#graph.neighbours(unit)
    this.#graph.set(unit, dependencies)
    return [...before, ...this.#graph.neighbours(unit)]
  }

  neighbours(unit: string): readonly string[] {
    return this.#graph.neighbours(unit)
  }

  orderOf(unit: string, wallMs: number): UnitOrder {
    if (this.#graph.neighbours(unit).length === 0) return noOrder
    return orderOf(unit, this.#view(wallMs))
  }

  spread(unit: string, wallMs: number): Spread | undefined {
    return spread(unit, this.#view(wallMs))
  }

  lackingMs(unit: string, nowMs: number): number {
    return nowMs - (this.#lackingSince.get(unit) ?? nowMs)
  }

  sawLacking(unit: string, isLacking: boolean, nowMs: number): void {
    if (!isLacking) this.#lackingSince.delete(unit)
    else if (!this.#lackingSince.has(unit)) this.#lackingSince.set(unit, nowMs)
  }

  #view(wallMs: number): DependencyView {
    const { view } = this.#deps
    return {
      graph: this.#graph,
      wallMs,
      spec: (unit) => view.specs.get(unit),
      isPresent: (unit) => this.#isPresent(unit),
      isBroughtOut: (unit) => this.#isBroughtOut(unit),
      hasEnded: (unit) => this.#hasEnded(unit),
      progress: (unit) => this.#progress(unit),
    }
  }

  /** A slot that is given up is gone at once; its process takes until its machine says so. */
  #isPresent(unit: string): boolean {
    const { machines, reports, view } = this.#deps
    for (const { record } of view.slots(unit).values()) if (record.machineId !== '') return true
    const running = new Set(reports.running(unit))
    if (running.size === 0) return false
    return machines().some(({ machineId, presence }) => presence === 'up' && running.has(machineId))
  }

  #isBroughtOut(unit: string): boolean {
    const record = this.#deps.view.specs.get(unit)?.record
    if (record?.rollout?.status === 'going') return false
    if (record?.rollout?.status === 'failed') return true
    const slots = [...this.#deps.view.slots(unit).values()]
    return slots.every((slot) => slot.record.spec === record?.spec)
  }

  #hasEnded(unit: string): boolean {
    const { reports, view } = this.#deps
    const slots = [...view.slots(unit).values()].filter(({ record }) => record.machineId !== '')
    return (
      slots.length > 0 &&
      slots.every(({ record: { machineId, slot, ended } }) => {
        return ended !== undefined || reports.get(machineId, unit, slot)?.phase === 'ended'
      })
    )
  }

  #progress(unit: string): string {
    const { nameOf, reports, view, waiting } = this.#deps
    for (const { record } of view.slots(unit).values()) {
      const { slot, machineId, failures = [] } = record
      const hosted = reports.get(machineId, unit, slot)
      if (hosted?.phase === 'failed' || hosted?.phase === 'refused') {
        return `${unit}/${slot} ${hosted.phase} on ${nameOf(machineId)}: ${hosted.why}`
      }
      const last = failures.at(-1)
      if (last !== undefined) return `${unit}/${slot} was tried in vain: ${last.why}`
    }
    const [first] = waiting(unit)
    return first === undefined ? 'it is being started' : `${unit}/${first[0]}: ${first[1]}`
  }
}
