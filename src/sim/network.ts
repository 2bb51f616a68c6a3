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
  /** By sender, whom it does not reach. */
  readonly #cut = new Map<string, Set<string>>()
  /** Who reaches whom has changed. */
  readonly #changed: () => void

  constructor(world: World, changed: () => void) {
    this.#world = world
    this.#changed = changed
  }

  /** From now on nothing that `from` sends reaches `to`. */
  cut(from: string, to: string): void {
    const cut = this.#cut.get(from) ?? new Set<string>()
    this.#cut.set(from, cut.add(to))
    this.#changed()
  }

  mend(from: string, to: string): void {
    this.#cut.get(from)?.delete(to)
    this.#changed()
  }

  heal(): void {
    this.#cut.clear()
    this.#changed()
  }

  passes(from: string, to: string): boolean {
    return this.#cut.size === 0 || this.#cut.get(from)?.has(to) !== true
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
