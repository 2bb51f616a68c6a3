/** The simulated network between machines: one-way cuts, loss, delay, reordering, duplicates. */
import type { World } from './world.ts'

export interface NetworkWeather {
  /** Share of messages that are lost. */
  loss: number
  duplicates: number
  /** Share of messages that come long after later ones. */
  late: number
  delayMsMin: number
  delayMsMax: number
}

const lateMsMax = 3_000
export const goodNetwork: NetworkWeather = {
  loss: 0,
  duplicates: 0,
  late: 0,
  delayMsMin: 0.1,
  delayMsMax: 2,
}

export class Network {
  weather: NetworkWeather = { ...goodNetwork }
  readonly #world: World
  /** By sender and receiver, how many cuts there are between them. */
  readonly #cuts = new Map<string, Map<string, number>>()
  /** Who reaches whom has changed. */
  readonly #changed: () => void

  constructor(world: World, changed: () => void) {
    this.#world = world
    this.#changed = changed
  }

  /** From now on nothing that one sends reaches the other, until the function is called. */
  cut(pairs: readonly (readonly [from: string, to: string])[]): () => void {
    for (const [from, to] of pairs) this.#count(from, to, 1)
    this.#changed()
    let isCut = true
    return () => {
      if (!isCut) return
      isCut = false
      for (const [from, to] of pairs) this.#count(from, to, -1)
      this.#changed()
    }
  }

  #count(from: string, to: string, by: number): void {
    const cuts = this.#cuts.get(from) ?? new Map<string, number>()
    this.#cuts.set(from, cuts)
    cuts.set(to, Math.max(0, (cuts.get(to) ?? 0) + by))
  }

  /** Nothing is cut any more. */
  heal(): void {
    this.#cuts.clear()
    this.#changed()
  }

  passes(from: string, to: string): boolean {
    return (this.#cuts.get(from)?.get(to) ?? 0) === 0
  }

  connects(a: string, b: string): boolean {
    return this.passes(a, b) && this.passes(b, a)
  }

  /** Delivers once, twice or never; what is in flight when a cut comes still arrives. */
  send(from: string, to: string, deliver: () => void): void {
    const { loss, duplicates, late, delayMsMin, delayMsMax } = this.weather
    const world = this.#world
    if (!this.passes(from, to) || (loss > 0 && world.chance(loss))) return
    const isLate = late > 0 && world.chance(late)
    world.after(world.between(delayMsMin, isLate ? lateMsMax : delayMsMax), deliver)
    if (duplicates > 0 && world.chance(duplicates)) {
      world.after(world.between(delayMsMin, 4 * delayMsMax), deliver)
    }
  }
}
