/**
 * What [X-Holon] says about where and how often a unit runs in the fleet, and the conditions of
 * [Unit] that a machine must meet for it. Plain values; the scheduler reads them, nothing else.
 */

/** One line that makes a machine a candidate or not; conditions.ts says which. */
export interface MachineCondition {
  /** "ConditionPathExists", "AssertPathExists", "MachineID". */
  readonly name: string
  /** Without the marks; specifiers unexpanded. */
  readonly value: string
  /** `!`: it must not hold. */
  readonly negated: boolean
  /** `|`: of all lines so marked one suffices. */
  readonly triggering: boolean
}

/** What an instance is counted with on its machine, used or not. */
export interface Reservation {
  /** Cores; 0 for none. */
  readonly cpus: number
  readonly memoryBytes: number
}

/**
 * `at-least`: while machines cannot see each other, both sides may run an instance. `at-most`: an
 * instance runs once or not at all (under its machine's lease).
 */
export const partitionRules = ['at-least', 'at-most'] as const
export type PartitionRule = (typeof partitionRules)[number]

/**
 * Whether instances move to a better place by themselves: never; `return` when a machine is back
 * or new and others have too many; `load` also when machines differ much in load.
 */
export const rebalanceRules = ['no', 'return', 'load'] as const
export type RebalanceRule = (typeof rebalanceRules)[number]

/** `Rollout=`: how many instances at a time; a share is rounded down, but never below one. */
export type RolloutStep =
  | { readonly kind: 'count'; readonly count: number }
  | { readonly kind: 'percent'; readonly percent: number }

export interface PlacementRules {
  /** Wanted. With `global`, and then only, it does not count. */
  readonly instances: number
  /** A drain or rollout never goes below; absent: one fewer than `instances`. */
  readonly minInstances?: number
  /** `scale` never goes above. */
  readonly maxInstances?: number
  /** Spread over at least so many machines, while there are as many. */
  readonly nodes: number
  /** At most so many on one machine; 0 for any number. */
  readonly perNode: number
  /** `perNode` (at least one) on every machine that fits. */
  readonly global: boolean
  /** Must hold, as with `holon run --require`. The words of requirement.ts, all of them sound. */
  readonly require: string
  /** Better if it holds; as `require`. */
  readonly prefer: string
  /** Names of units: only where an instance of each of these is. */
  readonly with: readonly string[]
  /** Names or patterns ("db-*.service") of units: not where an instance of one of these is. */
  readonly apart: readonly string[]
  readonly partition: PartitionRule
  readonly reserve: Reservation
  /** Higher ones are placed first, and may take the place of lower ones. -1000 to 1000. */
  readonly priority: number
  readonly rebalance: RebalanceRule
  readonly rollout: RolloutStep
  readonly conditions: readonly MachineCondition[]
  /** Its instances answer on a public port: every machine is told where they are. */
  readonly serves: boolean
}

export const defaultRules: PlacementRules = {
  instances: 1,
  nodes: 1,
  perNode: 0,
  global: false,
  require: '',
  prefer: '',
  with: [],
  apart: [],
  partition: 'at-least',
  reserve: { cpus: 0, memoryBytes: 0 },
  priority: 0,
  rebalance: 'return',
  rollout: { kind: 'count', count: 1 },
  conditions: [],
  serves: false,
}

/** How many of `instances` a rollout may have under way at once. */
export function rolloutCount(step: RolloutStep, instances: number): number {
  const count = step.kind === 'count' ? step.count : Math.floor((instances * step.percent) / 100)
  return Math.max(1, count)
}

/** How many there are to be; `scale`: what was asked instead of Instances=. Not for Global=. */
export function instancesWanted(
  { instances, maxInstances = Number.POSITIVE_INFINITY }: PlacementRules,
  scale: number | undefined,
): number {
  return Math.min(scale ?? instances, maxInstances)
}

/** What a drain or a rollout leaves ready: one fewer than wanted, or what the unit says. */
export function minInstances(rules: PlacementRules, scale?: number): number {
  return rules.minInstances ?? Math.max(0, instancesWanted(rules, scale) - 1)
}
