/**
 * One simulation: a fleet, a time of faults in which nothing bad may happen (safety), then a time
 * without in which everything good must (liveness).
 */
import type { Violation } from './checks.ts'
import { everyFault, type FaultMix, Faults } from './faults.ts'
import { SimFleet, someMachines } from './fleet.ts'
import { goodNetwork, type NetworkWeather } from './network.ts'
import { type EngineWeather, goodEngine } from './state.ts'
import { someText, type UnitName, unitNames } from './texts.ts'
import { World } from './world.ts'

export interface RunOptions {
  readonly machines: number
  readonly keepers: number
  readonly zones: number
  /** Greatest error of a machine's clock rate. */
  readonly clockRateError: number
  readonly units: readonly UnitName[]
  readonly faults: FaultMix
  readonly faultPauseMsMin: number
  readonly faultPauseMsMax: number
  readonly network: NetworkWeather
  readonly engine: EngineWeather
  readonly safetyMs: number
  /** Within this after everything is healed, all must be as wanted. */
  readonly livenessMs: number
  /** Over real links. */
  readonly wired: boolean
}

/** What every simulation tells in the end. */
export interface SimResult {
  readonly seed: number
  /** What was done to the fleet. */
  readonly options: object
  readonly violations: readonly Violation[]
  /** Of everything that happened: equal for equal runs. */
  readonly traceHash: string
  readonly steps: number
  /** How long until all was as wanted after what there was to get over. */
  readonly restoredMs: number
  readonly trace: readonly string[]
  readonly outcomes: ReadonlyMap<string, number>
}

const settleMs = 6_000
const lookMs = 500
const steadyMs = 3_000

/** The options, too, are drawn from the seed. */
export function optionsOf(world: World): RunOptions {
  const machines = 3 + Math.floor(world.between(0, 5))
  return {
    machines,
    keepers: machines >= 7 ? 5 : 3,
    zones: world.chance(0.5) ? 2 : 0,
    clockRateError: world.chance(0.5) ? 0.05 : 0.001,
    units: someUnits(world),
    faults: everyFault,
    faultPauseMsMin: 100,
    faultPauseMsMax: 500 * 20 ** world.random.next(),
    network: someNetwork(world),
    engine: someEngine(world),
    safetyMs: 40_000,
    livenessMs: 60_000,
    wired: false,
  }
}

function someNetwork(world: World): NetworkWeather {
  if (world.chance(0.5)) return goodNetwork
  return {
    loss: world.between(0, 0.1),
    duplicates: world.between(0, 0.1),
    late: world.chance(0.5) ? world.between(0, 0.1) : 0,
    delayMsMin: 0.1,
    delayMsMax: world.between(2, 200),
  }
}

export function someEngine(world: World): EngineWeather {
  if (world.chance(0.4)) return goodEngine
  return {
    unknown: world.between(0, 0.2),
    late: world.between(0, 0.2),
    slow: world.chance(0.5) ? world.between(0, 0.1) : 0,
    duplicates: world.between(0, 0.2),
    reset: world.between(0, 0.02),
  }
}

export async function simulateSeed(
  seed: number,
  overrides: Partial<RunOptions> = {},
): Promise<SimResult> {
  const world = new World(seed)
  const options = { ...optionsOf(world), ...overrides }
  const { machines, zones, keepers, clockRateError, wired } = options
  const model = { machines: someMachines(machines, zones), keepers, clockRateError, wired }
  const fleet = new SimFleet(world, model)
  const step = () => fleet.checks.step()
  fleet.boot()
  await world.run(1_000, step)
  startAll(world, fleet, options.units)
  await world.run(settleMs, step)
  fleet.network.weather = { ...options.network }
  fleet.weather = { ...options.engine }
  const faults = new Faults(world, fleet, options.faults, options.units)
  faults.rage(options.faultPauseMsMin, options.faultPauseMsMax)
  await world.run(settleMs + options.safetyMs, step)
  faults.heal()
  const restoredMs = await untilWanted(world, fleet, options.livenessMs)
  return resultOf(seed, options, world, fleet, restoredMs)
}

/** Some of the units that there are; one that must not run twice is among them. */
export function someUnits(world: World): readonly UnitName[] {
  return unitNames.filter((unit) => unit === 'db.service' || world.chance(0.6))
}

/** Operators give these units and want them running. */
export function startAll(world: World, { operators }: SimFleet, units: readonly UnitName[]): void {
  for (const unit of units) void operators.start(unit, someText(world, unit))
}

export function resultOf(
  seed: number,
  options: object,
  world: World,
  fleet: SimFleet,
  restoredMs: number,
): SimResult {
  const { violations } = fleet.checks
  const { traceHash, steps, trace } = world
  const { outcomes } = fleet.operators
  return { seed, options, violations, traceHash, steps, restoredMs, trace, outcomes }
}

/** Until all is as wanted and stays so for a while; a violation when the time is up before. */
export async function untilWanted(
  world: World,
  fleet: SimFleet,
  withinMs: number,
): Promise<number> {
  const beganMs = world.nowMs
  let steadySinceMs: number | undefined
  let unmet: string | undefined = 'nothing was looked at'
  while (world.nowMs - beganMs < withinMs) {
    await world.run(world.nowMs + lookMs, () => fleet.checks.step())
    unmet = fleet.checks.unmet()
    if (unmet !== undefined) steadySinceMs = undefined
    else steadySinceMs ??= world.nowMs
    if (steadySinceMs !== undefined && world.nowMs - steadySinceMs >= steadyMs) {
      return steadySinceMs - beganMs
    }
  }
  fleet.checks.missed(unmet ?? 'it did not stay as wanted')
  return withinMs
}
