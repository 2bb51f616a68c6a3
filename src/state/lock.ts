/**
 * One agent per store. The lock is an empty SQLite file held in an exclusive transaction: the
 * kernel frees it with the process, however that ends, and it does not depend on the database being
 * whole, so a restore can take it too.
 */
import { DatabaseSync } from 'node:sqlite'
import { HolonError } from '../base/errors.ts'
import { sqliteFault, type WayBack } from './damage.ts'

export class StateLock implements Disposable {
  readonly #database: DatabaseSync

  /** Throws `unavailable` when another process has it. */
  constructor(path: string, wayBack: WayBack) {
    this.#database = new DatabaseSync(`${path}-lock`, { timeout: 0 })
    try {
      this.#database.exec('BEGIN EXCLUSIVE')
    } catch (error) {
      this.#database.close()
      if (sqliteFault(error) !== 'busy') {
        throw new HolonError(
          'internal',
          `lock the state: "${path}-lock" cannot be locked: ${error}`,
          {
            cause: error,
          },
        )
      }
      throw new HolonError(
        'unavailable',
        `open the state: "${path}" is in use by another agent; stop that one first with ` +
          `"${wayBack.stop}"`,
        { details: { kind: 'state_in_use', path }, cause: error },
      )
    }
  }

  [Symbol.dispose](): void {
    if (this.#database.isOpen) this.#database.close()
  }
}
