/**
 * Whether code of one incarnation of an agent may run: everything that enters it from outside, a
 * timer, an answer, a call, passes here. Of a dead one nothing runs ever again; for a frozen one it
 * waits, and happens at once when it thaws.
 */
import type { Clock, Timer } from '../base/clock.ts'
import type { World } from './world.ts'

export class Gate {
  /** What holds it at the moment; each ends by itself. */
  #holds = 0
  #isDead = false
  readonly #waiting: (() => void)[] = []
  readonly #onKill: (() => void)[] = []
  /** How often it was frozen. */
  freezes = 0
  readonly #world: World

  constructor(world: World) {
    this.#world = world
  }

  get isOpen(): boolean {
    return !this.#isDead && this.#holds === 0
  }

  get isDead(): boolean {
    return this.#isDead
  }

  enter(work: () => void): void {
    if (this.isOpen) work()
    else if (!this.#isDead) this.#waiting.push(work)
  }

  freeze(): void {
    this.#holds += 1
    this.freezes += 1
  }

  /** Ends one `freeze`. */
  thaw(): void {
    this.#holds = Math.max(0, this.#holds - 1)
    if (!this.isOpen) return
    // One step for each, in the order in which they came.
    for (const work of this.#waiting.splice(0)) this.#world.after(0, () => this.enter(work))
  }

  kill(): void {
    this.#isDead = true
    this.#waiting.length = 0
    for (const each of this.#onKill.splice(0)) each()
  }

  onKill(happens: () => void): void {
    this.#onKill.push(happens)
  }
}

/** A machine's oscillator and its idea of the date: both may be wrong. */
export class Oscillator {
  /** Its seconds for each of the world's: 0.95 to 1.05. */
  readonly rate: number
  readonly #world: World
  #bootedMs: number
  #wallOffsetMs: number

  constructor(world: World, rate: number, wallOffsetMs: number) {
    this.#world = world
    this.rate = rate
    this.#bootedMs = world.nowMs
    this.#wallOffsetMs = wallOffsetMs
  }

  boot(): void {
    this.#bootedMs = this.#world.nowMs
  }

  jumpWall(byMs: number): void {
    this.#wallOffsetMs += byMs
  }

  nowMs(): number {
    // A machine has been up for a moment before anything of ours begins.
    return 1_000 + (this.#world.nowMs - this.#bootedMs) * this.rate
  }

  wallMs(): number {
    return 1_700_000_000_000 + this.#world.nowMs * this.rate + this.#wallOffsetMs
  }
}

export function gatedClock(world: World, oscillator: Oscillator, gate: Gate): Clock {
  return {
    nowMs: () => oscillator.nowMs(),
    wallMs: () => oscillator.wallMs(),
    timer(delayMs: number, fire: () => void): Timer {
      let isOver = false
      const inner = world.after(delayMs / oscillator.rate, () =>
        gate.enter(() => {
          if (!isOver) fire()
        }),
      )
      return {
        [Symbol.dispose]() {
          isOver = true
          inner[Symbol.dispose]()
        },
      }
    },
  }
}
