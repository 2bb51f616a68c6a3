/**
 * Starts attached runs on another machine by their byte stream: one step, no answer to wait for
 * before the program begins. Connections to the relay are kept for the next runs: when a run's
 * stream is over, its relay says so (frame `Z`) and waits for another.
 */
import { type Clock, type Timer, withSignal } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { connectUnix, type UnixSocket } from '../io/sockets.ts'
import type { RunSocket } from '../kernel/kernel.ts'
import type { CallOptions, RunSpec } from '../kernel/types.ts'
import { SlabReader } from './slabs.ts'
import { type Stdio, StdioConnection } from './stdio.ts'

/** A run that began with its byte stream. */
export interface StartedRun {
  readonly stdio: Stdio
  readonly runId: string
  /** Where it is. */
  readonly machine: string
}

/** A connection to the relay. */
interface Line {
  readonly socket: UnixSocket
  readonly reader: SlabReader
}

/** Connections kept while no run needs them. */
const freeMax = 8

export class RunStarter {
  readonly #clock: Clock
  readonly #where: Required<RunSocket>
  readonly #free: { readonly line: Line; readonly timer: Timer }[] = []

  constructor(clock: Clock, where: Required<RunSocket>) {
    this.#clock = clock
    this.#where = where
  }

  /** Errors as System.run; `unknown` when the way there broke after the request was sent. */
  async start(spec: RunSpec, { signal }: CallOptions): Promise<StartedRun> {
    const { socketPath, machineId } = this.#where
    const stdio = new StdioConnection({ runId: 'new', socketPath })
    const line = this.#takeFree(stdio) ?? (await this.#connect(stdio, signal))
    const begun = stdio.begin(line.socket, JSON.stringify({ machineId, spec }), {
      stdin: spec.stdin === 'stream',
      onOver: () => this.#keep(line),
    })
    try {
      return { stdio, ...(await withSignal(begun, signal)) }
    } catch (error) {
      stdio[Symbol.dispose]()
      throw error
    }
  }

  async #connect(stdio: StdioConnection, signal: AbortSignal): Promise<Line> {
    const reader = new SlabReader(stdio.read)
    const socket = await connectUnix(this.#where.socketPath, { signal, reader })
    const line: Line = { socket, reader }
    socket.on('error', () => {})
    socket.on('close', () => this.#forget(line))
    return line
  }

  #takeFree(stdio: StdioConnection): Line | undefined {
    const free = this.#free.pop()
    if (free === undefined) return undefined
    const { line, timer } = free
    timer[Symbol.dispose]()
    // Its `close` has not come yet.
    if (line.socket.destroyed) return this.#takeFree(stdio)
    line.socket.ref()
    line.reader.take = stdio.read
    return line
  }

  #keep(line: Line): void {
    if (this.#free.length >= freeMax) {
      line.socket.destroy()
      return
    }
    // Well before the relay lets go of it.
    const drop = () => line.socket.destroy()
    const timer = this.#clock.timer(limits.relayWaitMs / 2, drop, { background: true })
    this.#free.push({ line, timer })
  }

  #forget(line: Line): void {
    const at = this.#free.findIndex((free) => free.line === line)
    const [free] = at < 0 ? [] : this.#free.splice(at, 1)
    free?.timer[Symbol.dispose]()
  }
}
