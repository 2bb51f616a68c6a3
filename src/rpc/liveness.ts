/**
 * Whether a silent peer is still there. Nothing is sent and no timer runs while no work is in
 * flight.
 *
 * Silence is counted in ticks that this side lived through, not in time passed: after this process
 * itself was frozen or busy, one tick counts as one, so it does not take its own sleep for the
 * peer's. Invariant: a peer is given up only after at least `timeoutMs` of ticks without a byte,
 * each answered by a ping of ours.
 */
import { assert } from '../base/assert.ts'
import type { Clock, Timer } from '../base/clock.ts'

export interface LivenessOptions {
  readonly heartbeatIntervalMs: number
  readonly heartbeatTimeoutMs: number
}

export interface LivenessHooks {
  /** Whether work is in flight, so that the peer's life matters. */
  busy(): boolean
  ping(): void
  dead(silentMs: number): void
}

export class Liveness implements Disposable {
  readonly #clock: Clock
  readonly #hooks: LivenessHooks
  readonly #intervalMs: number
  readonly #timeoutMs: number
  #timer: Timer | undefined
  #heard = false
  #silentMs = 0
  #ended = false

  constructor(clock: Clock, hooks: LivenessHooks, options: LivenessOptions) {
    assert(options.heartbeatIntervalMs > 0, 'heartbeats come at an interval')
    this.#clock = clock
    this.#hooks = hooks
    this.#intervalMs = options.heartbeatIntervalMs
    this.#timeoutMs = options.heartbeatTimeoutMs
  }

  /** Work began. */
  wake(): void {
    if (this.#timer !== undefined || this.#ended) return
    this.#heard = false
    this.#silentMs = 0
    this.#arm()
  }

  /** A byte came in. */
  heard(): void {
    this.#heard = true
  }

  [Symbol.dispose](): void {
    this.#ended = true
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
  }

  #arm(): void {
    this.#timer = this.#clock.timer(this.#intervalMs, () => this.#tick(), { background: true })
  }

  #tick(): void {
    this.#timer = undefined
    if (this.#ended || !this.#hooks.busy()) return
    this.#silentMs = this.#heard ? 0 : this.#silentMs + this.#intervalMs
    this.#heard = false
    if (this.#silentMs >= this.#timeoutMs) this.#hooks.dead(this.#silentMs)
    else {
      if (this.#silentMs > 0) this.#hooks.ping()
      this.#arm()
    }
  }
}
