/**
 * Records of this machine in State: one writer (this agent), JSON values, whole records. What State
 * answers is turned into errors here, so that the agent's other parts deal with records only.
 */
import { HolonError } from '../base/errors.ts'
import { newId } from '../base/ids.ts'
import type { Random } from '../base/random.ts'
import type { Put, State } from '../state/port.ts'

const operationIdLength = 20

export interface RecordsDeps {
  readonly random: Random
  readonly state: State
  /** Who writes: "agent n1". */
  readonly writer: string
}

export class Records {
  readonly #deps: RecordsDeps

  constructor(deps: RecordsDeps) {
    this.#deps = deps
  }

  /** Key and value of every record whose key begins with `prefix`. */
  async list(prefix: string, signal: AbortSignal): Promise<ReadonlyMap<string, unknown>> {
    const { entries } = await this.#deps.state.list(prefix, { signal })
    return new Map(entries.map((entry) => [entry.key, entry.value]))
  }

  /** Durable when it resolves. `unavailable` when the store takes no writes now. */
  async put(key: string, value: unknown, signal: AbortSignal): Promise<void> {
    await this.#commit([{ kind: 'put', key, value, schema: 1 }], signal)
  }

  /** All of them at once. */
  async delete(keys: readonly string[], signal: AbortSignal): Promise<void> {
    await this.#commit(
      keys.map((key) => ({ kind: 'delete', key })),
      signal,
    )
  }

  async #commit(then: readonly (Put | { kind: 'delete'; key: string })[], signal: AbortSignal) {
    const operationId = newId(this.#deps.random, operationIdLength)
    const txn = { if: [], then, operationId, writer: this.#deps.writer }
    const result = await this.#deps.state.txn(txn, { signal })
    if (result.kind === 'done') return
    const key = then[0]?.key ?? ''
    const why = result.kind === 'conflict' ? 'it was changed meanwhile' : result.why
    throw new HolonError('unavailable', `the state did not take ${JSON.stringify(key)}: ${why}`, {
      outcome: result.kind === 'unknown' ? 'unknown' : 'none',
    })
  }
}
