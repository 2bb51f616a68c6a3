/** The simulated network between machines: one-way cuts, loss, delay, duplicates. */
import type { World } from './world.ts'

export interface NetworkWeather {
  /** Share of messages that are lost. */
  loss: number
  duplicates: number
  delayMsMin: number
  delayMsMax: number
}

export class Network {
  readonly weather: NetworkWeather = { loss: 0, duplicates: 0, delayMsMin: 0.1, delayMsMax: 2 }
  readonly #world: World
  readonly #cut = new Set<string>()

  constructor(world: World) {
    this.#world = world
  }

  /** From now on nothing that `from` sends reaches `to`. */
  cut(from: string, to: string): void {
    this.#cut.add(`${from}>${to}`)
  }

  heal(): void {
    this.#cut.clear()
  }

  passes(from: string, to: string): boolean {
    return !this.#cut.has(`${from}>${to}`)
  }

  connects(a: string, b: string): boolean {
    return this.passes(a, b) && this.passes(b, a)
  }

  /** Delivers once, twice or never; what is in flight when a cut comes still arrives. */
  send(from: string, to: string, deliver: () => void): void {
    const { loss, duplicates, delayMsMin, delayMsMax } = this.weather
    if (!this.passes(from, to) || (loss > 0 && this.#world.chance(loss))) return
    this.#world.after(this.#world.between(delayMsMin, delayMsMax), deliver)
    if (duplicates > 0 && this.#world.chance(duplicates)) {
      this.#world.after(this.#world.between(delayMsMin, 4 * delayMsMax), deliver)
    }
  }
}
