/**
 * All keys of a store in memory, with what is needed to compare, count and verify, but no values.
 * It is made from verified rows at open, so a row that a damaged page hides later is still missed.
 */
import { compareKeys } from './keys.ts'

export interface IndexRow {
  /** The row's id in the database. */
  readonly id: number
  readonly revision: number
  /** What the quota counts. */
  readonly bytes: number
  readonly hash: bigint
}

export class KeyIndex {
  readonly #rows = new Map<string, IndexRow>()
  /** All keys in order; undefined after a key came or went. */
  #sorted: string[] | undefined = []
  #bytes = 0

  get size(): number {
    return this.#rows.size
  }

  /** Sum of all rows' bytes. */
  get bytes(): number {
    return this.#bytes
  }

  get(key: string): IndexRow | undefined {
    return this.#rows.get(key)
  }

  /** Sets a key's row, or removes the key. */
  set(key: string, row: IndexRow | undefined): void {
    const before = this.#rows.get(key)
    this.#bytes += (row?.bytes ?? 0) - (before?.bytes ?? 0)
    if (row === undefined) this.#rows.delete(key)
    else this.#rows.set(key, row)
    if ((before === undefined) !== (row === undefined)) this.#sorted = undefined
  }

  /** The keys that begin with `prefix`, in order. */
  keys(prefix: string): readonly string[] {
    this.#sorted ??= [...this.#rows.keys()].sort(compareKeys)
    const sorted = this.#sorted
    let low = 0
    let high = sorted.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareKeys(sorted[middle] ?? '', prefix) < 0) low = middle + 1
      else high = middle
    }
    let end = low
    while (sorted[end]?.startsWith(prefix)) end += 1
    return sorted.slice(low, end)
  }
}
