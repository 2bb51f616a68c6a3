/**
 * What happens when one thing breaks and stays broken: how long until everything runs again, on the
 * machines that are left.
 */
import { SimFleet, someMachines } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { resultOf, type SimResult, someUnits, startAll } from './run.ts'
import { mustNotRunTwice } from './texts.ts'
import { World } from './world.ts'

/** To see that something is lost, and to start it elsewhere, which takes up to 3 s here. */
const boundMs = 8_000
/** What must not run twice waits for its lease to be broken, too: 9 s. */
const exclusiveBoundMs = 16_000
const settleMs = 12_000
const lookMs = 50

export async function simulateLoss(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const machines = 5 + Math.floor(world.between(0, 3))
  const keepers = machines >= 7 ? 5 : 3
  const wired = world.chance(0.6)
  const model = { machines: someMachines(machines, 0), keepers, clockRateError: 0.001, wired }
  const fleet = new SimFleet(world, model)
  const step = () => fleet.checks.step()
  fleet.boot()
  await world.run(1_000, step)
  const withExclusive = world.chance(wired ? 0.1 : 0.6)
  const units = someUnits(world).filter((unit) => withExclusive || !mustNotRunTwice.has(unit))
  startAll(world, fleet, units.length === 0 ? ['web.service'] : units)
  await world.run(settleMs + world.between(0, 1_000), step)
  const before = fleet.checks.unmet()
  if (before !== undefined) fleet.checks.missed(`before anything was lost: ${before}`)
  const victims = pickVictims(world, fleet)
  const how = world.pick(['crash', 'freeze', 'cut'] as const) ?? 'crash'
  const what = `${how} of ${victims.map(({ id }) => id).join(' and ')}`
  world.note(`--- ${what}`)
  for (const victim of victims) lose(fleet, victim, how)
  const lostMs = world.nowMs
  const isLeft = (id: string) => victims.every((victim) => victim.id !== id)
  const bound = withExclusive ? exclusiveBoundMs : boundMs
  let unmet: string | undefined
  do {
    await world.run(world.nowMs + lookMs, step)
    unmet = fleet.checks.unmet(isLeft)
  } while (unmet !== undefined && world.nowMs - lostMs < bound)
  if (unmet !== undefined) fleet.checks.missed(unmet)
  return resultOf(seed, { machines, keepers, wired, what }, world, fleet, world.nowMs - lostMs)
}

/** One machine; or the one that leads, alone or with another one; always a minority of keepers. */
function pickVictims(world: World, fleet: SimFleet): readonly SimMachine[] {
  const leader = fleet.leader()
  const others = fleet.machines.filter((machine) => machine !== leader)
  const plain = others.filter(({ id }) => !fleet.keepers.includes(id))
  const kind = world.between(0, 3)
  const one = world.pick(kind < 1 ? others : plain)
  const victims = kind < 1 ? [one] : kind < 2 ? [leader] : [leader, one]
  return victims.filter((machine) => machine !== undefined)
}

function lose(fleet: SimFleet, victim: SimMachine, how: 'crash' | 'freeze' | 'cut'): void {
  if (how === 'crash') victim.crash()
  else if (how === 'freeze') victim.freeze('machine')
  else fleet.partition([victim.id])
}
