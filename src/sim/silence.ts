/**
 * More than 30 % of a zone's machines are silent at once: that is the network, not so many deaths.
 * Nothing is moved away from there, and the leader says why. Fewer than that are believed dead.
 */
import { SimFleet, someMachines } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { resultOf, type SimResult, untilWanted } from './run.ts'
import { World } from './world.ts'

const settleMs = 15_000
const silenceMs = 30_000
const zones = 2
const zoneSize = 10

export async function simulateSilence(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const size = zoneSize + Math.floor(world.between(0, 4))
  const machines = someMachines(zones * size, zones)
  const fleet = new SimFleet(world, { machines, keepers: 3, clockRateError: 0.01 })
  const { checks, operators } = fleet
  const step = () => checks.step()
  fleet.boot()
  await world.run(1_000, step)
  for (const [unit, lines] of [
    ['web.service', 'Instances=24\nPerNode=2'],
    ['db.service', 'Instances=8\nPartition=at-most'],
  ] as const) {
    const text = `[Service]\nExecStart=/usr/bin/program\n[X-Holon]\n${lines}\n`
    void operators.start(unit, text)
  }
  await world.run(settleMs, step)
  const isMany = world.chance(0.7)
  const count = isMany ? Math.floor(size * 0.3) + 1 + Math.floor(world.between(0, 3)) : 2
  const silent = pickSilent(world, fleet, count)
  world.note(`--- ${silent.map(({ id }) => id).join(', ')} are silent`)
  for (const { id } of silent) fleet.partition([id])
  const before = placesOn(fleet, silent)
  await world.run(world.nowMs + silenceMs, step)
  const moved = before.filter((place) => !placesOn(fleet, silent).includes(place))
  const says = checks.leaderSays()
  if (isMany && moved.length > 0) checks.violate('eviction', `moved: ${moved.join(', ')}`)
  if (isMany && !says.includes('that is a network fault')) {
    checks.violate('eviction', `nobody says why nothing is moved: ${says}`)
  }
  if (!isMany && moved.length < before.length) {
    const left = placesOn(fleet, silent)
    checks.violate('eviction', `still where it is lost: ${left.join(', ')}; ${says}`)
  }
  world.note('--- the network heals')
  fleet.network.heal()
  const restoredMs = await untilWanted(world, fleet, 60_000)
  return resultOf(seed, { machines: machines.length, count }, world, fleet, restoredMs)
}

/** Of one zone, and few enough of those that keep the state. */
function pickSilent(world: World, fleet: SimFleet, count: number): readonly SimMachine[] {
  const zone = world.pick(['z1', 'z2'])
  const plain = fleet.machines.filter(
    ({ id, record }) => record.zone === zone && !fleet.keepers.includes(id),
  )
  const first = Math.floor(world.between(0, plain.length))
  return [...plain.slice(first), ...plain.slice(0, first)].slice(0, count)
}

function placesOn(fleet: SimFleet, machines: readonly SimMachine[]): readonly string[] {
  return [...fleet.checks.wanted.slots()].flatMap(([name, { machineId }]) =>
    machines.some(({ id }) => id === machineId) ? [`${name} on ${machineId}`] : [],
  )
}
