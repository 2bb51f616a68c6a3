/**
 * A value that others have, kept for a while: asked for again once it is older than that. Who wants
 * it waits a moment for the new one, then has the old one: an answer that is late does no good, and
 * what was so is likelier than nothing.
 */
import { type Clock, deadline, withSignal } from '../../base/clock.ts'

export interface FreshOptions {
  readonly freshMs: number
  /** How long who wants it waits, and how long it may take to come for the next one. */
  readonly waitMs: number
  readonly askMs: number
}

export class Fresh<T> {
  readonly #clock: Clock
  readonly #ask: (signal: AbortSignal) => Promise<T>
  readonly #options: FreshOptions
  readonly #life: AbortSignal
  #value: T | undefined
  #atMs = Number.NEGATIVE_INFINITY
  #asking: Promise<void> | undefined

  constructor(
    clock: Clock,
    ask: (signal: AbortSignal) => Promise<T>,
    options: FreshOptions & { readonly life: AbortSignal },
  ) {
    this.#clock = clock
    this.#ask = ask
    this.#options = options
    this.#life = options.life
  }

  /** Undefined when it never came. Never rejects. */
  async get(): Promise<T | undefined> {
    if (this.#clock.nowMs() - this.#atMs < this.#options.freshMs) return this.#value
    this.#asking ??= this.#askAnew().finally(() => {
      this.#asking = undefined
    })
    using wait = deadline(this.#clock, this.#options.waitMs, this.#life)
    await withSignal(this.#asking, wait.signal).catch(() => {})
    return this.#value
  }

  async #askAnew(): Promise<void> {
    using limit = deadline(this.#clock, this.#options.askMs, this.#life)
    try {
      this.#value = await this.#ask(limit.signal)
    } catch {
      // The old one stays; who fails is not asked again at once.
    }
    this.#atMs = this.#clock.nowMs()
  }
}
