/**
 * One socket per user for the stdio of runs on other machines, made when first asked for, in the
 * directory that only this user can enter.
 */
import type { Duplex } from 'node:stream'
import { listenUnix, type UnixListener } from '../io/listen-socket.ts'
import { relaySocketPath } from '../io/paths.ts'
import type { Caller } from './users.ts'

export class RelaySockets implements AsyncDisposable {
  readonly #runtimeDir: string
  readonly #accept: (socket: Duplex, caller: Caller) => void
  readonly #listeners = new Map<number, Promise<UnixListener>>()

  constructor(runtimeDir: string, accept: (socket: Duplex, caller: Caller) => void) {
    this.#runtimeDir = runtimeDir
    this.#accept = accept
  }

  /** Its path; it listens when this resolves. */
  async socket(caller: Caller): Promise<string> {
    let listener = this.#listeners.get(caller.uid)
    if (listener === undefined) {
      const path = relaySocketPath(this.#runtimeDir, caller.uid)
      listener = listenUnix(path, (socket) => this.#accept(socket, caller), { mode: 0o777 })
      this.#listeners.set(caller.uid, listener)
      listener.catch(() => this.#listeners.delete(caller.uid))
    }
    return (await listener).path
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const listeners = await Promise.allSettled(this.#listeners.values())
    this.#listeners.clear()
    for (const settled of listeners) {
      if (settled.status === 'fulfilled') await settled.value[Symbol.asyncDispose]()
    }
  }
}
