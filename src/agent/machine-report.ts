/** What this machine says of itself: to its peers, to who chooses a machine, in listings. */
import type { Clock } from '../base/clock.ts'
import { version } from '../base/version.ts'
import { findEtcd } from '../cluster/etcd/local-member.ts'
import type { Host } from '../io/host.ts'
import type { ProcFs } from '../io/proc.ts'
import type { MachineReport } from '../kernel/types.ts'
import type { Units } from './units/units.ts'

export interface MachineReportDeps {
  readonly clock: Clock
  readonly host: Host
  readonly proc: ProcFs
  readonly units: Units
  /** When this agent started, wall clock. */
  readonly sinceMs: number
}

/** uname's names for what Node calls x64 and arm64. */
const unameArch: Readonly<Record<string, string>> = { x64: 'x86_64', arm64: 'aarch64' }

export function machineReport(deps: MachineReportDeps): MachineReport {
  const { clock, host, proc, units } = deps
  const facts = proc.machineFacts()
  const pressure = proc.pressure()
  const running = (phase: string | undefined) => phase === 'running' || phase === 'exited'
  return {
    atMs: clock.wallMs(),
    version,
    arch: unameArch[host.arch] ?? host.arch,
    hostname: host.hostname(),
    bootId: proc.bootId,
    cpuCount: facts.cpuCount,
    memoryBytes: facts.memoryBytes,
    memoryAvailableBytes: facts.memoryAvailableBytes,
    load1: facts.load[0],
    ...(pressure === undefined ? {} : { pressure }),
    units: units
      .list()
      .filter((unit) => unit.instances().some(({ state, lost }) => !lost && running(state?.phase)))
      .length,
    canKeepState: findEtcd() !== undefined,
    upSinceMs: proc.bootedAtMs,
    agentPid: host.pid,
    agentSinceMs: deps.sinceMs,
  }
}
