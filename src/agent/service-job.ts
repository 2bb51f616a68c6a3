/**
 * A program of Holon's own kept by a keeper, etcd or the front: it outlives the agent, is restarted
 * in milliseconds whenever it ends, and its log is bounded. The agent adopts what an earlier one
 * left running.
 *
 * The job's directory holds the spec it was started with, written before the start, so that an
 * agent with another idea of it restarts it, and one with the same leaves it alone.
 */
import { type Clock, sleep } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { ServiceRunner, ServiceSpec, ServiceState } from '../cluster/etcd/service-runner.ts'
import { ensureDir, exists, joinPath, readTextIfThere, removeTree, writeText } from '../io/files.ts'
import type { CallOptions } from '../kernel/types.ts'
import type { JobCommand, JobSpec } from '../unit/job-spec.ts'
import type { CommandPhase } from '../unit/service-unit.ts'
import type { JobLauncher } from './keeper/launcher.ts'
import type { JobLink } from './keeper/link.ts'
import { isFinal, type JobState } from './keeper/records.ts'

export interface ServiceJobDeps {
  readonly clock: Clock
  readonly launcher: JobLauncher
  /** As for every job of this agent. */
  readonly cgroups: (job: string) => readonly string[]
  readonly cleanUp: (job: string) => Promise<void>
  readonly untilGone: (pid: number) => Promise<void>
  readonly report: (message: string) => void
}

/** Which program it is. */
export interface ServiceJobKind {
  /** The job's. */
  readonly id: string
  /** For messages. */
  readonly name: string
  readonly reason: string
}

export interface ServiceJobOptions extends ServiceJobKind {
  /** The job's directory. */
  readonly dir: string
  readonly logDir: string
  readonly ownerUid: number
  /** Default: as nice as other jobs. */
  readonly nice?: number | undefined
}

export const etcdJob: ServiceJobKind = {
  id: 'state/etcd',
  name: 'etcd',
  reason: 'the fleet’s state is kept on this machine',
}
export const frontJob: ServiceJobKind = {
  id: 'ports/front',
  name: 'the front',
  reason: 'units have public ports',
}

const restartMs = 200
const timeoutStopMs = 10_000
/** What the agent itself waits after a keeper was lost. */
const reviveMs = 500

export class ServiceJob implements ServiceRunner, Disposable {
  readonly #deps: ServiceJobDeps
  readonly #options: ServiceJobOptions
  readonly #ending = new AbortController()
  #link: JobLink | undefined
  #state: JobState | undefined
  #wanted: ServiceSpec | undefined
  #queue: Promise<unknown> = Promise.resolve()

  constructor(deps: ServiceJobDeps, options: ServiceJobOptions) {
    this.#deps = deps
    this.#options = options
  }

  get logDir(): string {
    return this.#options.logDir
  }

  /** The keeper's pid while there is one, for the process table. */
  get keeperPid(): number | undefined {
    return this.#link === undefined ? undefined : this.#state?.keeperPid
  }

  start(spec: ServiceSpec, options: CallOptions): Promise<void> {
    return this.#alone(async () => {
      this.#wanted = spec
      await this.#adopt(options)
      const same = readTextIfThere(this.#specPath()) === encode(spec)
      if (this.#runs() && same) return
      await this.#end('its options changed', options)
      await this.#launch(spec, options)
    })
  }

  stop(reason: string, options: CallOptions): Promise<void> {
    return this.#alone(async () => {
      this.#wanted = undefined
      await this.#adopt(options)
      await this.#end(reason, options)
    })
  }

  state(): ServiceState {
    const state = this.#state
    if (!this.#runs() || state === undefined) return { kind: 'stopped' }
    const { pid, restarts } = state
    if (pid !== 0) return { kind: 'running', pid, restarts }
    return { kind: 'restarting', restarts, why: JSON.stringify(state.exit ?? state.result) }
  }

  /** Lets go; the program goes on. Once or twice alike. */
  [Symbol.dispose](): void {
    this.#ending.abort()
    this.#link?.[Symbol.dispose]()
    this.#link = undefined
  }

  #runs(): boolean {
    return this.#link !== undefined && this.#state !== undefined && !isFinal(this.#state.phase)
  }

  async #adopt(options: CallOptions): Promise<void> {
    const { dir } = this.#options
    if (this.#link !== undefined) return
    // Without a line of its keeper there is nothing yet that could be adopted.
    if (!exists(joinPath(dir, 'state'))) return
    this.#follow(await this.#deps.launcher.open(dir, this.#observer(), options))
  }

  async #launch(spec: ServiceSpec, options: CallOptions): Promise<void> {
    const { dir } = this.#options
    ensureDir(dir, 0o711)
    writeText(this.#specPath(), encode(spec), 0o600)
    const job = this.#job(spec)
    this.#follow(await this.#deps.launcher.start(job, this.#observer(), options))
  }

  /** Afterwards no process of it is left, nor its directory. */
  async #end(reason: string, options: CallOptions): Promise<void> {
    const link = this.#link
    if (link !== undefined && this.#runs()) {
      await link.stop(reason, options)
      while (this.#runs()) {
        await sleep(this.#deps.clock, 10, options.signal)
      }
    }
    const keeper = this.#state?.keeperPid
    this.#link?.[Symbol.dispose]()
    this.#link = undefined
    this.#state = undefined
    if (keeper !== undefined) await this.#deps.untilGone(keeper)
    if (exists(this.#options.dir)) await this.#deps.cleanUp(this.#options.id)
    removeTree(this.#options.dir)
  }

  #follow(link: JobLink): void {
    this.#link = link
    this.#state = link.state
    void link.ended.then((how) => {
      if (this.#link !== link || this.#ending.signal.aborted) return
      this.#link = undefined
      void this.#revive(how)
    })
  }

  // Its keeper was killed, or somebody stopped the job: it has to run as long as it is wanted.
  async #revive(how: string): Promise<void> {
    const { clock, report } = this.#deps
    const { name } = this.#options
    const { signal } = this.#ending
    try {
      await this.#alone(async () => {
        const spec = this.#wanted
        if (this.#link !== undefined || spec === undefined) return
        report(`the keeper of ${name} is gone (${how}): it is started anew`)
        await sleep(clock, reviveMs, signal)
        await this.#end('its keeper is gone', { signal })
        await this.#launch(spec, { signal })
      })
    } catch (error) {
      if (!signal.aborted) report(asHolonError(error, `start ${name} anew`).message)
    }
  }

  #observer() {
    return {
      afterSeq: Number.MAX_SAFE_INTEGER,
      onState: (state: JobState) => {
        this.#state = state
      },
      onEvent: () => {},
    }
  }

  #specPath(): string {
    return joinPath(this.#options.dir, 'service')
  }

  #job(spec: ServiceSpec): JobSpec {
    const { nice } = this.#options
    return {
      ...(nice === undefined ? {} : { nice }),
      id: this.#options.id,
      dir: this.#options.dir,
      ownerUid: this.#options.ownerUid,
      output: 'log',
      stdin: 'null',
      logDir: this.#options.logDir,
      logFileBytes: limits.logFileBytesMax,
      logFiles: 2,
      type: 'exec',
      remainAfterExit: false,
      commands: [
        command('start-pre', '/bin/rm', ['rm', '-f', '--', ...spec.removeFirst]),
        command('start', spec.path, spec.argv),
      ],
      env: [...Object.entries(spec.env), ['HOLON_JOB', this.#options.dir]],
      cwd: spec.cwd,
      loginEnv: false,
      umask: 0o077,
      restart: 'always',
      restartMs,
      // It never gives up: the machine cannot do without it.
      startLimitBurst: 0,
      startLimitMs: 0,
      timeoutStartMs: 0,
      timeoutStopMs,
      runtimeMaxMs: 0,
      killMode: 'control-group',
      killSignal: 15,
      sendSigkill: true,
      cgroups: this.#deps.cgroups(this.#options.id),
      reason: this.#options.reason,
    }
  }

  #alone<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#queue.then(work)
    this.#queue = turn.catch(() => undefined)
    return turn
  }
}

function command(phase: CommandPhase, path: string, argv: readonly string[]): JobCommand {
  return { phase, ignoreFailure: false, fullPrivileges: false, path, argv }
}

function encode(spec: ServiceSpec): string {
  return `${JSON.stringify(spec)}\n`
}
