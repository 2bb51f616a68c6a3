/** What a front counts, by unit. Counters grow from when it began; nothing is ever taken back. */

/** Upper bounds of the buckets of a latency, in seconds; a last one without a bound follows. */
export const latencyBoundsSec = [
  0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10,
] as const

export interface UnitTraffic {
  readonly unit: string
  /** By the first digit of the status: "2" for 200 to 299. */
  readonly requests: Readonly<Record<string, number>>
  /** By bucket, not added up. */
  readonly latencies: readonly number[]
  readonly latencySumSec: number
  /** Requests sent to another instance after one had failed. */
  readonly retries: number
  /** Answers that broke off. */
  readonly broken: number
  /** Connections of TCP, and upgraded ones of HTTP, from the beginning. */
  readonly connections: number
  /** Under way now. */
  readonly active: number
}

export class RouteStats {
  readonly #requests: Record<string, number> = {}
  readonly #latencies: number[] = new Array(latencyBoundsSec.length + 1).fill(0)
  #latencySumSec = 0
  #retries = 0
  #broken = 0
  #connections = 0

  answered(status: number, elapsedMs: number): void {
    const kind = String(Math.floor(status / 100))
    this.#requests[kind] = (this.#requests[kind] ?? 0) + 1
    const seconds = elapsedMs / 1000
    let bucket = 0
    while (seconds > (latencyBoundsSec[bucket] ?? Number.POSITIVE_INFINITY)) bucket += 1
    this.#latencies[bucket] = (this.#latencies[bucket] ?? 0) + 1
    this.#latencySumSec += seconds
  }

  retried(): void {
    this.#retries += 1
  }

  broken(): void {
    this.#broken += 1
  }

  connected(): void {
    this.#connections += 1
  }

  of(unit: string, active: number): UnitTraffic {
    return {
      unit,
      requests: { ...this.#requests },
      latencies: [...this.#latencies],
      latencySumSec: this.#latencySumSec,
      retries: this.#retries,
      broken: this.#broken,
      connections: this.#connections,
      active,
    }
  }
}
