/**
 * The secrets of this machine's own units, in its own store: sealed for a key in
 * `<stateDir>/secrets/key.pem`, which is made with the first of them. They have nothing to do with
 * a fleet that it may belong to, as its own units have not.
 */
import { HolonError } from '../base/errors.ts'
import { loadOrMakeMachineKey } from '../cluster/identity/machine-key.ts'
import { noSecret, SecretStore, type SecretStoreDeps } from '../cluster/secrets/secret-store.ts'
import type { SecretRealm } from '../cluster/secrets/secrets-target.ts'
import type { SecretValue } from '../kernel/secrets.ts'
import type { CallOptions } from '../kernel/types.ts'

export interface MachineSecretsDeps extends Omit<SecretStoreDeps, 'prefix' | 'publicKey'> {
  /** Where the key is. */
  readonly dir: string
  /** The machine's own units that name a secret. */
  readonly usersOf: (name: string) => readonly string[]
}

export class MachineSecrets implements SecretRealm {
  readonly store: SecretStore
  readonly #deps: MachineSecretsDeps

  constructor(deps: MachineSecretsDeps) {
    this.#deps = deps
    const publicKey = async () => loadOrMakeMachineKey(deps.dir).publicKey
    this.store = new SecretStore({ ...deps, prefix: 'machine-secret', publicKey })
  }

  async open(name: string, { signal }: CallOptions): Promise<SecretValue> {
    return this.store.open(name, loadOrMakeMachineKey(this.#deps.dir).keyPem, { signal })
  }

  async usersOf(name: string): Promise<readonly string[]> {
    return this.#deps.usersOf(name)
  }

  /** By name; those that do not exist are left out. */
  async openAll(
    names: readonly string[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<string, Uint8Array>> {
    const secrets = new Map<string, Uint8Array>()
    for (const name of names) {
      try {
        const { base64 } = await this.open(name, { signal })
        secrets.set(name, Buffer.from(base64, 'base64'))
      } catch (error) {
        if (!(error instanceof HolonError) || error.details['kind'] !== noSecret) throw error
      }
    }
    return secrets
  }
}
