/**
 * The link of a command to the agent, made when first needed, and what --machine leaves of the
 * system behind it.
 */
import { deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { realClock } from '../../io/clock.ts'
import type { System } from '../../kernel/kernel.ts'
import { connect, type Holon } from '../sdk/connect.ts'
import type { OwnLink } from './context.ts'

export class Links {
  #selector: string | undefined
  #system: Promise<System> | undefined

  get selector(): string | undefined {
    return this.#selector
  }

  /** The last one counts, as for every option. */
  select(selector: string): void {
    this.#selector = selector
    this.#system = undefined
  }

  system(): Promise<System> {
    this.#system ??= connect().then((holon) => this.#partOf(holon))
    return this.#system
  }

  async connectAnew(signal: AbortSignal): Promise<OwnLink> {
    const holon = await connect({ signal })
    try {
      const system = await this.#partOf(holon, signal)
      return { system, [Symbol.asyncDispose]: () => holon[Symbol.asyncDispose]() }
    } catch (error) {
      await holon[Symbol.asyncDispose]().catch(() => {})
      throw error
    }
  }

  async #partOf(holon: Holon, signal?: AbortSignal): Promise<System> {
    if (this.#selector === undefined) return holon.system
    using limit = deadline(realClock, limits.callTimeoutMs, signal)
    return await holon.system.part(this.#selector, limit)
  }
}
