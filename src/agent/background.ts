/** Work that nobody waits for: bounded in time, its failure reported, and ended with the agent. */
import { type Clock, deadline } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'

export class Background implements AsyncDisposable {
  readonly #clock: Clock
  readonly #report: (message: string) => void
  readonly #running = new Set<Promise<void>>()
  readonly #ending = new AbortController()

  constructor(clock: Clock, report: (message: string) => void) {
    this.#clock = clock
    this.#report = report
  }

  /** `what` begins the message of a failure. */
  run(what: string, timeoutMs: number, work: (signal: AbortSignal) => Promise<void>): void {
    const running = this.#bounded(timeoutMs, work)
      .catch((error: unknown) => {
        if (!this.#ending.signal.aborted) this.#report(asHolonError(error, what).message)
      })
      .finally(() => this.#running.delete(running))
    this.#running.add(running)
  }

  /** Cancels what runs and waits for it. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort(new HolonError('cancelled', 'the agent is ending', { outcome: 'unknown' }))
    await Promise.all([...this.#running])
  }

  async #bounded(timeoutMs: number, work: (signal: AbortSignal) => Promise<void>): Promise<void> {
    using limit = deadline(this.#clock, timeoutMs, this.#ending.signal)
    await work(limit.signal)
  }
}
