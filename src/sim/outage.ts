/**
 * The whole control plane is gone for an hour: nothing stops but what must not run twice, whose
 * leases cannot be renewed; programs that exit start again, agents and machines that start again
 * bring back what was there. When it is back, all is as wanted.
 */
import { SimFleet, someMachines } from './fleet.ts'
import { resultOf, type SimResult, startAll, untilWanted } from './run.ts'
import { unitNames } from './texts.ts'
import { World } from './world.ts'

const settleMs = 15_000
const outageMs = 3_600_000
/** After this every machine has been up for long enough to have brought everything back. */
const calmMs = 60_000
/** Then the last lease is over, whatever the clocks say. */
const leasesOverMs = 10_000

export async function simulateOutage(seed: number): Promise<SimResult> {
  const world = new World(seed)
  const machines = 3 + Math.floor(world.between(0, 2))
  const model = { machines: someMachines(machines, 0), keepers: 3, clockRateError: 0.05 }
  const fleet = new SimFleet(world, model)
  const { checks } = fleet
  const step = () => checks.step()
  fleet.boot()
  await world.run(1_000, step)
  startAll(world, fleet, unitNames)
  await world.run(settleMs, step)
  world.note('--- the engine goes away for an hour')
  fleet.isEngineDown = true
  const awayMs = world.nowMs
  trouble(world, fleet, awayMs + outageMs - calmMs)
  await world.run(awayMs + leasesOverMs, step)
  checks.also = () => exclusiveRuns(fleet)
  await world.run(awayMs + outageMs, step)
  for (const what of missing(fleet)) checks.violate('static stability', what)
  checks.also = undefined
  world.note('--- the engine is back')
  fleet.isEngineDown = false
  const restoredMs = await untilWanted(world, fleet, 60_000)
  return resultOf(seed, { machines }, world, fleet, restoredMs)
}

/** What happens to machines in an hour anyway. */
function trouble(world: World, fleet: SimFleet, untilMs: number): void {
  world.after(world.between(10_000, 300_000), () => {
    if (world.nowMs >= untilMs) return
    const machine = world.pick(fleet.machines)
    const kind = world.between(0, 3)
    if (machine === undefined) return
    if (kind < 1) {
      machine.killAgent()
      world.after(world.between(100, 20_000), () => machine.startAgent())
    } else if (kind < 1.5) {
      machine.crash()
      world.after(world.between(1_000, 20_000), () => machine.boot())
    } else {
      const process = world.pick([...machine.table.processes.values()])
      if (process !== undefined) machine.table.crashProcess(process, false)
    }
    trouble(world, fleet, untilMs)
  })
}

function exclusiveRuns(fleet: SimFleet): string | undefined {
  for (const { id, table } of fleet.machines) {
    for (const process of table.processes.values()) {
      if (!process.exclusive || !table.isRunning(process)) continue
      return `${process.unit}/${process.slot} runs on ${id} without a lease that could be renewed`
    }
  }
  return undefined
}

/** What belongs to a machine and does not run there. */
function missing(fleet: SimFleet): readonly string[] {
  return [...fleet.checks.wanted.slots()].flatMap(([name, { machineId, exclusive, ended }]) => {
    const machine = fleet.machine(machineId)
    const noted = machine?.disk.work.find(({ unit, slot }) => `${unit}/${slot}` === name)
    // Its machine knows that it ended, and cannot tell anybody.
    if (exclusive || ended !== undefined || noted?.ended !== undefined) return []
    const process = machine?.table.processes.get(name)
    const isThere = process?.phase === 'ready' || process?.phase === 'ended'
    return isThere ? [] : [`${name} does not run on ${machineId} any more`]
  })
}
