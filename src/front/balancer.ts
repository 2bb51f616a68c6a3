/**
 * Which instance gets the next connection or request of a route: one on this machine if there is
 * one, of those the one with the fewest under way. One that failed is left alone for a while, and
 * longer each time; when all have failed lately, that is no reason to try none.
 *
 * While none is ready, who asks waits for a while: a unit with one instance is updated without
 * turning anybody away.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { type Endpoint, endpointKey } from './table.ts'

const firstPauseMs = 500
const pauseMaxMs = 10_000

/** An instance as it is known here, from when it first stands in a table until it does no more. */
export class Target {
  readonly key: string
  endpoint: Endpoint
  /** Connections or requests under way. */
  active = 0
  /** It stands in no table any more. */
  isGone = false
  /** Called when nothing new comes to it any more. */
  onClosing: (() => void) | undefined
  #failures = 0
  #pausedUntilMs = 0

  constructor(endpoint: Endpoint) {
    this.endpoint = endpoint
    this.key = endpointKey(endpoint)
  }

  get isClosing(): boolean {
    return this.isGone || this.endpoint.state === 'draining'
  }

  get isLocal(): boolean {
    return this.endpoint.machineId === undefined
  }

  get pausedUntilMs(): number {
    return this.#pausedUntilMs
  }

  worked(): void {
    this.#failures = 0
    this.#pausedUntilMs = 0
  }

  failed(nowMs: number): void {
    const pauseMs = Math.min(firstPauseMs * 2 ** this.#failures, pauseMaxMs)
    this.#failures += 1
    this.#pausedUntilMs = nowMs + pauseMs
  }
}

export class Balancer {
  readonly #clock: Clock
  #targets: readonly Target[] = []
  /** Of equals, not always the first. */
  #turn = 0
  readonly #waiting = new Set<() => void>()

  constructor(clock: Clock) {
    this.#clock = clock
  }

  get targets(): readonly Target[] {
    return this.#targets
  }

  update(endpoints: readonly Endpoint[]): void {
    const known = new Map(this.#targets.map((target) => [target.key, target]))
    this.#targets = endpoints.map((endpoint) => {
      const key = endpointKey(endpoint)
      const target = known.get(key) ?? new Target(endpoint)
      known.delete(key)
      target.endpoint = endpoint
      if (target.isClosing) target.onClosing?.()
      return target
    })
    for (const target of known.values()) {
      target.isGone = true
      target.onClosing?.()
    }
    if (!this.#targets.some((target) => !target.isClosing)) return
    for (const wake of this.#waiting) wake()
  }

  /** Undefined when none is ready but those in `tried`. */
  pick(tried?: ReadonlySet<Target>): Target | undefined {
    const nowMs = this.#clock.nowMs()
    const { length } = this.#targets
    this.#turn += 1
    let best: Target | undefined
    for (let i = 0; i < length; i++) {
      const target = this.#targets[(i + this.#turn) % length]
      if (target === undefined || target.isClosing || tried?.has(target)) continue
      if (best === undefined || isBetter(target, best, nowMs)) best = target
    }
    return best
  }

  /** The same, but waits for one, up to limits.frontHoldMs; not when too many wait already. */
  async choose(tried: ReadonlySet<Target>, signal: AbortSignal): Promise<Target | undefined> {
    const now = this.pick(tried)
    if (now !== undefined || this.#waiting.size >= limits.frontHeldMax) return now
    const { promise, resolve } = Promise.withResolvers<Target | undefined>()
    const end = () => resolve(undefined)
    const wake = () => {
      const target = this.pick(tried)
      if (target !== undefined) resolve(target)
    }
    const timer = this.#clock.timer(limits.frontHoldMs, end)
    this.#waiting.add(wake)
    signal.addEventListener('abort', end, { once: true })
    try {
      return await promise
    } finally {
      timer[Symbol.dispose]()
      this.#waiting.delete(wake)
      signal.removeEventListener('abort', end)
    }
  }
}

function isBetter(a: Target, b: Target, nowMs: number): boolean {
  const aPaused = a.pausedUntilMs > nowMs
  const bPaused = b.pausedUntilMs > nowMs
  if (aPaused !== bPaused) return bPaused
  if (aPaused) return a.pausedUntilMs < b.pausedUntilMs
  if (a.isLocal !== b.isLocal) return a.isLocal
  return a.active < b.active
}
