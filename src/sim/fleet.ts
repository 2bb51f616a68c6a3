/** A simulated fleet: machines, the network between them, and an engine that some of them serve. */
import type { MachineRecord } from '../cluster/members.ts'
import type { UnitFacts } from '../cluster/reconcile/controller.ts'
import { SimulatedStore } from '../state/simulated.ts'
import { defaultRules, type PlacementRules } from '../unit/placement-rules.ts'
import { Checks } from './checks.ts'
import { Oscillator } from './gate.ts'
import { type Behaviour, ProcessTable } from './host.ts'
import { SimMachine } from './machine.ts'
import { NaivePlacer } from './naive-placer.ts'
import { Network } from './network.ts'
import type { Engine, EngineWeather } from './state.ts'
import type { World } from './world.ts'

/** A unit's text in a simulation: its rules, and how its program behaves. */
export interface SimUnitText {
  readonly rules: Partial<PlacementRules>
  readonly readyMs: number
  readonly stopMs: number
  readonly fails?: boolean
}

export interface FleetOptions {
  readonly machines: number
  readonly keepers: number
  readonly zones: number
  /** Greatest error of a machine's clock rate. */
  readonly clockRateError: number
}

export class SimFleet implements Engine {
  readonly world: World
  readonly network: Network
  readonly store = new SimulatedStore()
  readonly weather: EngineWeather = { unknown: 0, late: 0, duplicates: 0, reset: 0 }
  readonly machines: readonly SimMachine[]
  readonly checks: Checks
  readonly #records: readonly MachineRecord[]
  readonly #keepers: readonly string[]
  /** The engine itself is away, whatever its machines do. */
  isEngineDown = false

  constructor(world: World, options: FleetOptions) {
    this.world = world
    this.network = new Network(world)
    this.checks = new Checks(world, this)
    this.#records = Array.from({ length: options.machines }, (_, i) =>
      machineRecord(i, options.zones),
    )
    this.#keepers = this.#records.slice(0, options.keepers).map(({ machineId }) => machineId)
    this.machines = this.#records.map((record) => this.#machine(record, options.clockRateError))
  }

  get keepers(): readonly string[] {
    return this.#keepers
  }

  machine(machineId: string): SimMachine | undefined {
    return this.machines.find(({ id }) => id === machineId)
  }

  boot(): void {
    for (const machine of this.machines) machine.boot()
  }

  /** A majority of its machines are alive, see each other, and one of them is seen from there. */
  reaches(machineId: string): boolean {
    if (this.isEngineDown) return false
    const alive = this.#keepers.filter((id) => {
      const machine = this.machine(id)
      return machine?.isOn === true && !machine.isFrozen
    })
    const needed = Math.floor(this.#keepers.length / 2) + 1
    // The group around one that sees a majority: it leads, and the others follow it.
    for (const leader of alive) {
      const group = alive.filter((id) => id === leader || this.network.connects(leader, id))
      if (group.length < needed) continue
      return group.some((id) => id === machineId || this.network.connects(machineId, id))
    }
    return false
  }

  #machine(record: MachineRecord, rateError: number): SimMachine {
    const { world, network } = this
    const rate = 1 + world.between(-rateError, rateError)
    const oscillator = new Oscillator(world, rate, world.between(-60_000, 60_000))
    const { machineId } = record
    const table = new ProcessTable(world, oscillator, machineId, {
      running: (process, runs) => this.checks.running(machineId, process, runs),
      stopped: (process, why) => this.checks.stopped(machineId, process, why),
    })
    return new SimMachine(
      {
        world,
        network,
        oscillator,
        table,
        engine: this,
        machines: () => this.#records,
        keepers: () => this.#keepers,
        door: (to, caller) => this.machine(to)?.door(caller) ?? { kind: 'silent' },
        placer: () => new NaivePlacer(),
        behaviourOf: (_unit, text) => behaviourOf(text),
        factsOf: (_unit, text) => factsOf(text),
      },
      record,
    )
  }
}

function machineRecord(index: number, zones: number): MachineRecord {
  const machineId = `m${index + 1}`
  return {
    machineId,
    name: machineId,
    publicKey: '',
    addresses: [],
    zone: zones === 0 ? '' : `z${(index % zones) + 1}`,
    labels: {},
    version: '0',
    joinedAtMs: 0,
  }
}

function parseText(text: string): SimUnitText {
  return JSON.parse(text) as SimUnitText
}

function rulesOf(text: SimUnitText): PlacementRules {
  return { ...defaultRules, ...text.rules }
}

function behaviourOf(text: string): Behaviour {
  const unit = parseText(text)
  const exclusive = rulesOf(unit).partition === 'at-most'
  return { readyMs: unit.readyMs, stopMs: unit.stopMs, fails: unit.fails === true, exclusive }
}

function factsOf(text: string): UnitFacts {
  return { rules: rulesOf(parseText(text)), settleMs: 500, readyTimeoutMs: 20_000 }
}
