/** A simulated fleet: machines, the network between them, and an engine that some of them serve. */
import type { MachineRecord } from '../cluster/members.ts'
import type { CheckedTxn } from '../state/check-txn.ts'
import type { Decision } from '../state/draft.ts'
import { SimulatedStore } from '../state/simulated.ts'
import { Checks } from './checks.ts'
import { Oscillator } from './gate.ts'
import { ProcessTable } from './host.ts'
import { SimMachine } from './machine.ts'
import { goodNetwork, Network } from './network.ts'
import { Operators } from './operators.ts'
import { Programs } from './program.ts'
import { type Engine, type EngineWeather, goodEngine, type StateMoment } from './state.ts'
import type { World } from './world.ts'

export interface MachineModel {
  readonly name: string
  readonly zone?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly cpus?: number
  readonly memoryBytes?: number
}

export interface FleetOptions {
  readonly machines: readonly MachineModel[]
  /** So many of the machines, the first ones, keep the state. */
  readonly keepers: number
  /** Greatest error of a machine's clock rate. */
  readonly clockRateError: number
  /** With real links, which take more time. Default: calls are simulated, too. */
  readonly wired?: boolean
  /** Greatest error of a machine's date. Default: a minute. */
  readonly dateErrorMs?: number
}

/** Something that happens in the middle of a call to the state. */
export interface Trap {
  /** Absent: whichever machine comes there next. */
  readonly of?: string
  readonly happens: (machine: SimMachine) => void
  /** How much later what is on its way at that moment arrives. */
  readonly delayMs: number
}

/** By the watch on the state. */
const heardLateMsMax = 1_000

export class SimFleet implements Engine {
  readonly world: World
  readonly network: Network
  readonly store = new SimulatedStore()
  readonly programs = new Programs()
  readonly machines: readonly SimMachine[]
  readonly checks: Checks
  readonly operators: Operators
  weather: EngineWeather = { ...goodEngine }
  readonly #byId: ReadonlyMap<string, SimMachine>
  readonly #records: readonly MachineRecord[]
  /** By machine, which ones are in the fleet as far as it has heard; absent: all. */
  readonly #members = new Map<string, readonly MachineRecord[]>()
  readonly #keepers: readonly string[]
  #isEngineDown = false
  /** By machine, whether it reaches the engine, until something changes. */
  readonly #reaches = new Map<string, boolean>()
  readonly #traps = new Map<StateMoment, Trap>()

  constructor(world: World, options: FleetOptions) {
    this.world = world
    this.network = new Network(world, () => this.#changed())
    this.checks = new Checks(world, this)
    this.operators = new Operators(world, this)
    this.#records = options.machines.map(machineRecord)
    this.#keepers = this.#records.slice(0, options.keepers).map(({ machineId }) => machineId)
    this.machines = options.machines.map((model) => this.#machine(model, options))
    this.#byId = new Map(this.machines.map((machine) => [machine.id, machine]))
  }

  get keepers(): readonly string[] {
    return this.#keepers
  }

  machine(machineId: string): SimMachine | undefined {
    return this.#byId.get(machineId)
  }

  boot(): void {
    for (const machine of this.machines) machine.boot()
  }

  /** The engine itself is away, whatever its machines do. */
  set isEngineDown(isDown: boolean) {
    this.#isEngineDown = isDown
    this.#changed()
  }

  /** A majority of its machines are alive, see each other, and one of them is seen from there. */
  reaches(machineId: string): boolean {
    const known = this.#reaches.get(machineId) ?? this.#looksReached(machineId)
    this.#reaches.set(machineId, known)
    return known
  }

  #looksReached(machineId: string): boolean {
    if (this.#isEngineDown) return false
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

  /** Nothing passes between these machines and all others, until the function is called. */
  partition(machineIds: readonly string[]): () => void {
    const inside = new Set(machineIds)
    this.world.note(`cut off: ${[...inside].join(', ')}`)
    const ids = this.machines.map(({ id }) => id)
    const heal = this.network.cut(
      ids.flatMap((a) =>
        ids.filter((b) => inside.has(a) !== inside.has(b)).map((b) => [a, b] as const),
      ),
    )
    return () => {
      this.world.note(`reached again: ${[...inside].join(', ')}`)
      heal()
    }
  }

  /** It is no machine of the fleet any more; the others hear of that one by one. */
  remove(machineId: string): void {
    this.world.note(`${machineId} is no machine of the fleet any more`)
    for (const { id } of this.machines) {
      if (id === machineId) continue
      this.world.after(this.world.between(1, heardLateMsMax), () => {
        const members = this.#members.get(id) ?? this.#records
        this.#members.set(
          id,
          members.filter((each) => each.machineId !== machineId),
        )
        this.network.cut([
          [id, machineId],
          [machineId, id],
        ])
      })
    }
  }

  decided(txn: CheckedTxn, decision: Decision): void {
    this.checks.decided(txn, decision)
  }

  reached(machineId: string, moment: StateMoment): number {
    const trap = this.#traps.get(moment)
    const machine = this.machine(machineId)
    if (trap === undefined || machine === undefined) return 0
    if (trap.of !== undefined && trap.of !== machineId) return 0
    this.#traps.delete(moment)
    trap.happens(machine)
    return trap.delayMs
  }

  /** For the machine that comes to that moment next, or next of all that come there. */
  trap(moment: StateMoment, trap: Trap): void {
    this.#traps.set(moment, trap)
  }

  /** Everything that was done to it is over; what was asked of it stays. */
  heal(): void {
    this.world.note('--- all faults are over')
    this.network.heal()
    this.network.weather = { ...goodNetwork }
    this.weather = { ...goodEngine }
    this.isEngineDown = false
    this.#traps.clear()
    for (const machine of this.machines) {
      machine.disk.isFull = false
      machine.disk.slowMs = 0
      machine.thaw()
      machine.boot()
      machine.startAgent()
    }
  }

  /** The machine that leads, as it believes itself. */
  leader(): SimMachine | undefined {
    return this.machines.find(({ agent }) => agent?.control?.leads === true)
  }

  #changed(): void {
    this.#reaches.clear()
    this.checks.again()
  }

  #machine(
    model: MachineModel,
    { clockRateError, dateErrorMs = 60_000, wired = false }: FleetOptions,
  ): SimMachine {
    const { world, network, programs } = this
    const rate = 1 + world.between(-clockRateError, clockRateError)
    const dateMs = world.between(-dateErrorMs, dateErrorMs)
    const oscillator = new Oscillator(world, rate, dateMs)
    const record = machineRecord(model)
    const { machineId } = record
    const table = new ProcessTable(world, oscillator, machineId, {
      running: (process, runs) => this.checks.running(machineId, process, runs),
      stopped: (process, why) => this.checks.stopped(machineId, process, why),
      phase: () => this.checks.again(),
    })
    const { cpus = 4, memoryBytes = 8 * 2 ** 30 } = model
    return new SimMachine(
      {
        world,
        network,
        oscillator,
        table,
        engine: this,
        programs,
        size: { cpus, memoryBytes },
        wired,
        machines: () => this.#members.get(machineId) ?? this.#records,
        keepers: () => this.#keepers,
        door: (to, caller) => this.machine(to)?.door(caller) ?? { kind: 'silent' },
        changed: () => this.#changed(),
      },
      record,
    )
  }
}

function machineRecord({ name, zone = '', labels = {} }: MachineModel): MachineRecord {
  return {
    machineId: name,
    name,
    publicKey: '',
    addresses: [],
    zone,
    labels,
    version: '0',
    joinedAtMs: 0,
  }
}

/** `count` machines alike, in turn in each of the zones. */
export function someMachines(count: number, zones: number): readonly MachineModel[] {
  return Array.from({ length: count }, (_, i) => ({
    name: `m${i + 1}`,
    zone: zones === 0 ? '' : `z${(i % zones) + 1}`,
  }))
}
