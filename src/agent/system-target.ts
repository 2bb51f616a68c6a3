/**
 * The kernel's System as one caller may use it: the main object of every link. On one machine the
 * whole is this machine.
 */
import { HolonError } from '../base/errors.ts'
import type { ProcFs } from '../io/proc.ts'
import { sendSignal } from '../io/proc-signal.ts'
import type { Machine, Process, Run, System, Unit, UnitFile } from '../kernel/kernel.ts'
import type {
  CallOptions,
  LogUsage,
  MachineInfo,
  ProcessId,
  ProcessListing,
  ProcessQuery,
  RunInfo,
  RunSpec,
  SystemStatus,
  UnitStatus,
} from '../kernel/types.ts'
import type { Logs } from './logs.ts'
import type { ProcessTable } from './process-table.ts'
import { RunTarget } from './runs/run-target.ts'
import type { Runs } from './runs/runs.ts'
import { type UnitStatusDeps, unitStatus } from './units/unit-status.ts'
import { UnitTarget } from './units/unit-target.ts'
import type { Units } from './units/units.ts'
import { type Caller, requireOwner } from './users.ts'

export interface SystemTargetDeps {
  readonly machine: string
  readonly agentUid: number
  readonly proc: ProcFs
  readonly processTable: ProcessTable
  readonly units: Units
  readonly unitStatus: UnitStatusDeps
  readonly runs: Runs
  readonly logs: Logs
  readonly logDir: (job: string) => string
  readonly machineInfo: () => MachineInfo
  /** Everything of SystemStatus that does not depend on units and runs. */
  readonly about: () => Omit<SystemStatus, 'machines' | 'missing' | 'units' | 'runs'>
  /** Ends the agent once the answer is on its way. */
  readonly shutdown: (how: { readonly stopJobs: boolean }, signal: AbortSignal) => Promise<void>
}

export class SystemTarget implements System {
  readonly #deps: SystemTargetDeps
  readonly #caller: Caller

  constructor(deps: SystemTargetDeps, caller: Caller) {
    this.#deps = deps
    this.#caller = caller
  }

  async ping(payload: string): Promise<string> {
    return payload
  }

  async status(): Promise<SystemStatus> {
    const units: Record<string, number> = {}
    for (const { active } of await this.units()) units[active] = (units[active] ?? 0) + 1
    const runs = this.#deps.runs
      .list()
      .filter((run) => this.#deps.runs.info(run).state === 'running')
    return {
      ...this.#deps.about(),
      machines: [this.#deps.machineInfo()],
      missing: [],
      units,
      runs: runs.length,
    }
  }

  async machines(): Promise<readonly MachineInfo[]> {
    return [this.#deps.machineInfo()]
  }

  async machine(name: string): Promise<Machine> {
    this.#requireHere(name)
    return {
      info: async () => this.#deps.machineInfo(),
      processes: (query, options) => this.processes(query, options),
    }
  }

  processes(query: ProcessQuery, options: CallOptions): Promise<ProcessListing> {
    return this.#deps.processTable.list(query, options)
  }

  async process(id: ProcessId): Promise<Process> {
    this.#requireHere(id.machine)
    return {
      info: (options) => this.processes({ pids: [id.pid] }, options),
      signal: async (signal) =>
        sendSignal(this.#deps.proc, id, signal, { callerUid: this.#caller.uid }),
    }
  }

  async run(spec: RunSpec, { signal }: CallOptions): Promise<Run> {
    return this.#runTarget(await this.#deps.runs.start(spec, this.#caller, signal))
  }

  async runs(): Promise<readonly RunInfo[]> {
    return this.#deps.runs
      .list()
      .filter((run) => this.#caller.uid === 0 || run.record.uid === this.#caller.uid)
      .map((run) => this.#deps.runs.info(run))
  }

  async findRun(id: string): Promise<Run> {
    return this.#runTarget(this.#deps.runs.find(id))
  }

  async units(): Promise<readonly UnitStatus[]> {
    return this.#deps.units.list().map((unit) => unitStatus(this.#deps.unitStatus, unit, false))
  }

  async unit(name: string): Promise<Unit> {
    return this.#unitTarget(this.#deps.units.find(name))
  }

  async load(file: UnitFile, { signal }: CallOptions): Promise<Unit> {
    requireOwner(this.#caller, this.#deps.agentUid, `load ${file.name}; root may`)
    return this.#unitTarget(await this.#deps.units.load(file, `uid ${this.#caller.uid}`, signal))
  }

  async logUsage(): Promise<LogUsage> {
    return this.#deps.logs.usage()
  }

  async shutdown(how: { readonly stopJobs: boolean }, { signal }: CallOptions): Promise<void> {
    requireOwner(this.#caller, this.#deps.agentUid, 'end the agent; root may')
    await this.#deps.shutdown(how, signal)
  }

  #runTarget(run: Parameters<Runs['info']>[0]): Run {
    return new RunTarget(this.#deps, run, this.#caller)
  }

  #unitTarget(unit: ReturnType<Units['find']>): Unit {
    const { agentUid, logs, logDir } = this.#deps
    return new UnitTarget(
      { status: this.#deps.unitStatus, agentUid, logs, logDir },
      unit,
      this.#caller,
    )
  }

  #requireHere(machine: string): void {
    if (machine === this.#deps.machine) return
    throw new HolonError(
      'not_found',
      `there is no machine ${JSON.stringify(machine)}; \`holon machines\` lists them`,
    )
  }
}
