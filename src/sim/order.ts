/**
 * Units that are started one after the other, under faults, while people start, stop and restart
 * them: no instance gets its first place before what its unit comes after was up, and after all of
 * it everything that is wanted is there. What one of the units must find is on some machines only.
 */
import {
  parseSlot,
  parseSpec,
  type SpecRecord,
  slotPrefix,
  specPrefix,
} from '../cluster/reconcile/records.ts'
import { everyFault, Faults } from './faults.ts'
import { SimFleet, someMachines } from './fleet.ts'
import { resultOf, type SimResult, untilWanted } from './run.ts'
import { World } from './world.ts'

const settleMs = 20_000
const safetyMs = 60_000
const livenessMs = 120_000
/** So long after a machine died others may still believe what it said. */
const unheardMs = 6_000
const path = '/srv/data'

interface OrderedUnit {
  readonly unit: readonly string[]
  /** What it comes after, whoever of the two says so. */
  readonly after: readonly string[]
  readonly instances: number
  readonly isOneshot?: true
}

const units: Readonly<Record<string, OrderedUnit>> = {
  'disk.service': { unit: [], after: [], instances: 1 },
  'db.service': {
    unit: ['Requires=disk.service', 'After=disk.service'],
    after: ['disk.service'],
    instances: 2,
  },
  'cache.service': { unit: ['Before=web.service'], after: [], instances: 1 },
  'setup.service': { unit: ['Before=web.service'], after: [], instances: 1, isOneshot: true },
  'web.service': {
    unit: ['Requires=db.service', 'After=db.service', 'Wants=cache.service setup.service'],
    after: ['db.service', 'cache.service', 'setup.service'],
    instances: 3,
  },
  'edge.service': {
    unit: ['BindsTo=web.service', 'After=web.service', `ConditionPathExists=${path}`],
    after: ['web.service'],
    instances: 1,
  },
}
const names = Object.keys(units)

export async function simulateOrder(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const machines = 4 + Math.floor(world.between(0, 4))
  const model = { machines: someMachines(machines, 0), keepers: 3, clockRateError: 0.05 }
  const fleet = new SimFleet(world, model)
  const { checks, operators } = fleet
  const step = () => checks.step()
  const order = new OrderCheck(fleet)
  checks.also = () => order.wrong()
  fleet.boot()
  for (const machine of fleet.machines.slice(-2)) machine.paths.add(path)
  await world.run(1_000, step)
  for (const unit of names) void operators.insist(() => operators.load(unit, textOf(world, unit)))
  await world.run(2_000, step)
  void operators.insist(() => operators.want('edge.service', true))
  await world.run(settleMs, step)
  // With a full disk an end may be forgotten, see docs/timers.md.
  const mix = { ...everyFault, operator: 0, fullDisk: 0 }
  const faults = new Faults(world, fleet, mix, [])
  const pauseMsMax = 1_000 * 10 ** world.random.next()
  faults.rage(100, pauseMsMax)
  const untilMs = world.nowMs + safetyMs
  someWishes(world, fleet, untilMs)
  await world.run(untilMs, step)
  faults.heal()
  for (const unit of names) void operators.insist(() => operators.want(unit, true))
  const restoredMs = await untilWanted(world, fleet, livenessMs)
  return resultOf(seed, { machines, pauseMsMax }, world, fleet, restoredMs)
}

function textOf(world: World, name: string): string {
  const { unit, instances, isOneshot } = units[name] ?? { unit: [], instances: 1 }
  const isExclusive = name === 'disk.service' && world.chance(0.3)
  const readyMs = Math.round(world.between(5, 4_000))
  return [
    ...['[Unit]', ...unit],
    ...['[Service]', 'ExecStart=/usr/bin/program'],
    isOneshot ? 'Type=oneshot' : 'Type=notify',
    ...['[X-Holon]', `Instances=${instances}`],
    ...(isExclusive ? ['Partition=at-most'] : []),
    ...['[X-Sim]', `ReadySec=${isOneshot ? 1 : readyMs}ms`],
    `StopSec=${Math.round(world.between(1, 1_500))}ms`,
    ...(isOneshot ? [`RunsSec=${readyMs}ms`] : []),
    '',
  ].join('\n')
}

/** People stop one thing and start another, now and then, until that time. */
function someWishes(world: World, fleet: SimFleet, untilMs: number): void {
  world.after(world.between(200, 12_000), () => {
    if (world.nowMs > untilMs) return
    const { operators } = fleet
    const unit = world.pick(names) ?? ''
    const what = world.between(0, 4)
    if (what < 1) void operators.restart(unit)
    else void operators.want(unit, what > 2)
    someWishes(world, fleet, untilMs)
  })
}

/** Knows what was up when, from the processes themselves. */
class OrderCheck {
  readonly #fleet: SimFleet
  /** Units whose instances were all ready at one moment, since they are wanted. */
  readonly #wereUp = new Set<string>()
  /** By slot, when it was ready last. */
  readonly #readyMs = new Map<string, number>()
  #placed: ReadonlySet<string> = new Set()

  constructor(fleet: SimFleet) {
    this.#fleet = fleet
  }

  wrong(): string | undefined {
    const specs = this.#specs()
    const ready = this.#ready()
    for (const unit of names) {
      const { instances } = units[unit] ?? { instances: 0 }
      if (specs.get(unit)?.wanted !== true) this.#wereUp.delete(unit)
      else if ((ready.get(unit) ?? 0) >= instances) this.#wereUp.add(unit)
    }
    const before = this.#placed
    const placed = new Set<string>()
    let wrong: string | undefined
    for (const key of this.#fleet.store.keys(slotPrefix)) {
      const { unit, slot, machineId } = parseSlot(this.#read(key))
      if (machineId === '') continue
      placed.add(`${unit}/${slot}`)
      if (before.has(`${unit}/${slot}`)) continue
      const late = units[unit]?.after.find(
        (other) => specs.get(other)?.wanted === true && !this.#wereUp.has(other),
      )
      if (late !== undefined) wrong = `${unit}/${slot} gets a place before ${late} was up`
    }
    this.#placed = placed
    return wrong
  }

  #specs(): ReadonlyMap<string, SpecRecord> {
    const keys = this.#fleet.store.keys(specPrefix)
    return new Map(keys.map((key) => [key.slice(specPrefix.length), parseSpec(this.#read(key))]))
  }

  /** By unit, how many instances are ready, or were and are over, as somebody else may know it. */
  #ready(): ReadonlyMap<string, number> {
    const { machines, world } = this.#fleet
    for (const { table } of machines) {
      for (const { unit, slot, phase } of table.processes.values()) {
        if (phase !== 'ready' && phase !== 'ended') continue
        this.#readyMs.set(`${unit}/${slot}`, world.nowMs)
      }
    }
    const ready = new Map<string, number>()
    for (const [name, atMs] of this.#readyMs) {
      if (world.nowMs - atMs > unheardMs) continue
      const unit = name.slice(0, name.indexOf('/'))
      ready.set(unit, (ready.get(unit) ?? 0) + 1)
    }
    return ready
  }

  #read(key: string): unknown {
    return JSON.parse(this.#fleet.store.read(key)?.json ?? 'null')
  }
}
