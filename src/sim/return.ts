/**
 * A machine is lost and comes back: what runs is spread again by itself (Rebalance=return), each in
 * its new place before it ends in the old one; and after that nothing moves any more.
 */
import type { SlotRecord } from '../cluster/reconcile/records.ts'
import { SimFleet, someMachines } from './fleet.ts'
import { resultOf, type SimResult, untilWanted } from './run.ts'
import { World } from './world.ts'

const settleMs = 12_000
const lostMs = 25_000
/** Calm, and a round of moves for each few instances. */
const spreadMs = 180_000
const steadyMs = 120_000

export async function simulateReturn(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const machines = 4 + Math.floor(world.between(0, 4))
  const zones = world.chance(0.5) ? 2 : 0
  const model = { machines: someMachines(machines, zones), keepers: 3, clockRateError: 0.01 }
  const fleet = new SimFleet(world, model)
  const { checks, operators } = fleet
  const step = () => checks.step()
  fleet.boot()
  await world.run(1_000, step)
  const instances = machines + Math.floor(world.between(0, machines))
  const rebalance = world.pick(['return', 'load'] as const) ?? 'return'
  void operators.start('web.service', text(instances, `Rebalance=${rebalance}`))
  void operators.start('db.service', text(machines, 'Partition=at-most'))
  void operators.start('pin.service', text(instances, 'Rebalance=no'))
  await world.run(world.nowMs + settleMs, step)
  const lost = world.pick(fleet.machines)
  lost?.crash()
  await world.run(world.nowMs + lostMs, step)
  const pinned = places(fleet, 'pin.service')
  const exclusive = places(fleet, 'db.service')
  lost?.boot()
  checks.also = () => checks.wanted.belowFloor()[0]
  const backMs = world.nowMs
  while (unevenness(fleet) !== undefined && world.nowMs - backMs < spreadMs) {
    await world.run(world.nowMs + 500, step)
  }
  const uneven = unevenness(fleet)
  if (uneven !== undefined) checks.missed(uneven)
  const restoredMs = world.nowMs - backMs
  await untilWanted(world, fleet, 30_000)
  const spread = places(fleet, 'web.service')
  await world.run(world.nowMs + steadyMs, step)
  for (const [unit, before] of [
    ['web.service', spread],
    ['pin.service', pinned],
    ['db.service', exclusive],
  ] as const) {
    const now = places(fleet, unit)
    if (now !== before) checks.violate('at rest', `${unit} was at ${before}, is at ${now}`)
  }
  return resultOf(seed, { machines, zones, instances }, world, fleet, restoredMs)
}

function text(instances: number, line: string): string {
  const holon = `[X-Holon]\nInstances=${instances}\n${line}`
  return `[Service]\nType=notify\nExecStart=/usr/bin/program\n${holon}\n`
}

function slotsOf(fleet: SimFleet, unit: string): readonly SlotRecord[] {
  return [...fleet.checks.wanted.slots().values()].filter((slot) => slot.unit === unit)
}

function places(fleet: SimFleet, unit: string): string {
  const named = slotsOf(fleet, unit).map(({ slot, machineId }) => `${slot} on ${machineId}`)
  return named.join(', ')
}

/** Why the instances of web.service are not spread over zones, and machines of each zone. */
function unevenness(fleet: SimFleet): string | undefined {
  const byMachine = new Map(fleet.machines.map(({ id }) => [id, 0]))
  for (const { machineId, next } of slotsOf(fleet, 'web.service')) {
    if (next !== undefined) return 'something moves still'
    byMachine.set(machineId, (byMachine.get(machineId) ?? 0) + 1)
  }
  const zones = Map.groupBy(fleet.machines, ({ record }) => record.zone)
  const sums: number[] = []
  for (const [zone, machines] of zones) {
    const counts = machines.map(({ id }) => byMachine.get(id) ?? 0)
    sums.push(counts.reduce((sum, count) => sum + count, 0))
    if (Math.max(...counts) - Math.min(...counts) > 1) return `in "${zone}" are ${counts.join()}`
  }
  const isEven = Math.max(...sums) - Math.min(...sums) <= 1
  return isEven ? undefined : `in zones are ${sums.join()}`
}
