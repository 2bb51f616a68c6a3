/**
 * The fleet's secrets for the instances that this machine was given: asked of a machine that has
 * the fleet's key, just before each start. Restarts by a keeper need none of it, nor does an agent
 * that takes over.
 *
 * A copy of each stays on this machine's disk, sealed for its own key, for as long as the instance
 * belongs here: after a boot the instance comes up again also while State is away. A secret that
 * was taken away, or is not for this machine any more, takes its copy along.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { SecretValue } from '../../kernel/secrets.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { ConditionVerdict } from '../../unit/conditions.ts'
import type { MachineKey } from '../identity/machine-key.ts'
import type { AskedUnit } from '../reconcile/condition-answers.ts'
import type { HostedInstance, InstanceHost, StartOrder } from '../reconcile/host.ts'
import type { SlotRecord } from '../reconcile/records.ts'
import { notItsSecret, type SecretWish, secretsInText } from './fleet-secrets.ts'
import { seal, unseal } from './seal.ts'
import { noSecret } from './secret-store.ts'

/** Sealed copies on this machine's disk. */
export interface SecretMemory {
  read(wish: SecretWish): string | undefined
  write(wish: SecretWish, sealed: string): void
  remove(wish: SecretWish): void
  /** Removes those of all other instances. */
  keepOnly(instances: readonly Pick<SlotRecord, 'unit' | 'slot'>[]): void
}

export interface InstanceSecretsDeps {
  readonly clock: Clock
  readonly key: MachineKey
  readonly memory: SecretMemory
  /** Those who may have the fleet's key, nearest first. */
  readonly holders: () => readonly SecretHolder[]
  readonly report: (message: string) => void
}

export type SecretHolder = (wish: SecretWish, options: CallOptions) => Promise<SecretValue>

const contextOf = ({ name, unit, slot }: SecretWish) => `copy of ${name} for ${unit}/${slot}`

export class InstanceSecrets {
  readonly #deps: InstanceSecretsDeps

  constructor(deps: InstanceSecretsDeps) {
    this.#deps = deps
  }

  /** By name; those that do not exist are left out. */
  async of(
    { unit, slot, text }: Pick<StartOrder, 'unit' | 'slot' | 'text'>,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Uint8Array>> {
    const secrets = new Map<string, Uint8Array>()
    for (const name of secretsInText(unit, text)) {
      const value = await this.#get({ name, unit, slot }, signal)
      if (value !== undefined) secrets.set(name, value)
    }
    return secrets
  }

  async #get(wish: SecretWish, signal: AbortSignal): Promise<Uint8Array | undefined> {
    const { clock, key, memory, report } = this.#deps
    const copy = memory.read(wish)
    try {
      const patienceMs = copy === undefined ? limits.callTimeoutMs : limits.secretAskMs
      using limit = deadline(clock, patienceMs, signal)
      const value = Buffer.from((await this.#ask(wish, limit.signal)).base64, 'base64')
      memory.write(wish, seal(key.publicKey, value, contextOf(wish)))
      return value
    } catch (thrown) {
      const error = asHolonError(thrown)
      if (isFinal(error)) memory.remove(wish)
      if (error.details['kind'] === noSecret) return undefined
      if (isFinal(error) || signal.aborted || copy === undefined) throw error
      report(`${wish.unit}/${wish.slot} has the secret ${wish.name} as it was: ${error.message}`)
      return unseal(key.keyPem, copy, contextOf(wish))
    }
  }

  async #ask(wish: SecretWish, signal: AbortSignal): Promise<SecretValue> {
    let last = new HolonError('unavailable', 'no machine that keeps the state is known')
    for (const holder of this.#deps.holders()) {
      using limit = deadline(this.#deps.clock, limits.fanOutMs, signal)
      try {
        return await holder(wish, limit)
      } catch (error) {
        last = asHolonError(error)
        if (signal.aborted || isFinal(last)) throw last
      }
    }
    throw last
  }
}

/** An answer about the secret, which any other holder would give, too; not one about the way. */
function isFinal({ details }: HolonError): boolean {
  return details['kind'] === noSecret || details['kind'] === notItsSecret
}

/** A host whose instances get their secrets with the order to start. */
export class SecretsHost implements InstanceHost {
  readonly #host: InstanceHost
  readonly #secrets: InstanceSecrets

  constructor(host: InstanceHost, secrets: InstanceSecrets) {
    this.#host = host
    this.#secrets = secrets
  }

  instances(): readonly HostedInstance[] {
    return this.#host.instances()
  }

  async start(order: StartOrder, signal: AbortSignal): Promise<void> {
    const secrets = await this.#secrets.of(order, signal)
    await this.#host.start({ ...order, secrets }, signal)
  }

  stop(...args: Parameters<InstanceHost['stop']>): Promise<void> {
    return this.#host.stop(...args)
  }

  extend(...args: Parameters<InstanceHost['extend']>): void {
    this.#host.extend(...args)
  }

  checkConditions(about: AskedUnit): ConditionVerdict {
    return this.#host.checkConditions(about)
  }

  onChange(changed: () => void): void {
    this.#host.onChange(changed)
  }
}
