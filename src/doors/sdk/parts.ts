/** Parts of a system by selector, asked for once: a program that runs much names the same ones. */
import { realClock } from '../../io/clock.ts'
import type { RunSocket, System } from '../../kernel/kernel.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { RunStarter } from '../../rpc/run-starter.ts'

/** Each is an object over there; the one asked for longest ago gives way. */
const partsMax = 64

export class Parts {
  readonly #system: System
  readonly #parts = new Map<string, Promise<System>>()
  readonly #starters = new WeakMap<System, Promise<RunStarter | undefined>>()

  constructor(system: System) {
    this.#system = system
  }

  /** What starts runs on a part that is one other machine, undefined for others; asked for once. */
  async runStarter(part: System, options: CallOptions): Promise<RunStarter | undefined> {
    let starter = this.#starters.get(part)
    if (starter === undefined) {
      starter = part.runSocket(options).then(starterOf)
      this.#starters.set(part, starter)
      starter.catch(() => this.#starters.delete(part))
    }
    return await starter
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

function starterOf({ socketPath, machineId }: RunSocket): RunStarter | undefined {
  if (socketPath === undefined || machineId === undefined) return undefined
  return new RunStarter(realClock, { socketPath, machineId })
}
