/**
 * Who decides. One of the machines that keep the state leads; which one is a record in State. It is
 * an optimisation, nothing more: all that a leader writes is a txn on records it read, so two that
 * both believe to lead disturb each other and nobody else. Therefore the record is never renewed:
 * it changes when another machine takes over.
 *
 * Another one takes over when the leader is silent, when it says itself that it cannot reach the
 * state, or when it hears far fewer machines than the one that takes over.
 */
import { HolonError } from '../../base/errors.ts'
import { isJsonObject } from '../fields.ts'

export const leaderKey = 'control/leader'

export interface LeaderRecord {
  readonly machineId: string
  /** Grows with each change of leader. */
  readonly term: number
}

export function parseLeader(value: unknown): LeaderRecord {
  if (isJsonObject(value)) {
    const { machineId, term } = value
    if (typeof machineId === 'string' && typeof term === 'number') return { machineId, term }
  }
  throw new HolonError('internal', `no record of a leader: ${JSON.stringify(value)}`)
}

/** What a machine that keeps the state says of its own fitness to lead. */
export interface Fitness {
  /** How many machines it hears. */
  readonly hears: number
  /** Milliseconds since it last heard the state. */
  readonly stateSilentMs: number
}

export interface LeadershipView {
  readonly self: string
  readonly own: Fitness
  readonly leader: LeaderRecord | undefined
  /** How this machine sees the leader. */
  readonly leaderIsUp: boolean
  /** What the leader last said of itself, if it is up. */
  readonly leaderFitness: Fitness | undefined
  /** Machines that keep the state and are up as this machine sees it, itself included. */
  readonly candidates: readonly string[]
}

const stateSilentMaxMs = 5_000

/** Why this machine should take over now; undefined when it should not. Pure. */
export function reasonToLead(view: LeadershipView): string | undefined {
  const { self, own, leader, leaderIsUp, leaderFitness, candidates } = view
  if (leader?.machineId === self || own.stateSilentMs > stateSilentMaxMs) return undefined
  // The others wait for the first of them, and take their turn when it is silent, too.
  if ([...candidates].filter((id) => id !== leader?.machineId).sort()[0] !== self) return undefined
  if (leader === undefined) return 'nobody leads'
  if (!leaderIsUp) return 'the leader is silent'
  if (leaderFitness === undefined) return undefined
  if (leaderFitness.stateSilentMs > stateSilentMaxMs) return 'the leader does not reach the state'
  if (2 * leaderFitness.hears < own.hears) return 'the leader hears too few machines'
  return undefined
}
