/**
 * One machine, put together: its own store, the keepers, units, runs, the process table. Opening it
 * takes over whatever an earlier agent left running; letting go leaves everything running.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { version } from '../base/version.ts'
import type { LogKeeping } from '../cluster/logs-kept/kept-log.ts'
import type { MachinePart, PeerCaller } from '../cluster/peer.ts'
import type { InstanceHost } from '../cluster/reconcile/host.ts'
import type { AttachRun } from '../cluster/streams/stream-server.ts'
import {
  type CgroupRoots,
  cgroupPids,
  closeCgroups,
  jobCgroups,
  openCgroups,
} from '../io/cgroups.ts'
import { ensureDir, exists, joinPath, listDir, modifiedAtMs } from '../io/files.ts'
import type { Host } from '../io/host.ts'
import {
  bundlesDir,
  type Directories,
  jobsDir,
  keptLogsDir,
  logsDir,
  secretsDir,
} from '../io/paths.ts'
import { raisedNice } from '../io/priority.ts'
import { ProcFs } from '../io/proc.ts'
import { connectUnix } from '../io/sockets.ts'
import { Users } from '../io/users.ts'
import type { MachineReport, SystemStatus } from '../kernel/types.ts'
import type { State } from '../state/port.ts'
import { secretsOf } from '../unit/credentials.ts'
import { Background } from './background.ts'
import { MachineBundles } from './bundles/machine-bundles.ts'
import { findExecutable } from './executables.ts'
import { type JobLauncher, openLauncher } from './keeper/launcher.ts'
import { Leftovers } from './leftovers.ts'
import { UnitNames } from './local-names.ts'
import { LogCopies } from './log-copies.ts'
import { LogShipping } from './log-shipping.ts'
import { Logs } from './logs.ts'
import { machineReport } from './machine-report.ts'
import { MachineSecrets } from './machine-secrets.ts'
import { MachineTarget, type MachineTargetDeps } from './machine-target.ts'
import { Ports } from './ports/ports.ts'
import { ProcessTable } from './process-table.ts'
import { Records } from './records.ts'
import { Runs } from './runs/runs.ts'
import { etcdJob, frontJob, ServiceJob } from './service-job.ts'
import { openState, startBackups } from './state-keeping.ts'
import { AssignedHost } from './units/assigned-host.ts'
import { unitCompiler } from './units/compile.ts'
import { conditionChecker } from './units/condition-facts.ts'
import { Credentials } from './units/credentials.ts'
import type { Instance } from './units/instance.ts'
import { MachineTimers } from './units/machine-timers.ts'
import { Units } from './units/units.ts'
import type { Caller } from './users.ts'

export interface LocalMachineDeps {
  readonly clock: Clock
  readonly random: Random
  readonly host: Host
  /** A line for the operator: time and severity are added by whoever writes it. */
  readonly report: (message: string) => void
}

export interface LocalMachineOptions {
  readonly directories: Directories
  readonly machine: string
  /** Where the keeper's sources are. */
  readonly packageDir: string
  /** Never the compiled keeper, for tests and for hosts where it misbehaves. */
  readonly forceShKeeper: boolean
  /** What jobs get where this process was raised above others. */
  readonly jobNice?: number | undefined
}

export class LocalMachine implements AsyncDisposable {
  readonly #deps: LocalMachineDeps
  readonly #options: LocalMachineOptions
  readonly #ends = new AsyncDisposableStack()
  readonly #proc = new ProcFs()
  readonly #users = new Users()
  readonly #sinceMs: number
  readonly #cgroups: CgroupRoots
  readonly #background: Background
  /** The machine's own store. */
  readonly state: State
  readonly launcher: JobLauncher
  /** Copies of other machines' logs. */
  readonly logCopies: LogCopies
  /** Runs this machine's etcd, should it have one. */
  readonly etcd: ServiceJob
  /** What it serves on public ports. */
  readonly ports: Ports
  readonly bundles: MachineBundles
  /** Its units, as names lead to them. */
  readonly names: UnitNames
  readonly #front: ServiceJob
  readonly #units: Units
  readonly #credentials: Credentials
  readonly #secrets: MachineSecrets
  readonly #timers: MachineTimers
  readonly #runs: Runs
  readonly #target: MachineTargetDeps

  /** Rejects with what is wrong and what to do when it cannot serve at all. */
  static async open(
    deps: LocalMachineDeps,
    options: LocalMachineOptions,
    signal: AbortSignal,
  ): Promise<LocalMachine> {
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
        nice: options.jobNice,
      })
      const machine = new LocalMachine(deps, options, state, launcher)
      await machine.#open(signal)
      return machine
    } catch (error) {
      await state.close()
      throw error
    }
  }

  private constructor(
    deps: LocalMachineDeps,
    options: LocalMachineOptions,
    state: State,
    launcher: JobLauncher,
  ) {
    this.#deps = deps
    this.#options = options
    this.state = state
    this.launcher = launcher
    this.#sinceMs = deps.clock.wallMs()
    this.logCopies = new LogCopies(deps.clock, { dir: keptLogsDir(options.directories.stateDir) })
    this.#cgroups = openCgroups(cgroupName(options.directories))
    this.#background = new Background(deps.clock, deps.report)
    this.etcd = this.#makeEtcd()
    this.#runs = this.#makeRuns()
    const { runtimeDir } = options.directories
    const { host, report } = deps
    this.#credentials = new Credentials({ runtimeDir, uid: host.uid, report })
    this.#secrets = this.#makeSecrets()
    this.#front = new ServiceJob(this.#shared(), {
      ...frontJob,
      dir: this.#job(frontJob.id),
      logDir: this.#logDir(frontJob.id),
      ownerUid: host.uid,
    })
    this.ports = this.#makePorts()
    const dir = bundlesDir(options.directories.stateDir)
    const { bootId } = this.#proc
    this.bundles = new MachineBundles({ clock: deps.clock, platform: host.arch, dir, bootId })
    this.#units = this.#makeUnits()
    this.#units.changes.listen(() => this.ports.changed())
    this.names = new UnitNames(this.#units, this.ports)
    this.#timers = this.#makeTimers()
    this.#target = this.#makeTarget()
  }

  /** Lets go of everything; jobs go on. Once or twice alike. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#ends.disposeAsync()
  }

  async #open(signal: AbortSignal): Promise<void> {
    const { clock, report } = this.#deps
    // In this order they end, last first.
    this.#ends.defer(() => closeCgroups(clock, this.#cgroups))
    this.#ends.use({ [Symbol.asyncDispose]: () => this.state.close() })
    this.#ends.use(startBackups(clock, this.state, this.#options.directories.stateDir, report))
    this.#ends.use(this.#credentials)
    this.#ends.use(this.launcher)
    this.#ends.use(this.etcd)
    this.#ends.use(this.#front)
    this.#ends.defer(() => this.#runs.close())
    this.#ends.defer(() => this.#units.close())
    this.#ends.use(this.ports)
    this.#ends.use(this.bundles.keepTidy(() => this.#units.bundlesInUse(), report))
    this.#ends.defer(() => this.#timers.close())
    this.#ends.use(this.#background)
    await this.#runs.open(signal)
    await this.#units.open(signal)
    await this.#timers.open(signal)
  }

  /** The fleet's instances here. */
  get instanceHost(): InstanceHost {
    return new AssignedHost(this.#units)
  }

  /** Its verbs, for a caller of this machine. */
  part(caller: Caller): MachinePart {
    return new MachineTarget(this.#target, caller)
  }

  /** The same for a caller of another machine: users are who they are by name. */
  partForPeer(caller: PeerCaller): MachinePart {
    return this.part(this.#callerOf(caller))
  }

  /** Who a caller of this machine is on others: a name, or, for who runs the agent, the same. */
  peerCaller({ uid }: Caller): PeerCaller {
    const rules = uid === 0 || uid === this.#deps.host.uid
    if (rules) return {}
    return { user: this.#users.user(uid)?.name ?? this.#users.userName(uid) }
  }

  /** The keeper's socket of a run here, for a user of another machine; or of one made for it. */
  readonly attach: AttachRun = async (request, { signal, reader }) => {
    const { user } = request
    const peer = user === undefined ? {} : { user }
    if ('run' in request) {
      const run = await this.partForPeer(peer).findRun(request.run, { signal })
      const { socketPath } = await run.address({ signal })
      return { socket: await connectUnix(socketPath, { signal, reader }) }
    }
    const spec = { ...request.spec, detached: false }
    const options = { signal, atOnce: true }
    const { record, dir } = await this.#runs.start(spec, this.#callerOf(peer), options)
    const socket = await connectUnix(joinPath(dir, 'sock'), { signal, reader })
    return { socket, begun: { runId: record.id, machine: this.#options.machine } }
  }

  shipLogs(keeping: LogKeeping): AsyncDisposable {
    const { clock, report } = this.#deps
    const shipping = new LogShipping({ clock, keeping, report }, this.#logDir('unit'))
    shipping.start()
    return shipping
  }

  report(): MachineReport {
    const { clock, host } = this.#deps
    const parts = { proc: this.#proc, units: this.#units, sinceMs: this.#sinceMs }
    return machineReport({ clock, host, ...parts })
  }

  /** Stops every job; resolves when they have ended. */
  async stopJobs(signal: AbortSignal): Promise<void> {
    this.#timers[Symbol.dispose]()
    await Promise.all([
      ...this.#units.own().map((unit) => unit.stopAll('holon down --all', signal)),
      ...this.#units.assigned().map((unit) => unit.endAll('holon down --all', signal)),
      ...this.#runs.list().map((run) => this.#runs.stop(run, signal)),
      this.etcd.stop('holon down --all', { signal }),
    ])
    // Until then it lets them finish what they have under way.
    await this.ports.front.stop(signal)
  }

  /** What SystemStatus says of this agent alone. */
  about(): Omit<SystemStatus, 'machines' | 'missing' | 'units' | 'runs' | 'state'> {
    const { stateDir, runtimeDir } = this.#options.directories
    const warnings: string[] = []
    const { mode } = this.state
    if (mode.kind === 'read-only') warnings.push(`the state takes no changes: ${mode.why}`)
    if (this.launcher.kind === 'sh') warnings.push(this.launcher.note)
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
      keeper: this.launcher.kind,
      warnings,
    }
  }

  #callerOf({ user }: PeerCaller): Caller {
    if (user === undefined) return { uid: this.#deps.host.uid }
    const found = this.#users.user(user)
    // A number is somebody without a name there; here it would be anybody.
    if (found?.name === user) return { uid: found.uid }
    throw new HolonError(
      'permission_denied',
      `${this.#options.machine} has no user ${JSON.stringify(user)}`,
    )
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
      launcher: this.launcher,
      logDir: (job: string) => this.#logDir(job),
      cgroups: (job: string) => jobCgroups(this.#cgroups, job),
      cleanUp: (job: string) => leftovers.cleanUp(job),
      untilGone: (pid: number) => leftovers.untilGone(pid),
      report: this.#deps.report,
    }
  }

  #makeEtcd(): ServiceJob {
    return new ServiceJob(this.#shared(), {
      ...etcdJob,
      dir: this.#job(etcdJob.id),
      logDir: this.#logDir(etcdJob.id),
      ownerUid: this.#deps.host.uid,
      // Renewals of leases wait for it.
      nice: this.#options.jobNice === undefined ? undefined : raisedNice,
    })
  }

  #makePorts(): Ports {
    const { clock, host, report } = this.#deps
    const { packageDir, directories } = this.#options
    return new Ports(
      { clock, report, service: this.#front, wanted: () => this.#units.wantedPorts() },
      {
        argv: [host.nodePath, joinPath(packageDir, 'dist/front.cjs')],
        socketPath: joinPath(directories.runtimeDir, 'front.sock'),
        logDir: this.#logDir(frontJob.id),
      },
    )
  }

  #makeRuns(): Runs {
    return new Runs({
      ...this.#shared(),
      agentUid: this.#deps.host.uid,
      jobsDir: this.#job(''),
      findExecutable,
    })
  }

  #makeSecrets(): MachineSecrets {
    const { clock, random } = this.#deps
    const { directories, machine } = this.#options
    return new MachineSecrets({
      clock,
      random,
      state: this.state,
      writer: `agent ${machine}`,
      dir: secretsDir(directories.stateDir),
      usersOf: (name) =>
        this.#units.own().flatMap(({ name: unit, loaded }) => {
          return loaded.kind === 'loaded' && secretsOf(loaded.unit).includes(name) ? [unit] : []
        }),
    })
  }

  #makeUnits(): Units {
    const shared = this.#shared()
    const { host, report } = this.#deps
    const facts = {
      host,
      users: this.#users,
      bootId: this.#proc.bootId,
      kernelRelease: this.#proc.kernelRelease,
    }
    return new Units({
      ...shared,
      serving: this.ports.serving,
      compile: unitCompiler({
        ...shared,
        ...facts,
        serving: this.ports.serving,
        bundles: this.bundles,
        holonPath: joinPath(this.#options.packageDir, 'holon'),
        credentials: this.#credentials,
        secrets: (names, signal) => this.#secrets.openAll(names, signal),
      }),
      removeCredentials: (job) => this.#credentials.remove(job),
      sweepCredentials: () => this.#credentials.keepOnly((job) => exists(this.#job(job))),
      checkConditions: conditionChecker({ ...facts, proc: this.#proc }),
      bootId: facts.bootId,
      jobDir: (job) => this.#job(job),
      jobUnits: () => listDir(this.#job('unit')),
      jobNumbers: (unit) =>
        listDir(this.#job(`unit/${unit}`))
          .map(Number)
          .filter(Number.isInteger),
      records: this.#records(),
      runInBackground: (what, work, timeoutMs) => this.#background.run(what, timeoutMs, work),
      report,
    })
  }

  #makeTimers(): MachineTimers {
    const { clock, report } = this.#deps
    return new MachineTimers({
      clock,
      report,
      machine: this.#options.machine,
      bootId: this.#proc.bootId,
      records: this.#records(),
      units: this.#units,
      runInBackground: (what, work, timeoutMs) => this.#background.run(what, timeoutMs, work),
    })
  }

  #records(): Records {
    const { random } = this.#deps
    return new Records({ random, state: this.state, writer: `agent ${this.#options.machine}` })
  }

  #makeTarget(): MachineTargetDeps {
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
      timers: this.#timers,
      unitStatus: {
        machine,
        cgroups: (job) => jobCgroups(this.#cgroups, job),
        pids: (instance) => this.#instancePids(instance),
        modifiedAtMs,
        portProblem: (port) => this.ports.problemOf(port),
      },
      runs: this.#runs,
      logs,
      logCopies: this.logCopies,
      secrets: this.#secrets,
      logDir: (job) => this.#logDir(job),
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
    for (const [job, { id }] of [
      [this.etcd, etcdJob],
      [this.#front, frontJob],
    ] as const) {
      if (job.keeperPid !== undefined) labels.set(job.keeperPid, id)
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
}

/** One top group per agent, so that several on one host keep apart. */
function cgroupName({ scope, runtimeDir }: Directories): string {
  return scope === 'system' ? 'holon' : `holon${runtimeDir.replaceAll(/[^A-Za-z0-9]+/g, '-')}`
}
