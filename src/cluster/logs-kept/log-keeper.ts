/**
 * The machine that has the copies of this one's logs: one that is up, in another zone if there is
 * one, chosen by a hash of both names, so that a fleet's logs are spread evenly. It stays the one
 * until it fails or leaves; nothing moves back.
 */
import { createHash } from 'node:crypto'
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { MachineRecord } from '../members.ts'
import type { Peer, Sighting } from '../peer.ts'
import type { KeptAt, LogKeeping, LogPiece } from './kept-log.ts'

/** What it needs of a member of the fleet. */
export interface LogKeeperMember {
  readonly self: MachineRecord
  /** This machine included. */
  readonly members: { readonly all: readonly MachineRecord[] }
  readonly liveness: { sightings(signal: AbortSignal): Promise<readonly Sighting[]> }
  readonly links: {
    peer(machineId: string, signal: AbortSignal): Promise<Pick<Peer, 'keepLog'>>
  }
}

export class LogKeeper implements LogKeeping {
  readonly #clock: Clock
  readonly #member: LogKeeperMember
  #keeper: string | undefined

  constructor(clock: Clock, member: LogKeeperMember) {
    this.#clock = clock
    this.#member = member
  }

  async keep(pieces: readonly LogPiece[], { signal }: CallOptions): Promise<KeptAt> {
    const tried = new Set<string>()
    let failure = new HolonError('not_found', 'there is no other machine to keep logs')
    for (;;) {
      const keeper = this.#present() ?? (await this.#choose(tried, signal))
      if (keeper === undefined) throw failure
      try {
        return await this.#ask(keeper, pieces, signal)
      } catch (error) {
        if (signal.aborted) throw error
        failure = asHolonError(error)
        tried.add(keeper)
        this.#keeper = undefined
      }
    }
  }

  async #ask(keeper: string, pieces: readonly LogPiece[], signal: AbortSignal): Promise<KeptAt> {
    using limit = deadline(this.#clock, limits.logKeepMs, signal)
    const peer = await this.#member.links.peer(keeper, limit.signal)
    const ends = await peer.keepLog(pieces, limit)
    this.#keeper = keeper
    return { keeper, ends }
  }

  #present(): string | undefined {
    const isThere = this.#member.members.all.some(({ machineId }) => machineId === this.#keeper)
    return isThere ? this.#keeper : undefined
  }

  async #choose(tried: ReadonlySet<string>, signal: AbortSignal): Promise<string | undefined> {
    const { self, members, liveness } = this.#member
    const others = members.all.filter(({ machineId }) => machineId !== self.machineId)
    if (others.every(({ machineId }) => tried.has(machineId))) return undefined
    const seen = await liveness.sightings(signal)
    const up = new Set(seen.filter(({ status }) => status === 'up').map((each) => each.machineId))
    const candidates = others.filter(({ machineId }) => up.has(machineId) && !tried.has(machineId))
    return inOrder(self, candidates)[0]?.machineId
  }
}

/** The best first: other zones before the own one, then by hash. */
export function inOrder(
  { machineId, zone }: MachineRecord,
  candidates: readonly MachineRecord[],
): readonly MachineRecord[] {
  const hash = (id: string) => createHash('sha256').update(`${machineId} ${id}`).digest('hex')
  const keyed = candidates.map((each) => ({
    each,
    key: `${each.zone === zone ? 1 : 0} ${hash(each.machineId)}`,
  }))
  return keyed.sort((a, b) => (a.key < b.key ? -1 : 1)).map(({ each }) => each)
}
