/** What is wanted of the units and is not so: for the end of a simulation, and for drains. */
import {
  controlPrefix,
  intentPrefix,
  type SlotRecord,
  type SpecRecord,
  specPrefix,
  textKey,
} from '../cluster/reconcile/records.ts'
import { isOver } from '../cluster/reconcile/rounds.ts'
import { minInstances } from '../unit/placement-rules.ts'
import { isTimerName } from '../unit/timer-unit.ts'
import type { SimFleet } from './fleet.ts'
import type { SimProcess } from './host.ts'
import type { Program } from './program.ts'

/** By slot, on which machines a process of it runs or has ended. */
export type RunningProcesses = ReadonlyMap<string, ReadonlyMap<string, SimProcess>>

export class Wanted {
  readonly #fleet: SimFleet

  constructor(fleet: SimFleet) {
    this.#fleet = fleet
  }

  /** Of all that has instances. */
  specs(): readonly SpecRecord[] {
    const all = this.#fleet.store.keys(specPrefix).map((key) => this.#read<SpecRecord>(key))
    return all.filter(({ unit }) => !isTimerName(unit))
  }

  slots(): ReadonlyMap<string, SlotRecord> {
    const keys = this.#fleet.store.keys(`${controlPrefix}slot/`)
    const slots = keys.map((key) => this.#read<SlotRecord>(key))
    return new Map(slots.map((slot) => [`${slot.unit}/${slot.slot}`, slot]))
  }

  /**
   * What is wanted and could work runs, exactly so often, on the machines that count. Undefined
   * when it is so.
   */
  unmet(running: RunningProcesses, counts: (machineId: string) => boolean): string | undefined {
    const problems: string[] = []
    const slots = this.slots()
    for (const [name, slot] of slots) problems.push(...this.#unmetSlot(name, slot, counts))
    for (const [name, on] of running) {
      const slot = slots.get(name)
      for (const machineId of on.keys()) {
        if (slot?.machineId !== machineId && counts(machineId)) {
          problems.push(`${name} still runs on ${machineId}`)
        }
      }
    }
    for (const spec of this.specs()) problems.push(...this.#unmetSpec(spec, slots, counts))
    return problems.length === 0 ? undefined : problems.join('; ')
  }

  /** Units of which fewer are ready than a decision of the fleet may leave. */
  belowFloor(): readonly string[] {
    const ready = new Map<string, Set<number>>()
    for (const { table } of this.#fleet.machines) {
      for (const { unit, slot, phase } of table.processes.values()) {
        if (phase === 'ready') ready.set(unit, (ready.get(unit) ?? new Set()).add(slot))
      }
    }
    return this.specs().flatMap(({ unit, spec, wanted, scale }) => {
      const { rules } = this.#program(unit, spec).facts
      const floor = wanted && !rules.global ? minInstances(rules, scale) : 0
      const count = ready.get(unit)?.size ?? 0
      return count < floor ? [`${unit} has ${count} ready, not ${floor}`] : []
    })
  }

  #unmetSlot(name: string, slot: SlotRecord, counts: (machineId: string) => boolean) {
    const { machineId, unit, spec, next, ended } = slot
    if (machineId === '' || slot.wish === 'stop' || ended !== undefined) return []
    const { behaviour, facts } = this.#program(unit, spec)
    // What runs on every machine has its place on one that is lost, too.
    if (facts.rules.global && !counts(machineId)) return []
    // A program that cannot work is nobody's fault here.
    if (cannotWork(behaviour)) return []
    const problems: string[] = []
    const phase = this.#fleet.machine(machineId)?.table.processes.get(name)?.phase
    if (!counts(machineId)) problems.push(`${name} is on ${machineId}`)
    if (phase !== 'ready' && phase !== 'ended')
      problems.push(`${name} is not ready on ${machineId}`)
    if (next !== undefined) problems.push(`${name} still has a second place`)
    return problems
  }

  #unmetSpec(
    spec: SpecRecord,
    slots: ReadonlyMap<string, SlotRecord>,
    counts: (machineId: string) => boolean,
  ): readonly string[] {
    const own = [...slots.values()].filter(
      ({ unit, machineId, wish }) => unit === spec.unit && machineId !== '' && wish === 'run',
    )
    const program = this.#program(spec.unit, spec.spec)
    const { global } = program.facts.rules
    const wanted = spec.wanted ? this.#count(spec, program, counts) : 0
    const here = global ? own.filter(({ machineId }) => counts(machineId)) : own
    const problems: string[] = []
    if (here.length !== wanted && !(spec.wanted && isOver(spec))) {
      problems.push(`${spec.unit} has ${here.length} places, not ${wanted}`)
    }
    // A text that cannot work is not brought out any further.
    const isBad = cannotWork(program.behaviour)
    const old = isBad ? [] : own.filter((slot) => slot.spec !== spec.spec && !slot.ended)
    if (isBad && spec.wanted && spec.rollout?.to === spec.spec && spec.rollout.status === 'going') {
      problems.push(`${spec.unit}: a bad text is still being brought out`)
    }
    if (old.length > 0) problems.push(`${spec.unit}: ${old.length} instances have an old text`)
    return problems
  }

  #count(spec: SpecRecord, { facts }: Program, counts: (machineId: string) => boolean): number {
    const { global, perNode, instances } = facts.rules
    if (!global) return spec.scale ?? instances
    const machines = this.#fleet.machines.filter(
      ({ id }) => counts(id) && this.#fleet.store.read(`${intentPrefix}${id}`) === undefined,
    )
    return machines.length * Math.max(1, perNode)
  }

  #program(unit: string, spec: number): Program {
    return this.#fleet.programs.get(unit, this.#read<string>(textKey(unit, spec)))
  }

  #read<T>(key: string): T {
    return JSON.parse(this.#fleet.store.read(key)?.json ?? '""') as T
  }
}

function cannotWork({ fails, readyMs, timeoutMs }: Program['behaviour']): boolean {
  return fails || (timeoutMs > 0 && readyMs > timeoutMs)
}
