/**
 * A run on another machine, for a caller here: its verbs go over the link, its stdio through this
 * machine's relay. It owns the remote object.
 */
import { HolonError } from '../base/errors.ts'
import type { Run, StdioAddress } from '../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../kernel/log-types.ts'
import type { CallOptions, ExitStatus, RunInfo } from '../kernel/types.ts'
import { encodeRoute } from './streams/route.ts'

export class RelayedRun implements Run, Disposable {
  readonly #run: Run & Partial<Disposable>
  readonly #machine: { readonly machineId: string; readonly name: string }
  readonly #relaySocket: () => Promise<string>

  constructor(
    run: Run,
    machine: { readonly machineId: string; readonly name: string },
    relaySocket: () => Promise<string>,
  ) {
    this.#run = run
    this.#machine = machine
    this.#relaySocket = relaySocket
  }

  info(options: CallOptions): Promise<RunInfo> {
    return this.#run.info(options)
  }

  async address(options: CallOptions): Promise<StdioAddress> {
    const [socketPath, { runId }] = await Promise.all([
      this.#relaySocket(),
      this.#run.address(options),
    ])
    const route = encodeRoute({ machineId: this.#machine.machineId, run: runId })
    return { runId, socketPath, route }
  }

  async wait(options: CallOptions): Promise<ExitStatus> {
    try {
      return await this.#run.wait(options)
    } catch (error) {
      if (!(error instanceof HolonError) || error.code !== 'unavailable') throw error
      throw new HolonError(
        'unavailable',
        `${this.#machine.name} was lost; whether the program there has ended is not known ` +
          `(${error.message})`,
        { outcome: 'unknown', retryable: true, details: error.details, cause: error },
      )
    }
  }

  signal(signal: string | number, options: CallOptions): Promise<void> {
    return this.#run.signal(signal, options)
  }

  stop(options: CallOptions): Promise<void> {
    return this.#run.stop(options)
  }

  logs(query: LogQuery, options: CallOptions): Promise<LogPage> {
    return this.#run.logs(query, options)
  }

  remove(options: CallOptions): Promise<void> {
    return this.#run.remove(options)
  }

  [Symbol.dispose](): void {
    this.#run[Symbol.dispose]?.()
  }
}
