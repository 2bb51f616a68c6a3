/**
 * The last changes of a store, in memory, shared by all its watches. A watch is a position in here,
 * so watches cost nothing while nothing changes, and one that falls behind cannot make anything
 * grow: the history moves on and the watch gets `reset`.
 *
 * It does not outlive the process, on purpose: no value is written to disk twice, and who comes
 * back after a restart is told to list again, which is the rule for falling behind anyway.
 */
import { assert } from '../base/assert.ts'
import { abortError } from '../base/clock.ts'
import type { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { WatchEvent } from './port.ts'
import { type StoredEntry, toEntry } from './stored.ts'

/** What one txn did to one key; without `stored` it deleted it. */
export interface Change {
  readonly key: string
  readonly revision: number
  readonly stored?: StoredEntry
}

export class History {
  #changes: Change[] = []
  /** Position of the first kept change; positions only grow. */
  #base = 0
  #bytes = 0
  /** All changes after this revision are here. */
  #completeFrom: number
  #revision: number
  #closed: HolonError | undefined
  readonly #waiting = new Set<() => void>()
  readonly #changesMax: number

  constructor(revision: number, changesMax: number = limits.stateHistoryChangesMax) {
    this.#revision = revision
    this.#completeFrom = revision
    this.#changesMax = changesMax
  }

  /** The changes of one txn, all of `revision`, which is above all before. */
  append(revision: number, changes: readonly Change[]): void {
    assert(revision > this.#revision, 'history: revisions grow')
    this.#revision = revision
    for (const change of changes) {
      this.#changes.push(change)
      this.#bytes += changeBytes(change)
    }
    this.#compact()
    this.#wake()
  }

  /** Ends every watch with this error. */
  close(error: HolonError): void {
    this.#closed = error
    this.#wake()
  }

  #compact(): void {
    let drop = 0
    const excess = () =>
      this.#changes.length - drop > this.#changesMax || this.#bytes > limits.stateHistoryBytesMax
    while (drop < this.#changes.length && excess()) {
      const change = this.#changes[drop]
      assert(change !== undefined, 'history: a kept change')
      this.#bytes -= changeBytes(change)
      this.#completeFrom = change.revision
      drop += 1
    }
    if (drop === 0) return
    this.#base += drop
    this.#changes.splice(0, drop)
  }

  #wake(): void {
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resolve of waiting) resolve()
  }

  /** See State.watch. */
  async *watch(prefix: string, from: number, signal: AbortSignal): AsyncGenerator<WatchEvent> {
    if (from > this.#revision || from < this.#completeFrom) return yield { kind: 'reset' }
    let position = this.#positionAfter(from)
    let synced = -1
    while (true) {
      if (signal.aborted) throw abortError(signal)
      if (this.#closed !== undefined) throw this.#closed
      if (position < this.#base) return yield { kind: 'reset' }
      const change = this.#changes[position - this.#base]
      if (change !== undefined) {
        position += 1
        if (change.key.startsWith(prefix)) yield toEvent(change)
      } else if (synced < this.#revision) {
        synced = this.#revision
        yield { kind: 'synced', revision: synced }
      } else {
        await this.#change(signal)
      }
    }
  }

  #positionAfter(revision: number): number {
    let low = 0
    let high = this.#changes.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if ((this.#changes[middle]?.revision ?? 0) <= revision) low = middle + 1
      else high = middle
    }
    return this.#base + low
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal.addEventListener('abort', done, { once: true })
    })
  }
}

function changeBytes(change: Change): number {
  return change.key.length + (change.stored?.json.length ?? 0)
}

function toEvent(change: Change): WatchEvent {
  const { key, revision, stored } = change
  if (stored === undefined) return { kind: 'delete', key, revision }
  return { kind: 'put', key, revision, entry: toEntry(stored) }
}
