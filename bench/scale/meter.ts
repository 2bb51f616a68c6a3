/**
 * Who spends the processor's time in a simulation, and what passes: each step of the world is the
 * leader's when its gate was entered in it, with all that settled after; else its surroundings'.
 * Time is that of all threads, so that what the collector of garbage does beside us counts too.
 */
import { Gate } from '../../src/sim/gate.ts'
import type { World } from '../../src/sim/world.ts'

/** What is counted, each also by its greatest number in a second of the simulation. */
export type Counted = 'beats' | 'reports' | 'messageBytes' | 'txns' | 'puts' | 'putBytes'

interface Sum {
  all: number
  peak: number
  /** The second that goes on, and its own sum. */
  second: number
  at: number
}

const nothing: Readonly<Sum> = { all: 0, peak: 0, second: 0, at: 0 }

export class Meter {
  /** Milliseconds of the processor. */
  leaderMs = 0
  /** The longest time for which nothing else of the leader could happen. */
  longestMs = 0
  readonly #world: World
  readonly #sums = new Map<Counted, Sum>()
  #isLeaders = false
  #lastMs = cpuMs()

  constructor(world: World) {
    this.#world = world
  }

  /** The step that goes on is the leader's. */
  entered(): void {
    this.#isLeaders = true
  }

  /** After every step. */
  step(): void {
    const nowMs = cpuMs()
    const ms = nowMs - this.#lastMs
    this.#lastMs = nowMs
    if (this.#isLeaders) {
      this.leaderMs += ms
      this.longestMs = Math.max(this.longestMs, ms)
    }
    this.#isLeaders = false
  }

  add(what: Counted, count: number): void {
    const second = Math.floor(this.#world.nowMs / 1_000)
    const sum = this.#sums.get(what) ?? { ...nothing, second }
    this.#sums.set(what, sum)
    if (sum.second !== second) Object.assign(sum, { second, at: 0 })
    sum.all += count
    sum.at += count
    sum.peak = Math.max(sum.peak, sum.at)
  }

  get all(): Record<Counted, number> {
    return this.#each(({ all }) => all)
  }

  /** In the busiest second. */
  get peak(): Record<Counted, number> {
    return this.#each(({ peak }) => peak)
  }

  #each(read: (sum: Sum) => number): Record<Counted, number> {
    const of = (what: Counted) => read(this.#sums.get(what) ?? nothing)
    const [beats, reports, messageBytes] = [of('beats'), of('reports'), of('messageBytes')]
    return {
      beats,
      reports,
      messageBytes,
      txns: of('txns'),
      puts: of('puts'),
      putBytes: of('putBytes'),
    }
  }

  /** All counts from 0. */
  reset(): void {
    this.step()
    this.#sums.clear()
    this.leaderMs = 0
    this.longestMs = 0
  }
}

/** A gate into the leader: what enters it is what the leader does. */
export class MeteredGate extends Gate {
  readonly #meter: Meter

  constructor(world: World, meter: Meter) {
    super(world)
    this.#meter = meter
  }

  override enter(work: () => void): void {
    this.#meter.entered()
    super.enter(work)
  }
}

function cpuMs(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1_000
}
