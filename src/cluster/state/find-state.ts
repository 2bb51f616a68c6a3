/** Which of the machines that keep the state one that does not is to ask. */
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import type { Remote } from '../../rpc/remote.ts'
import type { Peer } from '../peer.ts'
import type { FoundState } from './remote-state.ts'
import type { StateService } from './state-service.ts'

export interface FindStateDeps {
  readonly clock: Clock
  readonly random: Random
  readonly links: {
    peer(machineId: string, signal: AbortSignal): Promise<Pick<Peer, 'state'>>
  }
  /** Ids of machines that serve it. */
  readonly candidates: readonly string[]
  /** Whether it did not answer when it was last told that this machine is alive. */
  readonly isSilent: (machineId: string) => boolean
}

/**
 * Any of them, so that not all ask the same one; silent ones, and the one that has just `failed`,
 * when no other one answers. `unavailable` when none does.
 */
export async function findState(
  deps: FindStateDeps,
  signal: AbortSignal,
  failed?: string,
): Promise<FoundState> {
  const { random, candidates, isSilent } = deps
  const isDoubtful = (id: string) => id === failed || isSilent(id)
  const inOrder = rotated(candidates, random).toSorted(
    (a, b) => Number(isDoubtful(a)) - Number(isDoubtful(b)),
  )
  let last: unknown = new HolonError('unavailable', 'no machine that keeps the state is known')
  for (const at of inOrder) {
    try {
      return await stateOf(deps, at, signal)
    } catch (error) {
      if (signal.aborted) throw error
      last = error
    }
  }
  const why = asHolonError(last).message
  throw new HolonError('unavailable', `the state cannot be reached: ${why}`, { cause: last })
}

async function stateOf(
  { clock, links }: FindStateDeps,
  at: string,
  signal: AbortSignal,
): Promise<FoundState> {
  using limit = deadline(clock, limits.fanOutMs / 2, signal)
  const peer = await links.peer(at, limit.signal)
  return { at, service: (await peer.state(limit)) as Remote<StateService> }
}

/** Not everybody begins with the first one. */
function rotated<T>(items: readonly T[], random: Random): readonly T[] {
  const at = Math.floor(random.next() * items.length)
  return [...items.slice(at), ...items.slice(0, at)]
}
