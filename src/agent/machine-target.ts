/** This machine's part of the kernel's System, as one caller may use it. */

import { HolonError } from '../base/errors.ts'
import type { KeptLog, KeptLogQuery } from '../cluster/logs-kept/kept-log.ts'
import type { MachinePart, PageWish } from '../cluster/peer.ts'
import { SecretsTarget } from '../cluster/secrets/secrets-target.ts'
import type { ProcFs } from '../io/proc.ts'
import { sendSignal } from '../io/proc-signal.ts'
import type { Process, Run, Unit, UnitFile } from '../kernel/kernel.ts'
import type { LogPage, LogQuery, LogUsage } from '../kernel/log-types.ts'
import type { Secrets } from '../kernel/secrets.ts'
import type {
  CallOptions,
  ProcessId,
  ProcessQuery,
  RunListing,
  RunSpec,
  UnitListing,
} from '../kernel/types.ts'
import { isTimerName } from '../unit/timer-unit.ts'
import type { LogCopies } from './log-copies.ts'
import { type LogSourceAddress, type Logs, logsEndAtMs, unitLogs } from './logs.ts'
import type { MachineSecrets } from './machine-secrets.ts'
import type { ProcessTable } from './process-table.ts'
import { RunTarget } from './runs/run-target.ts'
import type { Runs } from './runs/runs.ts'
import type { MachineTimers } from './units/machine-timers.ts'
import type { ManagedTimer } from './units/managed-timer.ts'
import { TimerTarget } from './units/timer-target.ts'
import { type UnitStatusDeps, unitStatus } from './units/unit-status.ts'
import { UnitTarget } from './units/unit-target.ts'
import type { Units } from './units/units.ts'
import { type Caller, requireOwner } from './users.ts'

export interface MachineTargetDeps {
  readonly machine: string
  readonly agentUid: number
  readonly proc: ProcFs
  readonly processTable: ProcessTable
  readonly units: Units
  readonly timers: MachineTimers
  readonly unitStatus: UnitStatusDeps
  readonly runs: Runs
  readonly logs: Logs
  readonly logCopies: LogCopies
  readonly secrets: MachineSecrets
  readonly logDir: (job: string) => string
}

export class MachineTarget implements MachinePart {
  readonly #deps: MachineTargetDeps
  readonly #caller: Caller

  constructor(deps: MachineTargetDeps, caller: Caller) {
    this.#deps = deps
    this.#caller = caller
  }

  async ping(payload: string): Promise<string> {
    return payload
  }

  processPage(query: ProcessQuery, page: PageWish, options: CallOptions): Promise<string> {
    return this.#deps.processTable.page(query, page, options)
  }

  async process(id: ProcessId): Promise<Process> {
    this.#requireHere(id.machine)
    return {
      info: (options) => this.#deps.processTable.list({ pids: [id.pid] }, options),
      signal: async (signal) =>
        sendSignal(this.#deps.proc, id, signal, { callerUid: this.#caller.uid }),
    }
  }

  async run(spec: RunSpec, options: CallOptions): Promise<Run> {
    return this.#runTarget(await this.#deps.runs.start(spec, this.#caller, options))
  }

  async runs(): Promise<RunListing> {
    const own = this.#deps.runs
      .list()
      .filter((run) => this.#caller.uid === 0 || run.record.uid === this.#caller.uid)
    return { runs: own.map((run) => this.#deps.runs.info(run)), missing: [] }
  }

  async findRun(id: string): Promise<Run> {
    return this.#runTarget(this.#deps.runs.find(id))
  }

  async units(): Promise<UnitListing> {
    const units = this.#deps.units.list()
    const services = units.map((unit) => unitStatus(this.#deps.unitStatus, unit, false))
    const timers = this.#deps.timers.list().map((timer) => timer.status())
    return { units: [...services, ...timers], missing: [] }
  }

  async unit(name: string): Promise<Unit> {
    if (isTimerName(name)) return this.#timerTarget(this.#deps.timers.find(name))
    return this.#unitTarget(this.#deps.units.find(name))
  }

  async load(file: UnitFile, { signal }: CallOptions): Promise<Unit> {
    requireOwner(this.#caller, this.#deps.agentUid, `load ${file.name}; root may`)
    const by = `uid ${this.#caller.uid}`
    const { timers, units } = this.#deps
    if (isTimerName(file.name)) return this.#timerTarget(await timers.load(file, by, signal))
    return this.#unitTarget(await units.load(file, by, signal))
  }

  async logUsage(): Promise<LogUsage> {
    const { logs, logCopies } = this.#deps
    const [own, copies] = [logs.usage(), logCopies.usage()]
    return { bytes: own.bytes + copies.bytes, files: own.files + copies.files, missing: [] }
  }

  async keptLogs(query: KeptLogQuery): Promise<readonly KeptLog[]> {
    const { unit, instances } = query
    this.#mayReadLogs(unit)
    const { logCopies, machine, units } = this.#deps
    const copies = await logCopies.list(query)
    // What is here answers for itself.
    if (units.get(unit) !== undefined) return copies
    const endsAtMs = await logsEndAtMs(this.#ownLogs(unit, instances))
    return endsAtMs === undefined ? copies : [...copies, { machine, endsAtMs }]
  }

  async keptLogPage(
    { machineId, unit }: { readonly machineId?: string; readonly unit: string },
    query: LogQuery,
    { signal }: CallOptions,
  ): Promise<LogPage> {
    this.#mayReadLogs(unit)
    const { logs, logCopies } = this.#deps
    const sources =
      machineId === undefined
        ? this.#ownLogs(unit, query.instances)
        : logCopies.sources(machineId, unit, query.instances)
    return logs.read(sources, query, { signal })
  }

  #ownLogs(unit: string, instances?: readonly number[]): readonly LogSourceAddress[] {
    return unitLogs(this.#deps.logDir('unit'), unit, instances)
  }

  #mayReadLogs(unit: string): void {
    requireOwner(this.#caller, this.#deps.agentUid, `read the logs of ${unit}; root may`)
  }

  async secrets(): Promise<Secrets> {
    const { agentUid, machine, secrets } = this.#deps
    requireOwner(this.#caller, agentUid, 'use secrets; root may')
    return new SecretsTarget(secrets, `uid ${this.#caller.uid} on ${machine}`)
  }

  #runTarget(run: Parameters<Runs['info']>[0]): Run {
    return new RunTarget(this.#deps, run, this.#caller)
  }

  #unitTarget(unit: ReturnType<Units['find']>): Unit {
    const { agentUid, logs, logDir, units } = this.#deps
    const unload = (name: string, signal: AbortSignal) => units.unload(name, signal)
    return new UnitTarget(
      { status: this.#deps.unitStatus, agentUid, logs, logDir, unload },
      unit,
      this.#caller,
    )
  }

  #timerTarget(timer: ManagedTimer): Unit {
    return new TimerTarget(this.#deps, timer, this.#caller)
  }

  #requireHere(machine: string): void {
    if (machine === this.#deps.machine) return
    throw new HolonError(
      'not_found',
      `there is no machine ${JSON.stringify(machine)}; \`holon machines\` lists them`,
    )
  }
}
