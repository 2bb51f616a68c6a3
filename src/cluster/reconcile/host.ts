/** What the fleet needs of a machine that runs instances: the agent's units, or a simulated one. */

import type { ConditionVerdict } from '../../unit/conditions.ts'
import type { HeldLease } from '../lease/holder.ts'
import type { AskedUnit } from './condition-answers.ts'

/**
 * `starting`: not ready yet. `ended`: it was over, and its unit's Restart= asks for no more.
 * `failed`: the same after failures. `stopped`: ended because it was asked to, by an agent that did
 * not live to clear it, or by its keeper with the lease. `refused`: it could not even be started.
 */
export type HostedPhase =
  | 'starting'
  | 'ready'
  | 'stopping'
  | 'ended'
  | 'failed'
  | 'stopped'
  | 'refused'

/** An instance of the fleet, as the machine that has it sees it. */
export interface HostedInstance {
  readonly unit: string
  readonly slot: number
  readonly generation: number
  readonly spec: number
  readonly exclusive: boolean
  readonly phase: HostedPhase
  /** How it came to this phase, for people: "result exit-code, status 1". */
  readonly why: string
  /** How long it has been in this phase, when this was told. */
  readonly forMs: number
  /** By its keeper, since it was started; absent: never. */
  readonly restarted?: KeeperRestarts | undefined
}

export interface KeeperRestarts {
  readonly times: number
  /** How it had ended the last time: "status 1". */
  readonly why: string
}

export interface StartOrder {
  readonly unit: string
  readonly slot: number
  readonly generation: number
  readonly spec: number
  readonly text: string
  /** The fleet's secrets that the text names, by name; those that do not exist are left out. */
  readonly secrets?: ReadonlyMap<string, Uint8Array>
  /** With it the instance ends at that moment, on either clock, unless it is moved. */
  readonly lease?: HeldLease
}

export interface InstanceHost {
  /** In order of unit and slot; also those that have ended. */
  instances(): readonly HostedInstance[]
  /**
   * Resolves once it is started, ready or not. Replaces what has ended in its place; `conflict`
   * when something still runs there. Rejects with what is wrong when nothing was started.
   */
  start(order: StartOrder, signal: AbortSignal): Promise<void>
  /**
   * Resolves when nothing of it is left, and it is not listed any more. Nothing there: no error.
   */
  stop(unit: string, slot: number, why: string, signal: AbortSignal): Promise<void>
  /** All instances that were started under the lease's epoch now end when it does. */
  extend(lease: HeldLease): void
  /** Whether a unit's conditions hold here now. */
  checkConditions(about: AskedUnit): ConditionVerdict
  /** `changed` is called whenever `instances` may answer differently. */
  onChange(changed: () => void): void
}
