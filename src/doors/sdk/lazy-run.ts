/**
 * A run that was started by its byte stream: its object is asked for when it is first used, which
 * most programs never do.
 */
import type { Run, StdioAddress } from '../../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { CallOptions, ExitStatus, RunInfo } from '../../kernel/types.ts'

export class LazyRun implements Run {
  readonly #find: (options: CallOptions) => Promise<Run>
  #run: Promise<Run> | undefined

  constructor(find: (options: CallOptions) => Promise<Run>) {
    this.#find = find
  }

  async info(options: CallOptions): Promise<RunInfo> {
    return (await this.#found(options)).info(options)
  }

  async address(options: CallOptions): Promise<StdioAddress> {
    return (await this.#found(options)).address(options)
  }

  async wait(options: CallOptions): Promise<ExitStatus> {
    return (await this.#found(options)).wait(options)
  }

  async signal(signal: string | number, options: CallOptions): Promise<void> {
    await (await this.#found(options)).signal(signal, options)
  }

  async stop(options: CallOptions): Promise<void> {
    await (await this.#found(options)).stop(options)
  }

  async logs(query: LogQuery, options: CallOptions): Promise<LogPage> {
    return (await this.#found(options)).logs(query, options)
  }

  async remove(options: CallOptions): Promise<void> {
    await (await this.#found(options)).remove(options)
  }

  #found(options: CallOptions): Promise<Run> {
    if (this.#run === undefined) {
      this.#run = this.#find(options)
      this.#run.catch(() => {
        this.#run = undefined
      })
    }
    return this.#run
  }
}
