/**
 * What happens when one thing breaks and stays broken: how long until everything runs again, on the
 * machines that are left.
 */
import { everyFault, Faults } from './faults.ts'
import { SimFleet } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { World } from './world.ts'

export interface LossResult {
  readonly seed: number
  readonly what: string
  /** Until all was as wanted again; undefined when it was not in time. */
  readonly restoredMs: number | undefined
  /** What was missing in the end. */
  readonly unmet: string | undefined
  readonly trace: readonly string[]
}

/**
 * An exclusive instance waits for its lease to be broken: 9 s, and the time to see and to start.
 */
export const lossBoundMs = 16_000
const settleMs = 10_000
const lookMs = 50

export async function simulateLoss(seed: number): Promise<LossResult> {
  const world = new World(seed)
  const machines = 5 + Math.floor(world.between(0, 3))
  const options = { machines, keepers: machines >= 7 ? 5 : 3, zones: 0, clockRateError: 0.001 }
  const fleet = new SimFleet(world, options)
  const step = () => fleet.checks.step()
  fleet.boot()
  await world.run(2_000, step)
  new Faults(world, fleet, everyFault).begin()
  await world.run(settleMs + world.between(0, 1_000), step)
  const before = fleet.checks.unmet()
  const victims = pickVictims(world, fleet)
  const how = world.pick(['crash', 'freeze', 'cut'] as const) ?? 'crash'
  const what = `${how} of ${victims.map(({ id }) => id).join(' and ')}`
  world.note(`--- ${what}`)
  for (const victim of victims) lose(fleet, victim, how)
  const lostMs = world.nowMs
  const counts = (id: string) => victims.every((victim) => victim.id !== id)
  let unmet: string | undefined = before
  while (before === undefined && world.nowMs - lostMs < lossBoundMs) {
    await world.run(world.nowMs + lookMs, step)
    unmet = fleet.checks.unmet(counts)
    if (unmet === undefined) break
  }
  const [violation] = fleet.checks.violations
  if (violation !== undefined) unmet = `${violation.rule}: ${violation.what}`
  const restoredMs = unmet === undefined ? world.nowMs - lostMs : undefined
  return { seed, what, restoredMs, unmet, trace: world.trace }
}

/** One machine; or the one that leads, alone or with another one; always a minority of keepers. */
function pickVictims(world: World, fleet: SimFleet): readonly SimMachine[] {
  const leader = fleet.machines.find(({ agent }) => agent?.control?.leads === true)
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
  else {
    for (const { id } of fleet.machines) {
      if (id === victim.id) continue
      fleet.network.cut(victim.id, id)
      fleet.network.cut(id, victim.id)
    }
  }
}
