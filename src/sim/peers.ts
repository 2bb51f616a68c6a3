/**
 * Calls between simulated machines, with what a link between real ones does: an answer that does
 * not come leaves the caller waiting until its deadline; errors cross as they are.
 */

import { type Clock, deadline, remainingMs, withSignal } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { PeerLinks } from '../cluster/liveness.ts'
import type { Peer } from '../cluster/peer.ts'
import type { Gate } from './gate.ts'
import type { Network } from './network.ts'

export type SimPeer = Pick<
  Peer,
  'beat' | 'report' | 'reaches' | 'sightings' | 'hosted' | 'checkConditions' | 'state'
>

/** What a call to a simulated machine is made through. */
export type CalledPeer = Omit<SimPeer, 'state'>

/** A machine as others find it: nobody answers, its kernel refuses, or its agent is there. */
export type PeerDoor =
  | { readonly kind: 'silent' | 'refused' }
  | { readonly kind: 'open'; readonly gate: Gate; readonly clock: Clock; readonly peer: SimPeer }

const callTimeoutMs = 30_000

export interface PeerCallsDeps {
  readonly network: Network
  readonly self: string
  readonly gate: Gate
  readonly clock: Clock
  /** What listens on a machine now; `caller` is who calls. */
  readonly door: (machineId: string, caller: string) => PeerDoor
  readonly wallMs: () => number
}

export class PeerCalls implements PeerLinks {
  readonly #deps: PeerCallsDeps
  readonly #seen = new Map<string, number>()

  constructor(deps: PeerCallsDeps) {
    this.#deps = deps
  }

  async peer(machineId: string): Promise<CalledPeer> {
    return {
      beat: (beat, { signal }) => this.#call(machineId, signal, (peer, o) => peer.beat(beat, o)),
      report: ({ signal }) => this.#call(machineId, signal, (peer, o) => peer.report(o)),
      reaches: (id, { signal }) => this.#call(machineId, signal, (peer, o) => peer.reaches(id, o)),
      sightings: ({ signal }) => this.#call(machineId, signal, (peer, o) => peer.sightings(o)),
      checkConditions: (about, { signal }) =>
        this.#call(machineId, signal, (peer, o) => peer.checkConditions(about, o)),
      hosted: ({ signal }) => this.#call(machineId, signal, (peer, o) => peer.hosted(o)),
    }
  }

  seen(machineId: string): void {
    this.#seen.set(machineId, this.#deps.wallMs())
  }

  seenAtMs(machineId: string): number | undefined {
    return this.#seen.get(machineId)
  }

  #call<T>(
    to: string,
    signal: AbortSignal,
    work: (peer: SimPeer, options: { readonly signal: AbortSignal }) => Promise<T>,
  ): Promise<T> {
    const { network, self, gate, door } = this.#deps
    const answer = new Promise<T>((resolve, reject) => {
      const back = (settle: () => void) => network.send(to, self, () => gate.enter(settle))
      network.send(self, to, () => {
        const found = door(to, self)
        if (found.kind !== 'open') {
          const refusal = new HolonError('unavailable', `${to} refuses`)
          return found.kind === 'silent' ? undefined : back(() => reject(refusal))
        }
        found.gate.enter(() => {
          // The remaining time travels, the signal does not.
          const limit = deadline(found.clock, remainingMs(signal) ?? callTimeoutMs)
          void work(found.peer, limit)
            .finally(() => limit[Symbol.dispose]())
            .then(
              (value) => back(() => resolve(value)),
              (error: unknown) => back(() => reject(error)),
            )
        })
      })
    })
    return withSignal(answer, signal)
  }
}
