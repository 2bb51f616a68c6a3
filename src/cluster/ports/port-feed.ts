/**
 * What this machine serves, for others that listen: each asks again and again for what is newer
 * than it has, and by asking says that it has taken that up.
 */
import { type Clock, deadline, withSignal } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { LocalPorts, PortReport } from './served.ts'

interface Listener {
  /** The newest that it has. */
  has: number
  /** Asked now, and not answered yet. */
  waiting: number
}

export class PortFeed implements Disposable {
  readonly #clock: Clock
  readonly #ports: LocalPorts
  readonly #listening: Disposable
  readonly #listeners = new Map<string, Listener>()
  #wake = Promise.withResolvers<void>()

  constructor(clock: Clock, ports: LocalPorts) {
    this.#clock = clock
    this.#ports = ports
    this.#listening = ports.onChange(() => this.#notify())
  }

  [Symbol.dispose](): void {
    this.#listening[Symbol.dispose]()
    this.#listeners.clear()
    this.#notify()
  }

  /** Answered when there is something else than `after`; after limits.portPollMs anyway. */
  async next(machineId: string, after: number, signal: AbortSignal): Promise<PortReport> {
    const listener = this.#listeners.get(machineId) ?? { has: after, waiting: 0 }
    this.#listeners.set(machineId, listener)
    listener.has = after
    listener.waiting += 1
    this.#notify()
    try {
      using limit = deadline(this.#clock, limits.portPollMs, signal)
      while (this.#ports.report().number === after && !limit.signal.aborted) {
        await withSignal(this.#wake.promise, limit.signal).catch(() => {})
      }
    } finally {
      listener.waiting -= 1
    }
    if (signal.aborted) this.#forget(machineId)
    return this.#ports.report()
  }

  /** Resolves when all that listen have what there is now; who goes away does not count. */
  async heard(signal: AbortSignal): Promise<void> {
    const { number } = this.#ports.report()
    while (!signal.aborted) {
      const late = [...this.#listeners.values()].some(({ has }) => has !== number)
      if (!late) return
      await withSignal(this.#wake.promise, signal).catch(() => {})
    }
  }

  /** It is not heard of any more. */
  forget(machineId: string): void {
    if (this.#listeners.get(machineId)?.waiting === 0) this.#forget(machineId)
  }

  #forget(machineId: string): void {
    this.#listeners.delete(machineId)
    this.#notify()
  }

  #notify(): void {
    this.#wake.resolve()
    this.#wake = Promise.withResolvers()
  }
}
