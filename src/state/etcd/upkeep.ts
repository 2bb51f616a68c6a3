/**
 * What keeps a store on etcd small, done by whoever writes, after a while of writing: etcd's
 * history is compacted, operations beyond the remembered ones are forgotten, and the size is looked
 * at, so that puts are refused before etcd's own quota is reached: under that one etcd refuses
 * deletes, too.
 *
 * All of it is done by several machines at once without harm, and none of it is missed: what fails
 * is tried again with a later txn.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { CheckedTxn } from '../check-txn.ts'
import { quotaError } from '../draft.ts'
import type { SignalOptions } from '../port.ts'
import { asInteger, asList, asObject, type JsonObject, toBase64 } from './client.ts'
import { isCompacted } from './faults.ts'
import { type Head, headText, keyValue, prefixRange } from './layout.ts'
import type { EtcdStore } from './store.ts'

/** Bytes written by us between two rounds; or a tenth of the operations remembered. */
const roundBytes = limits.stateHistoryBytesMax / 4
const roundMs = 30_000
const lookAgainMs = 1000
/** Deletes in one nested txn: etcd's default bound. */
const deletesMax = 128

export interface UpkeepConfig {
  readonly bytesMax: number
  readonly historyChangesMax: number
  readonly operationsMax: number
  /** Off where others use the same etcd and its history. */
  readonly compact: boolean
  /** See EtcdOptions. */
  readonly diskFreeBytes: () => number | undefined
}

const diskReserve = 'etcdDiskReserveBytes'

export class Upkeep {
  readonly #clock: Clock
  readonly #store: EtcdStore
  readonly #config: UpkeepConfig
  readonly #end = new AbortController()
  #txns = 0
  #bytes = 0
  /** etcd's revision when enough bytes for the history had been written since. */
  #bytesMark = 0
  #bytesSinceMark = 0
  #revision = 0
  #size = 0
  #sizeAtMs = Number.NEGATIVE_INFINITY
  #round: Promise<void> | undefined
  /** Why the last round failed; undefined when it did not. */
  lastError: HolonError | undefined

  constructor(clock: Clock, store: EtcdStore, config: UpkeepConfig) {
    this.#clock = clock
    this.#store = store
    this.#config = config
  }

  /**
   * Throws `exhausted` when the store is full and the txn puts anything, or the disk is and it
   * changes anything.
   */
  async admit(txn: CheckedTxn, { signal }: SignalOptions): Promise<void> {
    const { bytesMax } = this.#config
    if (txn.changes.length > 0) checkDisk(this.#config.diskFreeBytes())
    if (!txn.changes.some(({ put }) => put !== undefined)) return
    const first = this.#sizeAtMs === Number.NEGATIVE_INFINITY
    if (!first && this.#size <= bytesMax) return
    if (this.#clock.nowMs() - this.#sizeAtMs >= lookAgainMs) {
      if (!first) await this.#begin()
      await this.#look({ signal })
    }
    if (this.#size > bytesMax) throw quotaError(this.#size, bytesMax)
  }

  /** A txn of ours took effect at `revision`. */
  wrote(bytes: number, revision: number): void {
    this.#txns += 1
    this.#bytes += bytes
    this.#bytesSinceMark += bytes
    this.#revision = Math.max(this.#revision, revision)
    const { operationsMax } = this.#config
    if (this.#txns >= operationsMax / 10 || this.#bytes >= roundBytes) this.#begin()
  }

  /** Waits for a round under way, which is told to end. */
  async close(error: HolonError): Promise<void> {
    this.#end.abort(error)
    await this.#round
  }

  #begin(): Promise<void> {
    this.#round ??= this.#run().finally(() => {
      this.#round = undefined
    })
    return this.#round
  }

  async #run(): Promise<void> {
    using limit = deadline(this.#clock, roundMs, this.#end.signal)
    const { signal } = limit
    try {
      this.#txns = 0
      this.#bytes = 0
      if (this.#config.compact) await this.#compact({ signal })
      await this.#forget({ signal })
      await this.#look({ signal })
      this.lastError = undefined
    } catch (error) {
      if (!(error instanceof HolonError)) throw error
      // The next round does what this one did not.
      this.lastError = error
    }
  }

  /** The size in use, history and all; etcd says so only of the member that is asked. */
  async #look({ signal }: SignalOptions): Promise<void> {
    try {
      const status = await this.#store.client.post('maintenance/status', {}, { signal })
      this.#size = asInteger(status['dbSizeInUse'])
      this.#sawRevision(status)
      this.#sizeAtMs = this.#clock.nowMs()
    } catch (error) {
      // The txn that follows says what is wrong, with the right outcome.
      if (!(error instanceof HolonError) || error.code !== 'unavailable') throw error
    }
  }

  async #compact({ signal }: SignalOptions): Promise<void> {
    let to = this.#revision - this.#config.historyChangesMax
    // Full: what was deleted is to make room now, whoever watches from further back.
    const physical = this.#size > this.#config.bytesMax
    if (physical) to = this.#revision
    if (this.#bytesSinceMark >= limits.stateHistoryBytesMax) {
      to = Math.max(to, this.#bytesMark)
      this.#bytesMark = this.#revision
      this.#bytesSinceMark = 0
    }
    if (to <= 0) return
    const { client, layout } = this.#store
    try {
      await client.post('kv/compaction', { revision: String(to), physical }, { signal })
    } catch (error) {
      // Another machine was first.
      if (!isCompacted(error)) throw error
    }
    // etcd counts the room as free only when it writes the next time.
    if (physical) await client.post('kv/put', { key: toBase64(layout.upkeep) }, { signal })
  }

  /** Takes the oldest operations away, in one txn that moves the horizon past them. */
  async #forget({ signal }: SignalOptions): Promise<void> {
    const { operationsMax } = this.#config
    const range = prefixRange(this.#store.layout.operations)
    const { ranges } = await this.#store.read(() => [{ ...range, count_only: true }], { signal })
    const excess = asInteger(ranges[0]?.['count']) - operationsMax
    if (excess < operationsMax / 20) return
    const oldest = {
      ...range,
      keys_only: true,
      limit: String(Math.min(excess, 4 * deletesMax * 8)),
      sort_order: 'ASCEND',
      sort_target: 'MOD',
    }
    const { head, ranges: found } = await this.#store.read(() => [oldest], { signal })
    const keys = asList(found[0]?.['kvs']).map(keyValue)
    const last = keys.at(-1)
    if (last === undefined) return
    const horizon = Math.max(head.horizon + 1, last.revision)
    await this.#delete(
      head,
      headText({ ...head, horizon }),
      keys.map(({ key }) => key),
      { signal },
    )
  }

  async #delete(
    head: Head,
    text: string,
    keys: readonly string[],
    options: SignalOptions,
  ): Promise<void> {
    const deletes = keys.map((key) => ({ request_delete_range: { key: toBase64(key) } }))
    const parts = Array.from({ length: Math.ceil(deletes.length / deletesMax) }, (_, i) => ({
      request_txn: { success: deletes.slice(i * deletesMax, (i + 1) * deletesMax) },
    }))
    const key = toBase64(this.#store.layout.head)
    const body = {
      compare: [this.#store.unchanged(head)],
      success: [...parts, { request_put: { key, value: toBase64(text) } }],
      failure: [{ request_range: { key } }],
    }
    const answer = await this.#store.client.post('kv/txn', body, options)
    this.#sawRevision(answer)
  }

  #sawRevision(answer: JsonObject): void {
    this.#revision = Math.max(this.#revision, asInteger(asObject(answer['header'])['revision']))
  }
}

function checkDisk(freeBytes: number | undefined): void {
  const reserveBytes = limits[diskReserve]
  if (freeBytes === undefined || freeBytes >= reserveBytes) return
  throw new HolonError(
    'exhausted',
    `write the state: the disk of its etcd has ${mib(freeBytes)} free, of which etcd needs ` +
      `${mib(reserveBytes)} in reserve; make room, it goes on by itself`,
    { details: { limit: diskReserve, freeBytes }, retryable: true },
  )
}

function mib(bytes: number): string {
  return `${Math.floor(bytes / 1024 / 1024)} MiB`
}

/** Whether changes are refused until there is room again. */
export function isFull({ details }: HolonError): boolean {
  return details['limit'] === 'stateBytesMax' || details['limit'] === diskReserve
}
