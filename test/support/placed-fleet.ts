/** A fleet on paper for tests of the scheduler: it keeps what the scheduler is told, in the open. */
import { seededRandom } from '../../src/base/random.ts'
import type { MachineReport } from '../../src/kernel/types.ts'
import type { Closed, MachineFacts } from '../../src/sched/board-machine.ts'
import type { MakingRoom } from '../../src/sched/make-room.ts'
import type { Place } from '../../src/sched/place.ts'
import { Scheduler } from '../../src/sched/scheduler.ts'
import { defaultRules, type PlacementRules } from '../../src/unit/placement-rules.ts'

export const gib = 2 ** 30

export interface PaperMachine {
  readonly zone?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly cpus?: number
  readonly memoryBytes?: number
  readonly load?: number
  readonly closed?: Closed
}

export function report(machine: PaperMachine = {}): MachineReport {
  const { cpus = 4, memoryBytes = 8 * gib, load = 0 } = machine
  return {
    atMs: 0,
    version: '0.1.0',
    arch: 'x86_64',
    hostname: 'h',
    bootId: 'b',
    cpuCount: cpus,
    memoryBytes,
    memoryAvailableBytes: memoryBytes,
    load1: load,
    units: 0,
    canKeepState: false,
    upSinceMs: 0,
    agentPid: 1,
    agentSinceMs: 0,
  }
}

export function facts(name: string, machine: PaperMachine = {}): MachineFacts {
  const { zone = '', labels = {}, closed } = machine
  return { machineId: name, name, zone, labels, closed, report: report(machine) }
}

export interface PaperUnit {
  readonly rules: PlacementRules
  /** Machine by slot. */
  readonly places: Map<number, string>
  readonly unfit: ReadonlyMap<string, string>
}

export class PlacedFleet {
  readonly scheduler: Scheduler
  readonly machines = new Map<string, MachineFacts>()
  readonly units = new Map<string, PaperUnit>()

  /** `machines`: names, and what is not as usual of each. */
  constructor(machines: Readonly<Record<string, PaperMachine>>, seed = 1) {
    this.scheduler = new Scheduler(seededRandom(seed))
    for (const [name, machine] of Object.entries(machines)) {
      this.machines.set(name, facts(name, machine))
    }
    this.tell()
  }

  tell(): void {
    this.scheduler.setMachines([...this.machines.values()])
  }

  /** Machines are otherwise than they were. */
  change(name: string, change: Partial<MachineFacts> | undefined): void {
    const before = this.machines.get(name) ?? facts(name)
    if (change === undefined) this.machines.delete(name)
    else this.machines.set(name, { ...before, ...change })
    this.tell()
  }

  unit(
    name: string,
    rules: Partial<PlacementRules> = {},
    unfit: ReadonlyMap<string, string> = new Map(),
  ) {
    const places = this.units.get(name)?.places ?? new Map<number, string>()
    this.units.set(name, { rules: { ...defaultRules, ...rules }, places, unfit })
    this.tellUnit(name)
  }

  tellUnit(name: string): void {
    const { rules, places, unfit } = this.get(name)
    const list = [...places].map(([slot, machineId]) => ({ slot, machineId }))
    this.scheduler.setUnit(name, rules, list, unfit)
  }

  get(name: string): PaperUnit {
    const unit = this.units.get(name)
    if (unit === undefined) throw new Error(`no unit ${name}`)
    return unit
  }

  place(name: string, slot: number, avoid?: ReadonlySet<string>): Place {
    const answer = this.scheduler.place(name, slot, avoid)
    if (answer.kind === 'placed') this.get(name).places.set(slot, answer.machineId)
    // The slot has left where it was.
    this.tellUnit(name)
    return answer
  }

  /** Asked only: nobody gives way, and the slot stays without a place. */
  placeInstead(name: string, slot: number): MakingRoom | undefined {
    const answer = this.scheduler.placeInstead(name, slot)
    this.tellUnit(name)
    return answer
  }

  remove(name: string, slots: readonly number[]): void {
    for (const slot of slots) this.get(name).places.delete(slot)
    this.tellUnit(name)
  }

  /** Slots 1 to `count`; the names of the machines that took them. */
  fill(name: string, count: number): readonly string[] {
    return Array.from({ length: count }, (_, i) => {
      const answer = this.place(name, i + 1)
      return answer.kind === 'placed' ? answer.machineId : '-'
    })
  }

  /** Instances by zone of this depth, or by machine; of zones with machines, also 0. */
  counts(name: string, by: 'machine' | number): Readonly<Record<string, number>> {
    const counts: Record<string, number> = {}
    const keyOf = ({ name: machine, zone }: MachineFacts) =>
      by === 'machine' ? machine : zone.split('/').slice(0, by).join('/')
    for (const machine of this.machines.values()) counts[keyOf(machine)] ??= 0
    for (const machineId of this.get(name).places.values()) {
      const machine = this.machines.get(machineId)
      if (machine !== undefined) counts[keyOf(machine)] = (counts[keyOf(machine)] ?? 0) + 1
    }
    return counts
  }
}
