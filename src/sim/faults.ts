/** What goes wrong, and what operators want meanwhile: all of it decided by the seed. */
import { leaseTimes } from '../cluster/lease/times.ts'
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
  /** An answer comes as late as it is waited for, and its machine is cut off meanwhile. */
  readonly lateAnswer: number
  readonly cut: number
  readonly cutOneWay: number
  readonly partition: number
  /** Cut off and back, again and again. */
  readonly flap: number
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
  midCall: 6,
  lateAnswer: 0,
  cut: 2,
  cutOneWay: 2,
  partition: 2,
  flap: 2,
  engineDown: 1,
  wallJump: 1,
  slowDisk: 1,
  fullDisk: 1,
  processExit: 2,
  operator: 5,
}

/** Faults that meet the machine that leads, and those that meet one that holds a lease. */
const leaderShare = 0.2
const holderShare = 0.3
/** What was sent before something happened to its sender arrives so late at most. */
const lateMsMax = 14_000
/** An answer; nobody waits for a later one. */
const answerLateMsMax = 3_000

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
    const machine = this.#victim()
    if (machine !== undefined) this.#deeds[kind](machine, world.between(200, 20_000))
  }

  #victim(): SimMachine | undefined {
    const world = this.#world
    const { machines } = this.#fleet
    const at = world.between(0, 1)
    if (at < leaderShare) return this.#fleet.leader() ?? world.pick(machines)
    if (at > leaderShare + holderShare) return world.pick(machines)
    return world.pick(this.#holders()) ?? world.pick(machines)
  }

  #holders(): readonly SimMachine[] {
    return this.#fleet.machines.filter(({ agent }) => agent?.work.lease.held !== undefined)
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
    lateAnswer: () => this.#lateAnswer(),
    cut: (machine, ms) => this.#cut(machine.id, 'both', ms),
    cutOneWay: (machine, ms) => this.#cut(machine.id, this.#world.pick(['to', 'from']), ms),
    partition: (_, ms) => this.#partition(ms),
    flap: (machine) => this.#flap(machine.id, Math.floor(this.#world.between(2, 8))),
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
    const deed = world.pick(['freezeAgent', 'killAgent', 'crash', 'cutOff', 'cutOff'] as const)
    const happens = (machine: SimMachine) => {
      if (this.#isOver || !machine.isOn || machine.isHeld) return
      world.note(`${machine.id}: in the middle of a call (${moment})`)
      if (deed === 'cutOff') this.#later(ms, this.#fleet.partition([machine.id]))
      else if (deed !== undefined) this.#deeds[deed](machine, ms)
    }
    const isAnswer = moment === 'decided' || moment === 'text'
    const delayMs = world.between(0, isAnswer ? answerLateMsMax : lateMsMax)
    this.#fleet.trap(moment, { happens, delayMs })
  }

  /** To one that holds a lease, which is mostly the answer to its renewal. */
  #lateAnswer(): void {
    const world = this.#world
    const id = world.pick(this.#holders())?.id
    if (id === undefined) return
    const delayMs = world.between(1.4, 2) * leaseTimes.renewMs
    const forMs = world.between(10_000, 20_000)
    const happens = () => this.#later(forMs, this.#fleet.partition([id]))
    this.#fleet.trap('decided', { of: id, happens, delayMs })
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

  #partition(ms: number): void {
    const ids = this.#fleet.machines.map(({ id }) => id)
    this.#later(ms, this.#fleet.partition(ids.filter(() => this.#world.chance(0.4))))
  }

  #flap(one: string, times: number): void {
    if (this.#isOver) return
    const join = this.#fleet.partition([one])
    this.#later(this.#world.between(500, 7_000), () => {
      join()
      if (times === 0) return
      this.#later(this.#world.between(2, 700), () => this.#flap(one, times - 1))
    })
  }

  /** One machine from all others, or from one; one way or both. */
  #cut(one: string, way: 'both' | 'to' | 'from' = 'both', ms: number): void {
    const world = this.#world
    const ids = this.#fleet.machines.map(({ id }) => id).filter((id) => id !== one)
    const others = world.chance(0.5) ? ids : [world.pick(ids) ?? '']
    world.note(`cut ${one} ${way} ${others.join(',')}`)
    const to = way === 'from' ? [] : others.map((other) => [one, other] as const)
    const from = way === 'to' ? [] : others.map((other) => [other, one] as const)
    const mend = this.#fleet.network.cut([...to, ...from])
    this.#later(ms, () => {
      world.note(`${one} is mended`)
      mend()
    })
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
        // One of two that ask at the same time is slower, and must notice.
        if (scaleMax[unit] > 0 && world.chance(0.5)) void operators.scale(unit, 1)
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
