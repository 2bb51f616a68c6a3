/**
 * Machines are drained and units brought out anew while nothing else is wrong: at no moment are
 * fewer instances ready than the units allow, and in the end nothing is left where it was drained.
 */
import { SimFleet, someMachines } from './fleet.ts'
import { resultOf, type SimResult, startAll, untilWanted } from './run.ts'
import type { UnitName } from './texts.ts'
import { World } from './world.ts'

const settleMs = 15_000
const drainMs = 60_000
const lookMs = 250
/** So many are never drained: there is room for everything. */
const machinesLeft = 3
const units: readonly UnitName[] = ['web.service', 'db.service', 'job.service', 'pair.service']

export async function simulateDrain(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const machines = 4 + Math.floor(world.between(0, 4))
  const model = { machines: someMachines(machines, 0), keepers: 3, clockRateError: 0.05 }
  const fleet = new SimFleet(world, model)
  const { checks, operators } = fleet
  const step = () => checks.step()
  fleet.boot()
  await world.run(1_000, step)
  startAll(world, fleet, units)
  await world.run(settleMs, step)
  checks.also = () => checks.wanted.belowFloor()[0]
  const free = fleet.machines.map(({ id }) => id)
  let longestMs = 0
  while (free.length > machinesLeft) {
    const some = drainSome(world, fleet, free)
    longestMs = Math.max(longestMs, await untilEmpty(world, fleet, some))
  }
  checks.also = undefined
  for (const { id } of fleet.machines) {
    void operators.insist(() => operators.intend(id, undefined))
  }
  await untilWanted(world, fleet, drainMs)
  return resultOf(seed, { machines }, world, fleet, longestMs)
}

/** One or two of them, and perhaps a unit is brought out anew at the same time. */
function drainSome(world: World, fleet: SimFleet, free: string[]): readonly string[] {
  const { operators } = fleet
  const count = Math.min(free.length - machinesLeft, world.chance(0.3) ? 2 : 1)
  const some = Array.from({ length: count }, () => world.pick(free) ?? '')
  for (const id of some) {
    if (free.includes(id)) free.splice(free.indexOf(id), 1)
    void operators.insist(() => operators.intend(id, 'draining'))
  }
  const unit = world.pick(units)
  if (unit !== undefined && world.chance(0.5)) {
    world.after(world.between(0, 3_000), () => void operators.restart(unit))
  }
  return some
}

async function untilEmpty(
  world: World,
  fleet: SimFleet,
  drained: readonly string[],
): Promise<number> {
  const beganMs = world.nowMs
  while (world.nowMs - beganMs < drainMs) {
    await world.run(world.nowMs + lookMs, () => fleet.checks.step())
    const left = drained.filter((id) => fleet.machine(id)?.table.processes.size !== 0)
    const unmet = fleet.checks.unmet((id) => !drained.includes(id))
    if (left.length === 0 && unmet === undefined) return world.nowMs - beganMs
  }
  const unmet = fleet.checks.unmet((id) => !drained.includes(id))
  fleet.checks.missed(`${drained.join(' and ')} are drained: ${unmet ?? 'something is left there'}`)
  return drainMs
}
