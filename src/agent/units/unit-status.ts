/**
 * A managed unit as the values that doors show: status, systemctl's properties, what comes next.
 */
import { cgroupCpuMs, cgroupMemoryBytes } from '../../io/cgroups.ts'
import type { ActiveState, InstanceStatus, UnitStatus } from '../../kernel/types.ts'
import type { Instance } from './instance.ts'
import type { ManagedUnit } from './managed-unit.ts'

/** What is shown of a unit on this machine, whoever wants it. */
export type ShownUnit = Pick<
  ManagedUnit,
  | 'name'
  | 'scope'
  | 'record'
  | 'loaded'
  | 'wanted'
  | 'unmet'
  | 'instances'
  | 'instancesWanted'
  | 'journal'
>

export interface UnitStatusDeps {
  readonly machine: string
  readonly cgroups: (job: string) => readonly string[]
  /** The instance's processes, its main one first. */
  readonly pids: (instance: Instance) => readonly number[]
  /** When the source file was changed last; undefined when it is gone. */
  readonly modifiedAtMs: (path: string) => number | undefined
  /** Why a public port is not open here, if it should be and is not. */
  readonly portProblem: (port: number) => string | undefined
}

const activeByPhase: Readonly<Record<string, ActiveState>> = {
  'start-pre': 'activating',
  start: 'activating',
  'start-post': 'activating',
  'auto-restart': 'activating',
  unready: 'activating',
  running: 'active',
  unhealthy: 'active',
  'reload-notify': 'active',
  exited: 'active',
  stop: 'deactivating',
  'stop-sigterm': 'deactivating',
  'stop-sigkill': 'deactivating',
  'stop-post': 'deactivating',
  'final-sigkill': 'deactivating',
  dead: 'inactive',
  failed: 'failed',
}

/** Of an instance alone, whatever its unit wants. */
export function activeOf(instance: Instance): ActiveState {
  return activeByPhase[subOf(instance)] ?? 'inactive'
}

function subOf(instance: Instance): string {
  return instance.lost ? 'failed' : (instance.phase ?? 'dead')
}

function instanceStatus(
  deps: UnitStatusDeps,
  instance: Instance,
  withProcesses: boolean,
): InstanceStatus {
  const state = instance.state
  const groups = withProcesses ? deps.cgroups(instance.job) : []
  const memoryBytes = cgroupMemoryBytes(groups)
  const cpuMs = cgroupCpuMs(groups)
  const { port, unready } = instance
  return {
    name: instance.name,
    number: instance.number,
    machine: deps.machine,
    active: activeOf(instance),
    sub: subOf(instance),
    pid: instance.lost ? 0 : (state?.pid ?? 0),
    sinceMs: state?.sinceMs ?? 0,
    startedAtMs: state?.startedMs ?? 0,
    restarts: state?.restarts ?? 0,
    result: instance.lost ? 'keeper-lost' : (state?.result ?? 'success'),
    ...(port === undefined ? {} : { port }),
    ...(unready === undefined ? {} : { unready }),
    ...(state?.statusText === undefined ? {} : { statusText: state.statusText }),
    ...(state?.statusErrno === undefined ? {} : { statusErrno: state.statusErrno }),
    pids: withProcesses ? deps.pids(instance) : [],
    ...(state?.exit === undefined ? {} : { exit: state.exit }),
    ...(memoryBytes === undefined ? {} : { memoryBytes }),
    ...(cpuMs === undefined ? {} : { cpuMs }),
  }
}

/** The worst of its instances names the whole: what an operator must look at comes first. */
const worstFirst: readonly ActiveState[] = [
  'failed',
  'deactivating',
  'activating',
  'active',
  'inactive',
]

/** `withProcesses`: also what must be read from the system for each instance. */
export function unitStatus(
  deps: UnitStatusDeps,
  unit: ShownUnit,
  withProcesses: boolean,
): UnitStatus {
  const instances = unit
    .instances()
    .map((instance) => instanceStatus(deps, instance, withProcesses))
  const worst = worstFirst
    .map((active) => instances.find((instance) => instance.active === active))
    .find((instance) => instance !== undefined)
  const { record, loaded } = unit
  const up = instances.filter((instance) => instance.active === 'active').length
  const wantedCount = unit.instancesWanted()
  const short = up > 0 && (up < wantedCount || up < instances.length)
  return {
    name: unit.name,
    scope: unit.scope,
    machines: [deps.machine],
    description: loaded.kind === 'loaded' ? loaded.unit.description : '',
    load: loaded.kind === 'loaded' ? 'loaded' : 'bad-setting',
    active: worst?.active ?? 'inactive',
    sub: short ? `${worst?.sub ?? 'dead'} (${up}/${wantedCount} up)` : (worst?.sub ?? 'dead'),
    enabled: record.enabled,
    wanted: unit.wanted,
    instances,
    instancesWanted: wantedCount,
    loadedAtMs: record.loadedAtMs,
    notes: unitNotes(deps, unit),
    ...servesPart(deps, unit),
    ...(record.sourcePath === undefined ? {} : { sourcePath: record.sourcePath }),
    ...(unit.unmet === undefined ? {} : { unmet: unit.unmet.which }),
  }
}

function servesPart({ machine, portProblem }: UnitStatusDeps, { loaded }: ShownUnit) {
  const terms = loaded.kind === 'loaded' ? loaded.unit.serves : undefined
  if (terms === undefined) return {}
  const { port, protocol, hosts } = terms
  const why = portProblem(port)
  const problems = why === undefined ? [] : [`${machine}: ${why}`]
  return { serves: { port, protocol, hosts, problems } }
}

function unitNotes(deps: UnitStatusDeps, unit: ShownUnit): readonly string[] {
  const notes: string[] = []
  const { sourcePath, loadedAtMs } = unit.record
  if (unit.loaded.kind === 'refused') notes.push(unit.loaded.error.message)
  if (unit.unmet !== undefined) {
    const { assertion, which } = unit.unmet
    notes.push(`the last start ${assertion ? 'failed' : 'was skipped'}: ${which} is not met`)
  }
  if (sourcePath !== undefined) {
    const changedAtMs = deps.modifiedAtMs(sourcePath)
    if (changedAtMs !== undefined && changedAtMs > loadedAtMs) {
      notes.push(
        `${sourcePath} was changed since it was loaded; \`holon restart ${sourcePath}\` takes it up`,
      )
    }
  }
  return notes
}

/** One sentence each: what will happen without anyone doing anything. */
export function whatComesNext(unit: ShownUnit, status: UnitStatus): readonly string[] {
  if (unit.loaded.kind === 'refused') return ['nothing starts until the unit file is corrected']
  const { restart } = unit.loaded.unit
  const untilStarted = `until \`holon start ${unit.name}\``
  const next: Readonly<Record<ActiveState, string>> = {
    active:
      restart === 'no'
        ? 'is not restarted when it ends (Restart=no)'
        : `is restarted by Restart=${restart} when it ends`,
    activating: 'is starting',
    deactivating: 'is stopping; SIGKILL follows after TimeoutStopSec=',
    failed: `stays as it is ${untilStarted}`,
    inactive: `stays down ${untilStarted}`,
  }
  if (unit.unmet !== undefined && status.instances.length === 0) {
    return [`${unit.name} ${next.inactive}, which looks at its conditions again`]
  }
  return status.instances.map(({ name, active, sub }) =>
    sub === 'auto-restart'
      ? `${name} is started again after RestartSec=`
      : `${name} ${next[active]}`,
  )
}

/** systemctl show's names for what Holon knows; of the first instance where a unit has several. */
export function unitProperties(unit: ShownUnit, status: UnitStatus): Record<string, string> {
  const first = status.instances[0]
  const exit = first?.exit
  const loaded = unit.loaded.kind === 'loaded' ? unit.loaded.unit : undefined
  const sub = first?.sub ?? 'dead'
  return {
    Id: status.name,
    Names: status.name,
    Description: status.description || status.name,
    LoadState: status.load,
    ActiveState: status.active,
    SubState: sub,
    UnitFileState: status.enabled ? 'enabled' : 'disabled',
    FragmentPath: status.sourcePath ?? '',
    Type: loaded?.type ?? '',
    Restart: loaded?.restart ?? '',
    MainPID: String(first?.pid ?? 0),
    ExecMainPID: String(first?.pid ?? 0),
    ExecMainStartTimestamp: timestamp(first?.startedAtMs),
    ExecMainCode: exit === undefined ? '0' : exit.signal === undefined ? '1' : '2',
    ExecMainStatus: String(exit?.code ?? exit?.signal ?? 0),
    StateChangeTimestamp: timestamp(first?.sinceMs),
    NRestarts: String(first?.restarts ?? 0),
    Result: first?.result ?? 'success',
    NotifyAccess: loaded?.notifyAccess ?? '',
    StatusText: first?.statusText ?? '',
    StatusErrno: String(first?.statusErrno ?? 0),
    MemoryCurrent: first?.memoryBytes === undefined ? '[not set]' : String(first.memoryBytes),
    CPUUsageNSec:
      first?.cpuMs === undefined ? '[not set]' : String(Math.round(first.cpuMs * 1_000_000)),
    TasksCurrent: String(first?.pids.length ?? 0),
    Instances: String(status.instancesWanted),
    ConditionResult: unit.unmet?.assertion === false ? 'no' : 'yes',
    AssertResult: unit.unmet?.assertion === true ? 'no' : 'yes',
    InstancesActive: String(status.instances.filter((i) => i.active === 'active').length),
  }
}

function timestamp(wallMs: number | undefined): string {
  return wallMs === undefined || wallMs === 0 ? '' : `@${Math.floor(wallMs / 1000)}`
}
