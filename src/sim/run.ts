/**
 * One simulation: a fleet, a time of faults in which nothing bad may happen (safety), then a time
 * without in which everything good must (liveness).
 */
import { assert } from '../base/assert.ts'
import type { Violation } from './checks.ts'
import { everyFault, type FaultMix, Faults } from './faults.ts'
import { type FleetOptions, SimFleet } from './fleet.ts'
import { World } from './world.ts'

export interface RunOptions extends FleetOptions {
  readonly faults: FaultMix
  readonly faultPauseMsMin: number
  readonly faultPauseMsMax: number
  readonly safetyMs: number
  /** Within this after everything is healed, all must be as wanted. */
  readonly livenessMs: number
}

export interface RunResult {
  readonly seed: number
  readonly options: RunOptions
  readonly violations: readonly Violation[]
  readonly traceHash: string
  readonly steps: number
  /** How long after healing everything was as wanted. */
  readonly healedMs: number
  readonly trace: readonly string[]
  readonly outcomes: ReadonlyMap<string, number>
}

const settleMs = 8_000

/** The options, too, are drawn from the seed. */
export function optionsOf(world: World): RunOptions {
  const machines = 3 + Math.floor(world.between(0, 5))
  return {
    machines,
    keepers: machines >= 7 ? 5 : 3,
    zones: world.chance(0.5) ? 2 : 0,
    clockRateError: world.chance(0.5) ? 0.05 : 0.001,
    faults: everyFault,
    faultPauseMsMin: 100,
    faultPauseMsMax: world.between(500, 6_000),
    safetyMs: 50_000,
    livenessMs: 60_000,
  }
}

export async function simulateSeed(
  seed: number,
  overrides: Partial<RunOptions> = {},
): Promise<RunResult> {
  const world = new World(seed)
  const options = { ...optionsOf(world), ...overrides }
  const fleet = new SimFleet(world, options)
  const { checks } = fleet
  const step = () => checks.step()
  fleet.boot()
  await world.run(2_000, step)
  const faults = new Faults(world, fleet, options.faults)
  faults.begin()
  await world.run(settleMs, step)
  weather(world, fleet)
  faults.rage(options.faultPauseMsMin, options.faultPauseMsMax)
  await world.run(settleMs + options.safetyMs, step)
  faults.heal()
  const healedMs = await liveness(world, fleet, options.livenessMs)
  assert(world.nowMs > 0, 'time passed')
  return {
    seed,
    options,
    violations: checks.violations,
    traceHash: world.traceHash,
    steps: world.steps,
    healedMs,
    trace: world.trace,
    outcomes: faults.outcomes,
  }
}

function weather(world: World, { network, weather: engine }: SimFleet): void {
  if (world.chance(0.5)) {
    network.weather.loss = world.between(0, 0.1)
    network.weather.duplicates = world.between(0, 0.1)
    network.weather.delayMsMax = world.between(2, 200)
  }
  if (world.chance(0.6)) {
    engine.unknown = world.between(0, 0.2)
    engine.late = world.between(0, 0.2)
    engine.duplicates = world.between(0, 0.2)
    engine.reset = world.between(0, 0.02)
  }
}

/** Until all is as wanted and stays so for a while, or the time is up. */
async function liveness(world: World, fleet: SimFleet, withinMs: number): Promise<number> {
  const beganMs = world.nowMs
  const lookMs = 500
  const steadyMs = 5_000
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
