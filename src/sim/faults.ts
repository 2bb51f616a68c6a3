/** What goes wrong, and what operators want meanwhile: all of it decided by the seed. */
import type { SimFleet } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { scaleMax, someText, type UnitName } from './texts.ts'
import type { World } from './world.ts'

/** How often each kind of fault happens, in relation to the others. */
export interface FaultMix {
  readonly crash: number
  readonly killAgent: number
  readonly freeze: number
  readonly freezeAgent: number
  /** Something happens to a machine in the middle of a call to the state. */
  readonly midCall: number
  readonly cut: number
  readonly cutOneWay: number
  readonly partition: number
  readonly engineDown: number
  readonly wallJump: number
  readonly slowDisk: number
  readonly fullDisk: number
  readonly processExit: number
  readonly operator: number
}

export const everyFault: FaultMix = {
  crash: 3,
  killAgent: 2,
  freeze: 3,
  freezeAgent: 2,
  midCall: 5,
  cut: 2,
  cutOneWay: 2,
  partition: 2,
  engineDown: 1,
  wallJump: 1,
  slowDisk: 1,
  fullDisk: 1,
  processExit: 2,
  operator: 5,
}

/** A fault meets the machine that leads this much more often than chance has it. */
const leaderShare = 0.2
/** What was sent before something happened to its sender arrives so late at most. */
const lateMsMax = 14_000

export class Faults {
  readonly #world: World
  readonly #fleet: SimFleet
  readonly #mix: FaultMix
  readonly #units: readonly UnitName[]
  #isOver = false

  /** Operators want something of these units. */
  constructor(world: World, fleet: SimFleet, mix: FaultMix, units: readonly UnitName[]) {
    this.#world = world
    this.#fleet = fleet
    this.#mix = mix
    this.#units = units
  }

  /** One fault after another until `heal`. */
  rage(pauseMsMin: number, pauseMsMax: number): void {
    if (this.#isOver) return
    this.#world.after(this.#world.between(pauseMsMin, pauseMsMax), () => {
      if (this.#isOver) return
      this.#one()
      this.rage(pauseMsMin, pauseMsMax)
    })
  }

  end(): void {
    this.#isOver = true
  }

  /** Everything is well again; what operators wanted of machines is taken back. */
  heal(): void {
    const { machines, operators } = this.#fleet
    this.end()
    this.#fleet.heal()
    const undrain = () => {
      for (const { id } of machines) void operators.insist(() => operators.intend(id, undefined))
    }
    undrain()
    // What somebody asked before may come only now.
    this.#world.after(lateMsMax + 1_000, undrain)
  }

  #one(): void {
    const world = this.#world
    const kinds = Object.entries(this.#mix) as [keyof FaultMix, number][]
    const sum = kinds.reduce((before, [, weight]) => before + weight, 0)
    let at = world.between(0, sum)
    const [kind] = kinds.find(([, weight]) => {
      at -= weight
      return at < 0
    }) ?? ['operator']
    const leader = world.chance(leaderShare) ? this.#fleet.leader() : undefined
    const machine = leader ?? world.pick(this.#fleet.machines)
    if (machine !== undefined) this.#deeds[kind](machine, world.between(200, 20_000))
  }

  /** What each kind of fault does to a machine, and when it ends. */
  readonly #deeds: Readonly<Record<keyof FaultMix, (machine: SimMachine, ms: number) => void>> = {
    crash: (machine, ms) => {
      machine.crash()
      if (this.#world.chance(0.2)) machine.disk.replace()
      this.#later(ms, () => machine.boot())
    },
    killAgent: (machine, ms) => {
      machine.killAgent()
      this.#later(ms / 4, () => machine.startAgent())
    },
    freeze: (machine, ms) => this.#freeze(machine, 'machine', ms),
    freezeAgent: (machine, ms) => this.#freeze(machine, 'agent', ms),
    midCall: (_, ms) => this.#midCall(ms),
    cut: (machine, ms) => this.#cut(machine.id, 'both', ms),
    cutOneWay: (machine, ms) => this.#cut(machine.id, this.#world.pick(['to', 'from']), ms),
    partition: (_, ms) => this.#partition(ms),
    engineDown: (_, ms) => {
      this.#world.note('the engine goes away')
      this.#fleet.isEngineDown = true
      this.#later(ms, () => {
        this.#world.note('the engine is back')
        this.#fleet.isEngineDown = false
      })
    },
    wallJump: (machine) => {
      this.#world.note(`${machine.id}: its date jumps`)
      machine.oscillator.jumpWall(this.#world.between(-3_600_000, 3_600_000))
      machine.table.clockJumped()
    },
    slowDisk: ({ disk, id }, ms) => {
      this.#world.note(`${id}: its disk is slow`)
      disk.slowMs = this.#world.between(10, 3_000)
      this.#later(ms, () => {
        disk.slowMs = 0
      })
    },
    fullDisk: ({ disk, id }, ms) => {
      this.#world.note(`${id}: its disk is full`)
      disk.isFull = true
      this.#later(ms, () => {
        disk.isFull = false
      })
    },
    processExit: ({ table }) => {
      const process = this.#world.pick([...table.processes.values()])
      if (process !== undefined) table.crashProcess(process, this.#world.chance(0.3))
    },
    operator: (machine) => this.#want(machine),
  }

  #midCall(ms: number): void {
    const world = this.#world
    const moment = world.pick(['sent', 'claimed', 'decided', 'text'] as const) ?? 'sent'
    const deed = world.pick(['freezeAgent', 'freezeAgent', 'killAgent', 'crash', 'cutOff'] as const)
    const happens = (machine: SimMachine) => {
      if (this.#isOver || !machine.isOn || machine.isHeld) return
      world.note(`${machine.id}: in the middle of a call (${moment})`)
      if (deed === 'cutOff') {
        this.#fleet.cutOff(machine.id)
        this.#healNetwork(ms)
      } else if (deed !== undefined) this.#deeds[deed](machine, ms)
    }
    this.#fleet.trap(moment, { happens, delayMs: world.between(0, lateMsMax) })
  }

  #freeze(machine: SimMachine, what: 'machine' | 'agent', ms: number): void {
    if (this.#isOver || !machine.isOn || machine.isHeld) return
    machine.freeze(what)
    this.#later(ms, () => machine.thaw())
  }

  /** Unless everything is healed by then. */
  #later(ms: number, work: () => void): void {
    this.#world.after(ms, () => {
      if (!this.#isOver) work()
    })
  }

  #healNetwork(afterMs: number): void {
    this.#later(afterMs, () => {
      this.#world.note('the network heals')
      this.#fleet.network.heal()
    })
  }

  #partition(ms: number): void {
    const { machines, network } = this.#fleet
    const ids = machines.map(({ id }) => id)
    const some = new Set(ids.filter(() => this.#world.chance(0.4)))
    this.#world.note(`partition: ${[...some].join(',')} / the rest`)
    for (const a of ids) {
      for (const b of ids) if (some.has(a) !== some.has(b)) network.cut(a, b)
    }
    this.#healNetwork(ms)
  }

  /** One machine from all others, or from one; one way or both. */
  #cut(one: string, way: 'both' | 'to' | 'from' = 'both', ms: number): void {
    const world = this.#world
    const { machines, network } = this.#fleet
    const ids = machines.map(({ id }) => id).filter((id) => id !== one)
    const others = world.chance(0.5) ? ids : [world.pick(ids) ?? '']
    world.note(`cut ${one} ${way} ${others.join(',')}`)
    for (const other of others) {
      if (way !== 'from') network.cut(one, other)
      if (way !== 'to') network.cut(other, one)
    }
    this.#healNetwork(ms)
  }

  /** Operators want something of a unit, or of this machine. */
  #want({ id }: SimMachine): void {
    const world = this.#world
    const { operators } = this.#fleet
    const unit = world.pick(this.#units) ?? 'db.service'
    switch (world.pick(['scale', 'load', 'load', 'restart', 'stop', 'cordon', 'drain', 'free'])) {
      case 'scale':
        if (scaleMax[unit] === 0) return
        void operators.scale(unit, Math.floor(world.between(1, scaleMax[unit] + 1)))
        return
      case 'load':
        void operators.load(unit, someText(world, unit, this.#someHarm()))
        return
      case 'restart':
        void operators.restart(unit)
        return
      case 'stop':
        void operators.want(unit, false)
        this.#later(world.between(500, 5_000), () => void operators.want(unit, true))
        return
      case 'cordon':
      case 'drain':
        void operators.intend(id, world.chance(0.5) ? 'draining' : 'cordoned')
        return
      default:
        void operators.intend(id, undefined)
    }
  }

  #someHarm(): 'fails' | 'hangs' | undefined {
    if (!this.#world.chance(0.3)) return undefined
    return this.#world.chance(0.7) ? 'fails' : 'hangs'
  }
}
