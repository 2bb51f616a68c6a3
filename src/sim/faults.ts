/** What goes wrong, and what operators want meanwhile: all of it decided by the seed. */
import { deadline } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { UnitVerbs } from '../cluster/reconcile/verbs.ts'
import type { SimFleet, SimUnitText } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import type { World } from './world.ts'

/** How often each kind of fault happens, in relation to the others. */
export interface FaultMix {
  readonly crash: number
  readonly killAgent: number
  readonly freeze: number
  readonly freezeAgent: number
  readonly cut: number
  readonly cutOneWay: number
  readonly partition: number
  readonly engineDown: number
  readonly wallJump: number
  readonly processExit: number
  readonly operator: number
}

export const everyFault: FaultMix = {
  crash: 3,
  killAgent: 2,
  freeze: 3,
  freezeAgent: 2,
  cut: 2,
  cutOneWay: 2,
  partition: 2,
  engineDown: 1,
  wallJump: 1,
  processExit: 2,
  operator: 4,
}

const unitNames = ['web.service', 'db.service', 'job.service'] as const
const operationTimeoutMs = 8_000

/** The units that a simulation begins with: one that must not run twice is among them. */
export function firstTexts(
  world: World,
): readonly { readonly unit: string; readonly text: string }[] {
  const text = (unit: SimUnitText) => JSON.stringify(unit)
  const [web, db, job] = unitNames
  return [
    { unit: web, text: text(someText(world, { instances: 3 + Math.floor(world.between(0, 3)) })) },
    { unit: db, text: text(someText(world, { partition: 'at-most', instances: 2 })) },
    { unit: job, text: text(someText(world, { instances: 1 })) },
  ]
}

function someText(world: World, rules: SimUnitText['rules']): SimUnitText {
  return { rules, readyMs: world.between(5, 400), stopMs: world.between(1, 1_500) }
}

export class Faults {
  readonly #world: World
  readonly #fleet: SimFleet
  readonly #mix: FaultMix
  #isOver = false
  /** Outcomes of what operators asked, by kind. */
  readonly outcomes = new Map<string, number>()

  constructor(world: World, fleet: SimFleet, mix: FaultMix) {
    this.#world = world
    this.#fleet = fleet
    this.#mix = mix
  }

  /** Units as they were given, before anything goes wrong. */
  begin(): void {
    for (const { unit, text } of firstTexts(this.#world)) {
      this.#operate(`load ${unit}`, async (verbs, options) => {
        await verbs.load({ unit, text }, 'sim', options)
        await verbs.want(unit, true, 'sim', options)
      })
    }
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

  /** Everything is well again; what operators wanted of machines is taken back. */
  heal(): void {
    const { network, machines, weather } = this.#fleet
    this.#isOver = true
    this.#world.note('--- all faults are over')
    network.heal()
    network.weather.loss = 0
    network.weather.duplicates = 0
    weather.unknown = 0
    weather.late = 0
    this.#fleet.isEngineDown = false
    for (const machine of machines) {
      machine.thaw()
      machine.boot()
      machine.startAgent()
      this.#undrain(machine.id)
    }
  }

  #undrain(machineId: string): void {
    const free = (verbs: UnitVerbs, options: { readonly signal: AbortSignal }) =>
      verbs.intend(machineId, undefined, 'sim', options)
    this.#operate(`undrain ${machineId}`, free, true)
  }

  #one(): void {
    const kinds = Object.entries(this.#mix) as [keyof FaultMix, number][]
    let at = this.#world.between(
      0,
      kinds.reduce((sum, [, weight]) => sum + weight, 0),
    )
    const [kind] = kinds.find(([, weight]) => {
      at -= weight
      return at < 0
    }) ?? ['operator']
    const machine = this.#world.pick(this.#fleet.machines)
    if (machine !== undefined) this.#deeds[kind](machine, this.#world.between(200, 20_000))
  }

  /** What each kind of fault does to a machine, and when it ends. */
  readonly #deeds: Readonly<Record<keyof FaultMix, (machine: SimMachine, ms: number) => void>> = {
    crash: (machine, ms) => this.#crash(machine, ms),
    killAgent: (machine, ms) => {
      machine.killAgent()
      this.#later(ms / 4, () => machine.startAgent())
    },
    freeze: (machine, ms) => this.#freeze(machine, 'machine', ms),
    freezeAgent: (machine, ms) => this.#freeze(machine, 'agent', ms),
    cut: (_, ms) => this.#cut('cut', ms),
    cutOneWay: (_, ms) => this.#cut('cutOneWay', ms),
    partition: (_, ms) => this.#partition(ms),
    engineDown: (_, ms) => this.#engineDown(ms),
    wallJump: (machine) => {
      this.#world.note(`${machine.id}: its date jumps`)
      machine.oscillator.jumpWall(this.#world.between(-3_600_000, 3_600_000))
      machine.table.clockJumped()
    },
    processExit: ({ table }) => {
      const process = this.#world.pick([...table.processes.values()])
      if (process !== undefined) table.crashProcess(process, this.#world.chance(0.3))
    },
    operator: (machine) => this.#want(machine),
  }

  #freeze(machine: SimMachine, what: 'machine' | 'agent', ms: number): void {
    if (!machine.isOn || machine.isFrozen) return
    machine.freeze(what)
    this.#later(ms, () => {
      machine.thaw()
      this.#fleet.checks.again()
    })
  }

  #engineDown(ms: number): void {
    this.#world.note('the engine goes away')
    this.#fleet.isEngineDown = true
    this.#later(ms, () => {
      this.#world.note('the engine is back')
      this.#fleet.isEngineDown = false
    })
  }

  #crash(machine: SimMachine, ms: number): void {
    machine.crash()
    if (this.#world.chance(0.2)) machine.wipeDisk()
    this.#later(ms, () => machine.boot())
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
  #cut(kind: 'cut' | 'cutOneWay', ms: number): void {
    const world = this.#world
    const { machines, network } = this.#fleet
    const ids = machines.map(({ id }) => id)
    const one = world.pick(ids) ?? ''
    const others = world.chance(0.5) ? ids.filter((id) => id !== one) : [world.pick(ids) ?? '']
    const outward = world.chance(0.5)
    const how = kind === 'cut' ? 'from' : outward ? 'to' : 'back from'
    world.note(`${kind} ${one} ${how} ${others.join(',')}`)
    for (const other of others) {
      if (kind === 'cut' || outward) network.cut(one, other)
      if (kind === 'cut' || !outward) network.cut(other, one)
    }
    this.#healNetwork(ms)
  }

  /** Operators want something of a unit, or of this machine. */
  #want(machine: SimMachine): void {
    const unit = this.#world.pick(unitNames) ?? unitNames[0]
    const wish = this.#world.pick(['scale', 'load', 'load', 'stop', 'cordoned', 'draining', 'free'])
    if (wish === 'scale') {
      const count = Math.floor(this.#world.between(1, 6))
      this.#operate(`scale ${unit} to ${count}`, (v, o) => v.scale(unit, count, 'sim', o))
    } else if (wish === 'load') this.#loadAgain(unit)
    else if (wish === 'stop') this.#stopForAWhile(unit)
    else {
      const intent = wish === 'cordoned' || wish === 'draining' ? wish : undefined
      const what = `${intent ?? 'undrain'} ${machine.id}`
      this.#operate(what, (v, o) => v.intend(machine.id, intent, 'sim', o))
    }
  }

  #loadAgain(unit: string): void {
    const rules: SimUnitText['rules'] =
      unit === 'db.service' ? { partition: 'at-most', instances: 2 } : { instances: 3 }
    const text = { ...someText(this.#world, rules), fails: this.#world.chance(0.3) }
    const given = { unit, text: JSON.stringify(text) }
    this.#operate(`load ${unit} again${text.fails ? ', a bad one' : ''}`, async (v, o) => {
      await v.load(given, 'sim', o)
    })
  }

  #stopForAWhile(unit: string): void {
    this.#operate(`stop ${unit}`, (v, o) => v.want(unit, false, 'sim', o))
    this.#later(this.#world.between(500, 5_000), () =>
      this.#operate(`start ${unit}`, (v, o) => v.want(unit, true, 'sim', o)),
    )
  }

  /** By whichever agent is there, as a person at its machine would. */
  #operate(
    what: string,
    work: (verbs: UnitVerbs, options: { readonly signal: AbortSignal }) => Promise<void>,
    again = false,
  ): void {
    const world = this.#world
    const agents = this.#fleet.machines.flatMap(({ agent }) => (agent?.gate.isOpen ? [agent] : []))
    const agent = world.pick(agents)
    if (agent === undefined) return
    const { clock, state, gate } = agent
    const verbs = new UnitVerbs({ clock, random: world.random, state }, 'sim')
    world.note(`operator: ${what}`)
    const limit = deadline(clock, operationTimeoutMs)
    const began = clock.nowMs()
    const { freezes } = gate
    const outcome = (text: string) => {
      if (gate.isDead) return
      limit[Symbol.dispose]()
      this.outcomes.set(text, (this.outcomes.get(text) ?? 0) + 1)
      world.note(`operator: ${what}: ${text}`)
      // Who stands still cannot be in time.
      if (gate.freezes === freezes) {
        this.#fleet.checks.operation(what, clock.nowMs() - began, operationTimeoutMs)
      }
      if (again && text !== 'done') this.#world.after(200, () => this.#operate(what, work, true))
    }
    work(verbs, limit).then(
      () => outcome('done'),
      (error: unknown) => {
        const { code, outcome: how } = asHolonError(error)
        outcome(`${code}, ${how === 'none' ? 'not done' : 'unknown'}`)
      },
    )
  }
}
