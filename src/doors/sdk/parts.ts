/** Parts of a system by selector, asked for once: a program that runs much names the same ones. */
import type { RunSocket, System } from '../../kernel/kernel.ts'
import type { CallOptions } from '../../kernel/types.ts'

/** Each is an object over there; the one asked for longest ago gives way. */
const partsMax = 64

export class Parts {
  readonly #system: System
  readonly #parts = new Map<string, Promise<System>>()
  readonly #sockets = new WeakMap<System, Promise<RunSocket>>()

  constructor(system: System) {
    this.#system = system
  }

  /** A part's RunSocket, asked for once. */
  async runSocket(part: System, options: CallOptions): Promise<RunSocket> {
    let socket = this.#sockets.get(part)
    if (socket === undefined) {
      socket = part.runSocket(options)
      this.#sockets.set(part, socket)
      socket.catch(() => this.#sockets.delete(part))
    }
    return await socket
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
