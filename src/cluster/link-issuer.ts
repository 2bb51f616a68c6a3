/** Has a certificate renewed by a machine that has the CA at hand, over the link to it. */
import { type Clock, deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Issuer } from './identity/renewal.ts'
import type { Links } from './links.ts'

export interface LinkIssuerDeps {
  readonly clock: Clock
  readonly links: Links
  /** Ids of the machines that keep the state. */
  readonly keepers: () => readonly string[]
  readonly self: string
}

/** One after the other is asked; the last one's answer is the error. */
export function linkIssuer({ clock, links, keepers, self }: LinkIssuerDeps): Issuer {
  return {
    issue: async (_machineId, publicKey, { signal }) => {
      let last: unknown = new HolonError('unavailable', 'no machine that keeps the state is known')
      for (const keeper of keepers()) {
        if (keeper === self) continue
        using limit = deadline(clock, limits.dialTimeoutMs, signal)
        try {
          return await (await links.peer(keeper, limit.signal)).renew(publicKey, limit)
        } catch (error) {
          if (signal.aborted) throw error
          last = error
        }
      }
      throw last
    },
  }
}
