/** The kernel's Run as one caller may use it. */
import { HolonError } from '../../base/errors.ts'
import { joinPath } from '../../io/files.ts'
import { signalNumber } from '../../io/proc-signal.ts'
import type { Run, StdioAddress } from '../../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { CallOptions, ExitStatus, RunInfo } from '../../kernel/types.ts'
import type { Logs } from '../logs.ts'
import { type Caller, requireOwner } from '../users.ts'
import type { ManagedRun, Runs } from './runs.ts'

export interface RunTargetDeps {
  readonly runs: Runs
  readonly logs: Logs
  readonly logDir: (job: string) => string
}

export class RunTarget implements Run {
  readonly #deps: RunTargetDeps
  readonly #run: ManagedRun

  /** `permission_denied` unless the caller is root or started the run. */
  constructor(deps: RunTargetDeps, run: ManagedRun, caller: Caller) {
    requireOwner(caller, run.record.uid, `use run ${run.record.id} of uid ${run.record.uid}`)
    this.#deps = deps
    this.#run = run
  }

  async info(): Promise<RunInfo> {
    return this.#deps.runs.info(this.#run)
  }

  async address(): Promise<StdioAddress> {
    return { runId: this.#run.record.id, socketPath: joinPath(this.#run.dir, 'sock') }
  }

  wait({ signal }: CallOptions): Promise<ExitStatus> {
    return this.#deps.runs.wait(this.#run, signal)
  }

  async signal(signal: string | number, options: CallOptions): Promise<void> {
    const link = this.#link()
    // As with kill(2): 0 only looks.
    if (signal !== 0) await link.kill(signalNumber(signal), 'main', options)
  }

  async stop(options: CallOptions): Promise<void> {
    await this.#run.link?.stop('asked for', options)
  }

  logs(query: LogQuery, options: CallOptions): Promise<LogPage> {
    const { job } = this.#run
    return this.#deps.logs.read([{ instance: job, dir: this.#deps.logDir(job) }], query, options)
  }

  async remove(): Promise<void> {
    this.#deps.runs.remove(this.#run)
  }

  #link() {
    const { link, record } = this.#run
    if (link !== undefined) return link
    throw new HolonError('not_found', `run ${record.id} has ended, or is its client's to signal`)
  }
}
