/**
 * The fleet's secrets, as one of its machines has them: set and listed anywhere, opened where there
 * is a copy of the fleet's key.
 *
 * Least authority: a machine is given a secret while an instance belongs there of a unit whose text
 * names it, and for that instance alone. Who opens it looks that up itself, in State.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { SecretValue } from '../../kernel/secrets.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { State } from '../../state/port.ts'
import { secretsOf } from '../../unit/credentials.ts'
import { loadUnit } from '../../unit/unit.ts'
import { placeOf, workName } from '../reconcile/plan-work.ts'
import { machinesOf, parseSlot, slotKey } from '../reconcile/records.ts'
import type { SpecTexts } from '../reconcile/spec-texts.ts'
import type { UnitVerbs } from '../reconcile/verbs.ts'
import { FleetKey, type FleetKeyDeps } from './fleet-key.ts'
import { absent, SecretStore } from './secret-store.ts'
import type { SecretRealm } from './secrets-target.ts'

/** For which instance a secret is wanted. */
export interface SecretWish {
  readonly name: string
  readonly unit: string
  readonly slot: number
}

/** `details.kind` of a refusal to open a secret for an instance. */
export const notItsSecret = 'not-its-secret'

export interface FleetSecretsDeps extends FleetKeyDeps {
  readonly clock: Clock
  readonly state: State
  readonly texts: SpecTexts
  readonly verbs: UnitVerbs
}

export class FleetSecrets implements SecretRealm {
  readonly store: SecretStore
  readonly key: FleetKey
  readonly #deps: FleetSecretsDeps

  constructor(deps: FleetSecretsDeps) {
    this.#deps = deps
    this.key = new FleetKey(deps)
    const publicKey = (signal: AbortSignal) => this.key.publicKey(signal)
    this.store = new SecretStore({ ...deps, prefix: 'secret', publicKey })
  }

  /** For who runs the agents. */
  async open(name: string, { signal }: CallOptions): Promise<SecretValue> {
    const keyPem = await this.key.keyPem(signal)
    if (keyPem !== undefined) return this.store.open(name, keyPem, { signal })
    const holders = await this.#holders(name, signal)
    throw new HolonError(
      'unsupported',
      `show the secret ${name}: this machine does not have the fleet's key; ` +
        `${holders.join(', ')} can, as \`holon run -m ${holders[0]} holon secret show ${name}\``,
    )
  }

  /**
   * For an instance on the machine `asker`. `permission_denied` when it has no such instance;
   * `unsupported` where there is no copy of the key; `not_found`. Idempotent.
   */
  async openFor(
    asker: string,
    { name, unit, slot }: SecretWish,
    { signal }: CallOptions,
  ): Promise<SecretValue> {
    const keyPem = await this.key.keyPem(signal)
    if (keyPem === undefined) {
      const holders = await this.#holders(name, signal)
      throw new HolonError(
        'unsupported',
        `this machine does not have the fleet's key, but ${holders.join(', ')}`,
      )
    }
    const entry = await this.#deps.state.get(slotKey(unit, slot), { signal })
    const record = entry === undefined ? undefined : parseSlot(entry.value)
    const isThere = record !== undefined && machinesOf(record).includes(asker)
    const text = isThere
      ? await this.#deps.texts.get(unit, placeOf(record, asker).spec, signal)
      : ''
    if (secretsInText(unit, text).includes(name)) {
      return this.store.open(name, keyPem, { signal })
    }
    throw new HolonError(
      'permission_denied',
      `open the secret ${name} for ${workName(unit, slot)}: ` +
        (isThere ? 'its text does not name it' : 'it does not belong to the machine that asks'),
      { details: { kind: notItsSecret } },
    )
  }

  /** Without the first secret there is no key yet, and nobody has it. */
  async #holders(name: string, signal: AbortSignal): Promise<readonly string[]> {
    const holders = await this.key.holders(signal)
    if (holders.length === 0) throw absent(name)
    return holders
  }

  async usersOf(name: string, options: CallOptions): Promise<readonly string[]> {
    const { texts, verbs } = this.#deps
    const specs = await verbs.units(options)
    const users = await Promise.all(
      specs.map(async ({ unit, spec }) => {
        const text = await texts.get(unit, spec, options.signal)
        return secretsInText(unit, text).includes(name) ? [unit] : []
      }),
    )
    return users.flat()
  }
}

/** What a text names; one that cannot be read names nothing. */
export function secretsInText(name: string, text: string): readonly string[] {
  // Most texts name none, and need not be read as a whole.
  if (!text.includes('LoadCredential')) return []
  const loaded = loadUnit({ name, text })
  return loaded.kind === 'loaded' ? secretsOf(loaded.unit) : []
}
