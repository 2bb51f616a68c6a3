/** A clock that stands still until told to go on: for tests that must repeat exactly. */
import type { Clock, Timer } from '../../src/base/clock.ts'

export class ManualClock implements Clock {
  #nowMs = 0
  #number = 0
  #timers: { readonly atMs: number; readonly number: number; readonly fire: () => void }[] = []

  nowMs(): number {
    return this.#nowMs
  }

  wallMs(): number {
    return this.#nowMs
  }

  timer(delayMs: number, fire: () => void): Timer {
    const timer = { atMs: this.#nowMs + Math.max(0, delayMs), number: this.#number++, fire }
    this.#timers.push(timer)
    return {
      [Symbol.dispose]: () => {
        this.#timers = this.#timers.filter((other) => other !== timer)
      },
    }
  }

  /** Lets so much time pass, firing what falls due, in order. */
  advance(ms: number): void {
    const endMs = this.#nowMs + ms
    for (;;) {
      const next = this.#timers.sort((a, b) => a.atMs - b.atMs || a.number - b.number)[0]
      if (next === undefined || next.atMs > endMs) break
      this.#timers.shift()
      this.#nowMs = next.atMs
      next.fire()
    }
    this.#nowMs = endMs
  }

  /** Fires timers in order until `work` settles; throws when nothing is left to wait for. */
  async drive<T>(work: Promise<T>): Promise<T> {
    let settled = false
    const done = work.finally(() => {
      settled = true
    })
    done.catch(() => undefined)
    while (!settled) {
      await new Promise((resolve) => setImmediate(resolve))
      if (settled) break
      const next = this.#timers.sort((a, b) => a.atMs - b.atMs || a.number - b.number).shift()
      if (next === undefined) throw new Error('the work waits for something that no timer brings')
      this.#nowMs = next.atMs
      next.fire()
    }
    return done
  }
}
