/**
 * Machines leave the fleet for good: drained before, at once, or removed by somebody when they were
 * lost. What was there is elsewhere soon, and what must not run twice only after its lease.
 */
import { SimFleet, someMachines } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { resultOf, type SimResult, startAll, untilWanted } from './run.ts'
import type { UnitName } from './texts.ts'
import { World } from './world.ts'

const settleMs = 15_000
const goneMs = 30_000
const lookMs = 250
/** So many stay: there is room for everything. */
const machinesLeft = 4
/** Who left ends what it has as soon as its agent gets to it. */
const endsMsMax = 12_000
const units: readonly UnitName[] = ['web.service', 'db.service', 'one.service', 'pair.service']

export async function simulateLeave(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const machines = machinesLeft + 1 + Math.floor(world.between(0, 4))
  const model = { machines: someMachines(machines, 0), keepers: 3, clockRateError: 0.05 }
  const fleet = new SimFleet(world, model)
  const step = () => fleet.checks.step()
  fleet.boot()
  await world.run(1_000, step)
  startAll(world, fleet, units)
  await world.run(settleMs, step)
  const members = [...fleet.machines]
  let longestMs = 0
  while (members.length > machinesLeft) {
    const who = world.pick(members.filter(({ id }) => !fleet.keepers.includes(id)))
    if (who === undefined) break
    members.splice(members.indexOf(who), 1)
    longestMs = Math.max(longestMs, await lose(world, fleet, who, members))
  }
  // What it was told of the others, a leader told nobody of by mistake.
  await untilWanted(world, fleet, goneMs)
  return resultOf(seed, { machines }, world, fleet, longestMs)
}

/** Answers how long until all was as wanted without it. */
async function lose(
  world: World,
  fleet: SimFleet,
  who: SimMachine,
  members: readonly SimMachine[],
): Promise<number> {
  const { id } = who
  const how = world.pick(['drained', 'at once', 'lost'] as const)
  world.note(`--- ${id} leaves: ${how}`)
  if (how === 'drained') {
    void fleet.operators.insist(() => fleet.operators.intend(id, 'draining'))
    await until(world, fleet, () => who.table.processes.size === 0, `${id} is drained`)
  }
  if (how === 'lost') who.crash()
  const beganMs = world.nowMs
  if (how === 'lost')
    await world.run(world.nowMs + world.between(0, 5_000), () => fleet.checks.step())
  fleet.remove(id)
  if (how !== 'lost') {
    who.killAgent()
    world.after(world.between(0, endsMsMax), () => who.crash())
  }
  const isMember = (machineId: string) => members.some((each) => each.id === machineId)
  await until(world, fleet, () => fleet.checks.unmet(isMember) === undefined, `${id} is replaced`)
  return world.nowMs - beganMs
}

async function until(world: World, fleet: SimFleet, holds: () => boolean, what: string) {
  const endMs = world.nowMs + goneMs
  while (world.nowMs < endMs) {
    await world.run(world.nowMs + lookMs, () => fleet.checks.step())
    if (holds()) return
  }
  fleet.checks.missed(`${what}: ${fleet.checks.unmet() ?? 'not so'}`)
}
