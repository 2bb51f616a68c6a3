/**
 * What `top` shows of two readings of the process table: who used how much CPU in between. Pure.
 */
import type { MissingMachine, ProcessInfo, ProcessListing } from '../../../kernel/types.ts'
import type { MachineFacts } from './columns.ts'

export interface TopRow {
  readonly info: ProcessInfo
  /** Of one core: a process with three busy threads has 300. */
  readonly cpuPercent: number
  readonly memoryPercent: number
}

export interface TopMachine {
  readonly facts: MachineFacts
  /** Of all cores together. */
  readonly cpuPercent: number
}

export interface TopSample {
  readonly rows: readonly TopRow[]
  readonly machines: readonly TopMachine[]
  readonly missing: readonly MissingMachine[]
}

/** `before` is the reading before `now`; without one the shares are those since each began. */
export function sample(now: ProcessListing, before: ProcessListing | undefined): TopSample {
  const factsNow = new Map(now.machines.map((facts) => [facts.machine, facts]))
  const factsBefore = new Map(before?.machines.map((facts) => [facts.machine, facts]))
  const cpuBefore = new Map(before?.processes.map((row) => [identity(row), cpuMs(row)]))
  const rows = now.processes.map((info): TopRow => {
    const facts = factsNow.get(info.machine)
    const uptimeMs = facts?.uptimeMs ?? 0
    const startMs = info.startTicks * 10
    // A process that began since the last reading used all of its time since then.
    const used = cpuMs(info) - (cpuBefore.get(identity(info)) ?? 0)
    const sinceMs = Math.max(startMs, factsBefore.get(info.machine)?.uptimeMs ?? 0)
    return {
      info,
      cpuPercent: percent(used, uptimeMs - sinceMs),
      memoryPercent: percent(info.rssBytes, facts?.memoryBytes ?? 0),
    }
  })
  const machines = now.machines.map((facts): TopMachine => {
    const previous = factsBefore.get(facts.machine)
    const busy = facts.cpuBusyMs - (previous?.cpuBusyMs ?? 0)
    const idle = facts.cpuIdleMs - (previous?.cpuIdleMs ?? 0)
    return { facts, cpuPercent: percent(busy, busy + idle) }
  })
  return { rows, machines, missing: now.missing }
}

const identity = (row: ProcessInfo): string => `${row.machine}:${row.pid}:${row.startTicks}`
const cpuMs = (row: ProcessInfo): number => row.userMs + row.systemMs

function percent(part: number, whole: number): number {
  return whole <= 0 || part <= 0 ? 0 : (part * 100) / whole
}
