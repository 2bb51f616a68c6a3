/**
 * The simulated world: its own time, a queue of what happens next, one source of chance, and a
 * trace of what happened. Nothing in it knows the real time or any real randomness, so that a seed
 * decides everything: the same seed gives the same trace.
 */

import { assert } from '../base/assert.ts'
import type { Timer } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { seededRandom } from '../base/random.ts'
import { runSteps } from '../io/turn.ts'

class Happening implements Timer {
  readonly atMs: number
  /** Of two at the same time the one that was planned first. */
  readonly order: number
  fire: (() => void) | undefined

  constructor(atMs: number, order: number, fire: () => void) {
    this.atMs = atMs
    this.order = order
    this.fire = fire
  }

  [Symbol.dispose](): void {
    this.fire = undefined
  }
}

/** Something that happened. */
export interface Note {
  readonly atMs: number
  readonly what: string
}

const notesKept = 4_000

export class World {
  readonly random: Random
  readonly #heap: Happening[] = []
  readonly #notes: Note[] = []
  #order = 0
  #nowMs = 0
  #hash = 0
  #isRunning = false
  steps = 0

  constructor(seed: number) {
    this.random = seededRandom(seed)
  }

  /** Milliseconds since the world began. */
  get nowMs(): number {
    return this.#nowMs
  }

  /** Of everything that was traced: equal for equal runs. */
  get traceHash(): string {
    return (this.#hash >>> 0).toString(16).padStart(8, '0')
  }

  /** The last of what was noted, oldest first. */
  get notes(): readonly Note[] {
    return this.#notes
  }

  /** The same as lines. */
  get trace(): readonly string[] {
    return this.#notes.map(lineOf)
  }

  after(delayMs: number, fire: () => void): Timer {
    const atMs = this.#nowMs + Math.max(0, delayMs)
    const happening = new Happening(atMs, this.#order++, fire)
    this.#push(happening)
    return happening
  }

  note(what: string): void {
    const note = { atMs: this.#nowMs, what }
    const text = lineOf(note)
    for (let i = 0; i < text.length; i++) {
      this.#hash = Math.imul(this.#hash ^ text.charCodeAt(i), 0x01000193)
    }
    this.#notes.push(note)
    if (this.#notes.length > 2 * notesKept) this.#notes.splice(0, notesKept)
  }

  between(min: number, max: number): number {
    return min + this.random.next() * (max - min)
  }

  chance(probability: number): boolean {
    return this.random.next() < probability
  }

  pick<T>(items: readonly T[]): T | undefined {
    return items[Math.floor(this.random.next() * items.length)]
  }

  /** Lives until that time; `check` is called after every step, when all has settled. */
  async run(untilMs: number, check: () => void): Promise<void> {
    assert(!this.#isRunning, 'the world runs once at a time')
    this.#isRunning = true
    let isFirst = true
    await runSteps(() => {
      if (!isFirst) check()
      isFirst = false
      const next = this.#next(untilMs)
      if (next === undefined) return false
      this.#nowMs = next.atMs
      this.steps += 1
      next.fire?.()
      return true
    })
    this.#nowMs = untilMs
    this.#isRunning = false
  }

  #next(untilMs: number): Happening | undefined {
    while (true) {
      const [next] = this.#heap
      if (next === undefined || next.atMs > untilMs) return undefined
      this.#pop()
      if (next.fire !== undefined) return next
    }
  }

  // A binary heap by time, then order.
  #push(item: Happening): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(item)
    while (at > 0) {
      const above = (at - 1) >> 1
      const parent = heap[above]
      if (parent === undefined || !isBefore(item, parent)) break
      heap[at] = parent
      at = above
    }
    heap[at] = item
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let at = 0
    while (true) {
      let child = 2 * at + 1
      const left = heap[child]
      if (left === undefined) break
      const right = heap[child + 1]
      let below = left
      if (right !== undefined && isBefore(right, left)) {
        child += 1
        below = right
      }
      if (!isBefore(below, last)) break
      heap[at] = below
      at = child
    }
    heap[at] = last
  }
}

function isBefore(a: Happening, b: Happening): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order)
}

function lineOf({ atMs, what }: Note): string {
  return `${atMs.toFixed(1)} ${what}`
}
