/** Parts of a system by selector, asked for once: a program that runs much names the same ones. */
import type { System } from '../../kernel/kernel.ts'
import type { CallOptions } from '../../kernel/types.ts'

/** Each is an object over there; the one asked for longest ago gives way. */
const partsMax = 64

export class Parts {
  readonly #system: System
  readonly #parts = new Map<string, Promise<System>>()

  constructor(system: System) {
    this.#system = system
  }

  async get(selector: string, options: CallOptions): Promise<System> {
    const known = this.#parts.get(selector)
    const part = known ?? this.#system.part(selector, options)
    // Used now, so the last to go. Who has a part that went away keeps it until it is garbage.
    this.#parts.delete(selector)
    this.#parts.set(selector, part)
    const [oldest] = this.#parts.keys()
    if (oldest !== undefined && this.#parts.size > partsMax) this.#parts.delete(oldest)
    try {
      return await part
    } catch (error) {
      if (this.#parts.get(selector) === part) this.#parts.delete(selector)
      throw error
    }
  }
}
