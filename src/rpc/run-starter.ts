/**
 * Starts attached runs on another machine by their byte stream: one step, no answer to wait for
 * before the program begins. A connection to the relay is kept ready for the next one.
 */
import type { Duplex } from 'node:stream'
import { type Clock, type Timer, withSignal } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { connectUnix } from '../io/sockets.ts'
import type { RunSocket } from '../kernel/kernel.ts'
import type { CallOptions, RunSpec } from '../kernel/types.ts'
import { type Stdio, StdioConnection } from './stdio.ts'

/** A run that began with its byte stream. */
export interface StartedRun {
  readonly stdio: Stdio
  readonly runId: string
  /** Where it is. */
  readonly machine: string
}

interface Ready {
  readonly stdio: StdioConnection
  readonly socket: Duplex
}

export class RunStarter {
  readonly #clock: Clock
  readonly #where: Required<RunSocket>
  #ready: Ready | undefined
  #timer: Timer | undefined

  constructor(clock: Clock, where: Required<RunSocket>) {
    this.#clock = clock
    this.#where = where
  }

  /** Errors as System.run; `unknown` when the way there broke after the request was sent. */
  async start(spec: RunSpec, { signal }: CallOptions): Promise<StartedRun> {
    const { stdio, socket } = this.#takeReady() ?? (await this.#connect(signal))
    const route = JSON.stringify({ machineId: this.#where.machineId, spec })
    const begun = stdio.begin(socket, route, { stdin: spec.stdin === 'stream' })
    void this.#prepare()
    try {
      return { stdio, ...(await withSignal(begun, signal)) }
    } catch (error) {
      stdio[Symbol.dispose]()
      throw error
    }
  }

  #takeReady(): Ready | undefined {
    const ready = this.#ready
    this.#ready = undefined
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    if (ready === undefined || ready.socket.destroyed) return undefined
    keepsProcess(ready.socket, true)
    return ready
  }

  async #connect(signal: AbortSignal): Promise<Ready> {
    const { socketPath } = this.#where
    const stdio = new StdioConnection({ runId: 'new', socketPath })
    const socket = await connectUnix(socketPath, { signal, reader: stdio.reader })
    return { stdio, socket }
  }

  /** Never fails: the next start connects by itself. */
  async #prepare(): Promise<void> {
    try {
      const ready = await this.#connect(new AbortController().signal)
      if (this.#ready !== undefined) {
        ready.socket.destroy()
        return
      }
      ready.socket.on('error', () => {})
      keepsProcess(ready.socket, false)
      this.#ready = ready
      const drop = () => this.#takeReady()?.socket.destroy()
      // Well before the relay lets go of it.
      this.#timer = this.#clock.timer(limits.relayWaitMs / 2, drop, { background: true })
    } catch {
      // Nothing listens there now.
    }
  }
}

function keepsProcess(socket: Duplex, keeps: boolean): void {
  const handle = socket as Duplex & { ref?(): void; unref?(): void }
  if (keeps) handle.ref?.()
  else handle.unref?.()
}
