/**
 * Keeps this machine's certificate fresh: renewed after a seventh of its life, so that six days of
 * trouble cost nothing. Retried with growing pauses, for ever.
 *
 * Offline, the certificate runs out after its week. What runs goes on, and so does the agent; only
 * other machines refuse its links. As soon as one of them can be reached, the issuer asks on the
 * joining protocol, where an expired certificate still proves the key, and links work again. No
 * command is needed, after a day or after years.
 *
 * The whole fleet was off for a month: nobody has a valid certificate, so nobody can speak to
 * anybody. It comes back because machines that keep the state need nobody else: they start their
 * engine (whose own certificates do not depend on these), read the CA's key from it and issue for
 * themselves; then they answer the others. So an agent's issuer tries the state at hand first.
 */
import { type Clock, sleep } from '../../base/clock.ts'
import { asHolonError, type HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { Identity } from './identity.ts'

export interface Issuer {
  /**
   * A new certificate, PEM, for this key (SPKI, base64). `permission_denied` when the machine was
   * removed; `unavailable`, retryable, when nobody who can issue is reached; `unsupported` where
   * the CA is not at hand. Idempotent.
   */
  issue(
    machineId: string,
    publicKey: string,
    options: { readonly signal: AbortSignal },
  ): Promise<string>
}

/** Asks one after the other, until one issues; throws what the last one said. */
export function firstIssuer(issuers: readonly Issuer[]): Issuer {
  return {
    async issue(machineId, publicKey, options) {
      let last: unknown
      for (const issuer of issuers) {
        try {
          return await issuer.issue(machineId, publicKey, options)
        } catch (error) {
          if (options.signal.aborted) throw error
          last = error
        }
      }
      throw last
    },
  }
}

export interface RenewalDeps {
  readonly clock: Clock
  readonly random: Random
  readonly issuer: Issuer
}

const firstBackoffMs = 1000
const backoffMaxMs = 10 * 60_000
/** Wall clocks jump, so the time is looked at again this often; also the least between renewals. */
const lookMs = 3600_000

export class Renewal implements Disposable {
  readonly #deps: RenewalDeps
  readonly #identity: Identity
  readonly #onError: (error: HolonError) => void
  readonly #life = new AbortController()
  #nudge = Promise.withResolvers<void>()
  #failure: { readonly sinceMs: number; readonly error: HolonError } | undefined
  /** Resolves when the loop has ended. */
  readonly ended: Promise<void>

  /** Starts at once. `onError` is told of each failed attempt. */
  constructor(deps: RenewalDeps, identity: Identity, onError: (error: HolonError) => void) {
    this.#deps = deps
    this.#identity = identity
    this.#onError = onError
    this.ended = this.#run().catch(() => {})
  }

  /** Set while renewing fails. */
  get failure(): { readonly sinceMs: number; readonly error: HolonError } | undefined {
    return this.#failure
  }

  /** Tries at once instead of after the pause: a peer was reached, or has refused us as expired. */
  wake(): void {
    this.#nudge.resolve()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  async #run(): Promise<void> {
    let backoffMs = firstBackoffMs
    while (!this.#life.signal.aborted) {
      const waitMs = renewAtMs(this.#identity) - this.#deps.clock.wallMs()
      if (waitMs > 0) {
        await this.#pause(Math.min(waitMs, lookMs))
        continue
      }
      if (await this.#renew()) {
        backoffMs = firstBackoffMs
        await this.#pause(lookMs)
      } else {
        await this.#pause(backoffMs * (0.5 + this.#deps.random.next()))
        backoffMs = Math.min(2 * backoffMs, backoffMaxMs)
      }
    }
  }

  async #renew(): Promise<boolean> {
    const { clock, issuer } = this.#deps
    const { machineId, key } = this.#identity
    try {
      const { signal } = this.#life
      this.#identity.replace(await issuer.issue(machineId, key.publicKey, { signal }))
      this.#failure = undefined
      return true
    } catch (thrown) {
      if (this.#life.signal.aborted) return false
      const error = asHolonError(thrown, 'renew the certificate')
      this.#failure = { sinceMs: this.#failure?.sinceMs ?? clock.wallMs(), error }
      this.#onError(error)
      return false
    }
  }

  async #pause(ms: number): Promise<void> {
    if (this.#life.signal.aborted) return
    const waiting = new AbortController()
    const stop = () => waiting.abort()
    this.#life.signal.addEventListener('abort', stop, { once: true })
    const slept = sleep(this.#deps.clock, ms, waiting.signal).catch(() => {})
    await Promise.race([slept, this.#nudge.promise])
    this.#life.signal.removeEventListener('abort', stop)
    stop()
    this.#nudge = Promise.withResolvers()
  }
}

/** After a seventh of its life. */
export function renewAtMs(identity: Identity): number {
  const { notBeforeMs, notAfterMs } = identity.validity
  return notBeforeMs + (notAfterMs - notBeforeMs) / 7
}
