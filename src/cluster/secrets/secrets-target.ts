/** The kernel's Secrets for one caller, of the fleet or of a machine. Who may is decided before. */
import { HolonError } from '../../base/errors.ts'
import type { SecretInfo, Secrets, SecretValue } from '../../kernel/secrets.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { SecretStore } from './secret-store.ts'

/** Where secrets belong: all units of a fleet, or those of one machine. */
export interface SecretRealm {
  readonly store: SecretStore
  open(name: string, options: CallOptions): Promise<SecretValue>
  /** The units that name it. */
  usersOf(name: string, options: CallOptions): Promise<readonly string[]>
}

export class SecretsTarget implements Secrets {
  readonly #realm: SecretRealm
  readonly #by: string

  constructor(realm: SecretRealm, by: string) {
    this.#realm = realm
    this.#by = by
  }

  list(options: CallOptions): Promise<readonly SecretInfo[]> {
    return this.#realm.store.list(options)
  }

  set(name: string, base64: string, options: CallOptions): Promise<SecretInfo> {
    return this.#realm.store.set(name, Buffer.from(base64, 'base64'), this.#by, options)
  }

  show(name: string, options: CallOptions): Promise<SecretValue> {
    return this.#realm.open(name, options)
  }

  async remove(
    name: string,
    { force }: { readonly force: boolean },
    options: CallOptions,
  ): Promise<void> {
    const users = force ? [] : await this.#realm.usersOf(name, options)
    if (users.length === 0) return this.#realm.store.remove(name, options)
    throw new HolonError(
      'conflict',
      `remove the secret ${name}: ${users.join(', ')} would not start any more; ` +
        '--force removes it all the same',
    )
  }
}
