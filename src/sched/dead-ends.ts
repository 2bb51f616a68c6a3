/**
 * Where a unit was found to have no place. Placing more only makes it tighter, so this stays true
 * until something is loosened: without it, each instance that fits nowhere would be looked for
 * everywhere, again and again.
 */
import type { PoolNode } from './pool.ts'

export class DeadEnds {
  /** Parts of the unit's pool in which no machine fits. */
  readonly all = new Set<PoolNode>()
  /** Parts in which no machine fits that has none of the unit yet. */
  readonly unused = new Set<PoolNode>()
  /** Why it has no place at all, once that was asked. */
  nowhere: string | undefined
  /** Nor has it one if all go that are of lower priority. */
  isHopeless = false
  #at = -1

  /** Forgets what was found before `at`. */
  asOf(at: number): this {
    if (at === this.#at) return this
    this.#at = at
    this.all.clear()
    this.unused.clear()
    this.nowhere = undefined
    this.isHopeless = false
    return this
  }
}
