/**
 * One machine's agent, put together: the store, the keepers, units, runs, the process table, and a
 * socket for every caller. Starting it takes over whatever an earlier agent left running; ending it
 * leaves everything running unless asked otherwise.
 */
import { type Clock, deadline } from '../base/clock.ts'
import type { Random } from '../base/random.ts'
import { version } from '../base/version.ts'
import { type CgroupRoots, cgroupPids, jobCgroups, openCgroups } from '../io/cgroups.ts'
import { ensureDir, joinPath, listDir, modifiedAtMs } from '../io/files.ts'
import type { Host } from '../io/host.ts'
import { type Directories, jobsDir, logsDir } from '../io/paths.ts'
import { ProcFs } from '../io/proc.ts'
import { Users } from '../io/users.ts'
import type { MachineInfo } from '../kernel/types.ts'
import { listenRpc } from '../rpc/listen.ts'
import { systemInterface } from '../rpc/wire.ts'
import type { State } from '../state/port.ts'
import { Background } from './background.ts'
import { CallerSockets } from './caller-sockets.ts'
import { findExecutable } from './executables.ts'
import { type JobLauncher, openLauncher } from './keeper/launcher.ts'
import { Leftovers } from './leftovers.ts'
import { Logs } from './logs.ts'
import { ProcessTable } from './process-table.ts'
import { Records } from './records.ts'
import { Runs } from './runs/runs.ts'
import { openState, startBackups } from './state-keeping.ts'
import { SystemTarget, type SystemTargetDeps } from './system-target.ts'
import { unitCompiler } from './units/compile.ts'
import type { Instance } from './units/instance.ts'
import { Units } from './units/units.ts'
import type { Caller } from './users.ts'

export interface AgentDeps {
  readonly clock: Clock
  readonly random: Random
  readonly host: Host
  /** A line for the operator: time and severity are added by whoever writes it. */
  readonly report: (message: string) => void
}

export interface AgentOptions {
  readonly directories: Directories
  readonly machine: string
  /** Where the keeper's sources are. */
  readonly packageDir: string
  /** Never the compiled keeper, for tests and for hosts where it misbehaves. */
  readonly forceShKeeper: boolean
  /** Called once the agent has been asked to end. */
  readonly onShutdown: () => void
}

const openTimeoutMs = 60_000

export class Agent implements AsyncDisposable {
  readonly #deps: AgentDeps
  readonly #options: AgentOptions
  readonly #ends = new AsyncDisposableStack()
  readonly #proc = new ProcFs()
  readonly #users = new Users()
  readonly #sinceMs: number
  readonly #cgroups: CgroupRoots
  readonly #background: Background
  readonly #state: State
  readonly #launcher: JobLauncher
  readonly #units: Units
  readonly #runs: Runs
  readonly #target: SystemTargetDeps

  /** Rejects with what is wrong and what to do when it cannot serve at all. */
  static async start(deps: AgentDeps, options: AgentOptions): Promise<Agent> {
    const { stateDir, runtimeDir } = options.directories
    ensureDir(stateDir, 0o711)
    ensureDir(runtimeDir, 0o711)
    ensureDir(jobsDir(runtimeDir), 0o711)
    ensureDir(logsDir(stateDir), 0o711)
    const state = await openState(stateDir)
    try {
      const launcher = await openLauncher(deps, {
        sourceDir: joinPath(options.packageDir, 'keeper'),
        binDir: joinPath(stateDir, 'bin'),
        forceSh: options.forceShKeeper,
      })
      const agent = new Agent(deps, options, state, launcher)
      await agent.#open()
      return agent
    } catch (error) {
      await state.close()
      throw error
    }
  }

  private constructor(deps: AgentDeps, options: AgentOptions, state: State, launcher: JobLauncher) {
    this.#deps = deps
    this.#options = options
    this.#state = state
    this.#launcher = launcher
    this.#sinceMs = deps.clock.wallMs()
    this.#cgroups = openCgroups(cgroupName(options.directories))
    this.#background = new Background(deps.clock, deps.report)
    this.#runs = this.#makeRuns()
    this.#units = this.#makeUnits()
    this.#target = this.#makeTarget()
  }

  /** Lets go of everything; jobs go on. Once or twice alike. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync()
  }

  async #open(): Promise<void> {
    const { clock, report, host } = this.#deps
    const { runtimeDir, stateDir } = this.#options.directories
    // In this order they end, last first: no call is answered once its parts are gone.
    this.#ends.use({ [Symbol.asyncDispose]: () => this.#state.close() })
    this.#ends.use(startBackups(clock, this.#state, stateDir, report))
    this.#ends.use(this.#launcher)
    this.#ends.defer(() => this.#runs.close())
    this.#ends.defer(() => this.#units.close())
    this.#ends.use(this.#background)
    using limit = deadline(clock, openTimeoutMs)
    await this.#runs.open(limit.signal)
    await this.#units.open(limit.signal)
    const listen = (path: string, caller: Caller) => this.#listen(path, caller)
    const sockets = new CallerSockets({ listen, report }, runtimeDir, host.uid)
    this.#ends.use(sockets)
    await sockets.start()
  }

  #listen(path: string, caller: Caller): Promise<AsyncDisposable> {
    const onInternalError = (error: unknown, action: string) => {
      this.#deps.report(`bug: ${action}: ${error instanceof Error ? error.stack : String(error)}`)
    }
    const accept = () => new SystemTarget(this.#target, caller)
    // Everyone who could enter the directory may connect: the directory is the lock.
    const options = { version, onInternalError, mode: 0o777 }
    return listenRpc(this.#deps.clock, path, systemInterface, accept, options)
  }

  #job(job: string): string {
    return joinPath(jobsDir(this.#options.directories.runtimeDir), job)
  }

  #logDir(job: string): string {
    return joinPath(logsDir(this.#options.directories.stateDir), job)
  }

  #shared() {
    const leftovers = new Leftovers({
      clock: this.#deps.clock,
      proc: this.#proc,
      cgroups: (job) => jobCgroups(this.#cgroups, job),
      jobDir: (job) => this.#job(job),
      report: this.#deps.report,
    })
    return {
      clock: this.#deps.clock,
      random: this.#deps.random,
      machine: this.#options.machine,
      launcher: this.#launcher,
      logDir: (job: string) => this.#logDir(job),
      cgroups: (job: string) => jobCgroups(this.#cgroups, job),
      cleanUp: (job: string) => leftovers.cleanUp(job),
      untilGone: (pid: number) => leftovers.untilGone(pid),
      report: this.#deps.report,
    }
  }

  #makeRuns(): Runs {
    return new Runs({
      ...this.#shared(),
      agentUid: this.#deps.host.uid,
      jobsDir: this.#job(''),
      findExecutable,
    })
  }

  #makeUnits(): Units {
    const shared = this.#shared()
    const { host, random, report } = this.#deps
    const compile = unitCompiler({
      ...shared,
      host,
      users: this.#users,
      bootId: this.#proc.bootId,
      kernelRelease: this.#proc.kernelRelease,
    })
    return new Units({
      ...shared,
      compile,
      bootId: this.#proc.bootId,
      jobDir: (job) => this.#job(job),
      jobUnits: () => listDir(this.#job('unit')),
      jobNumbers: (unit) =>
        listDir(this.#job(`unit/${unit}`))
          .map(Number)
          .filter(Number.isInteger),
      records: new Records({ random, state: this.#state, writer: `agent ${shared.machine}` }),
      runInBackground: (what, work, timeoutMs) => this.#background.run(what, timeoutMs, work),
      report,
    })
  }

  #makeTarget(): SystemTargetDeps {
    const { host } = this.#deps
    const { machine } = this.#options
    const logs = new Logs({ clock: this.#deps.clock }, { machine, dir: this.#logDir('') })
    return {
      machine,
      agentUid: host.uid,
      proc: this.#proc,
      processTable: new ProcessTable(
        { proc: this.#proc, users: this.#users },
        { machine, unitsByKeeper: () => this.#unitsByKeeper() },
      ),
      units: this.#units,
      unitStatus: {
        machine,
        cgroups: (job) => jobCgroups(this.#cgroups, job),
        pids: (instance) => this.#instancePids(instance),
        modifiedAtMs,
      },
      runs: this.#runs,
      logs,
      logDir: (job) => this.#logDir(job),
      machineInfo: () => this.#machineInfo(),
      about: () => this.#about(),
      shutdown: (how, signal) => this.#shutdown(how.stopJobs, signal),
    }
  }

  /** Keepers that run, by pid, for the process table. */
  #unitsByKeeper(): ReadonlyMap<number, string> {
    const labels = new Map<number, string>()
    for (const unit of this.#units.list()) {
      for (const instance of unit.instances()) {
        const keeper = instance.state?.keeperPid
        if (keeper !== undefined) labels.set(keeper, instance.name)
      }
    }
    for (const run of this.#runs.list()) {
      const keeper = run.detached ? run.state?.keeperPid : run.keeperPid
      if (keeper !== undefined) labels.set(keeper, run.job)
    }
    return labels
  }

  #instancePids(instance: Instance): readonly number[] {
    const state = instance.state
    if (state === undefined || state.pid === 0) return []
    const pids = cgroupPids(jobCgroups(this.#cgroups, instance.job))
    const all = pids.length > 0 ? pids : this.#proc.descendants(state.keeperPid)
    // The keeper is in the job's v1 groups, so that what it starts is born there.
    const others = all.filter((pid) => pid !== state.pid && pid !== state.keeperPid)
    return [state.pid, ...others]
  }

  #machineInfo(): MachineInfo {
    const facts = this.#proc.machineFacts()
    return {
      name: this.#options.machine,
      status: 'up',
      version,
      bootId: this.#proc.bootId,
      cpuCount: facts.cpuCount,
      memoryBytes: facts.memoryBytes,
      memoryAvailableBytes: facts.memoryAvailableBytes,
      load1: facts.load[0],
      upSinceMs: this.#proc.bootedAtMs,
      agentPid: this.#deps.host.pid,
      agentSinceMs: this.#sinceMs,
    }
  }

  #about() {
    const { stateDir, runtimeDir } = this.#options.directories
    const warnings: string[] = []
    const { mode } = this.#state
    if (mode.kind === 'read-only') warnings.push(`the state takes no changes: ${mode.why}`)
    if (this.#launcher.kind === 'sh') warnings.push(this.#launcher.note)
    if (this.#cgroups.unified === undefined) {
      warnings.push('no control groups for jobs here: leftovers are found by their environment')
    }
    return {
      version,
      agentPid: this.#deps.host.pid,
      agentSinceMs: this.#sinceMs,
      uid: this.#deps.host.uid,
      stateDir,
      runtimeDir,
      engine: this.#state.engine,
      keeper: this.#launcher.kind,
      warnings,
    }
  }

  async #shutdown(stopJobs: boolean, signal: AbortSignal): Promise<void> {
    if (stopJobs) {
      await Promise.all([
        ...this.#units.list().map((unit) => unit.stopAll('holon down --all', signal)),
        ...this.#runs.list().map((run) => this.#runs.stop(run, signal)),
      ])
    }
    this.#options.onShutdown()
  }
}

/** One top group per agent, so that several on one host keep apart. */
function cgroupName({ scope, runtimeDir }: Directories): string {
  return scope === 'system' ? 'holon' : `holon${runtimeDir.replaceAll(/[^A-Za-z0-9]+/g, '-')}`
}
