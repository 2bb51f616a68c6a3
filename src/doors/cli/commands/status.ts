/**
 * `holon status`: this system; `holon status UNIT…`: units, with systemctl's look and exit
 * statuses.
 */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import type { Unit } from '../../../kernel/kernel.ts'
import type {
  InstanceStatus,
  MachineInfo,
  PortPart,
  SystemStatus,
  TimerPart,
  UnitStatus,
} from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { rolloutText, roundText } from '../fleet-part.ts'
import { formatEntry } from '../log-format.ts'
import { reportMissing } from '../missing.ts'
import { printable } from '../ps/width.ts'
import { ago, bytes, duration, isoTime, leftText, sinceText } from '../time.ts'
import { resolveWholeUnit } from '../unit-arguments.ts'
import { stateTrouble } from './machines.ts'
import { describeFailure } from './unit-verbs.ts'

export function command(context: CliContext): Command {
  return new Command('status')
    .description('Shows this system, or units: exit 0 if all run, 3 if one does not, 4 if unknown.')
    .argument('[unit...]')
    .option('-n, --lines <count>', 'log lines per unit', '10')
    .option('--json', 'as JSON')
    .action(async (units: readonly string[], options: { json?: boolean; lines: string }) => {
      using limit = context.deadline()
      const { signal } = limit
      const system = await context.system()
      if (units.length === 0) {
        const status = await system.status({ signal })
        const text = options.json
          ? `${JSON.stringify(status, undefined, 2)}\n`
          : overview(context, status)
        context.stdout.write(text)
        reportMissing(context, status.missing, status.machines.length - awayCount(status))
        return
      }
      const how = { signal, load: false, verb: 'status', forOne: 'why' } as const
      const statuses: UnitStatus[] = []
      for (const text of units) {
        const { unit } = await resolveWholeUnit(system, text, how).catch(unknownUnit)
        const status = await unit.status({ signal })
        statuses.push(status)
        if (!options.json) {
          if (statuses.length > 1) context.stdout.write('\n')
          context.stdout.write(describeUnit(context, status))
          if (status.timer !== undefined) continue
          context.stdout.write(await lastLines(unit, Number(options.lines), signal))
        }
      }
      if (options.json) context.stdout.write(`${JSON.stringify(statuses, undefined, 2)}\n`)
      context.setExit(statuses.every((status) => status.active === 'active') ? 0 : 3)
    })
}

function unknownUnit(error: unknown): never {
  if (!(error instanceof HolonError) || error.code !== 'not_found') throw error
  throw new HolonError('not_found', error.message, { details: { exitStatus: 4 }, cause: error })
}

function overview(context: CliContext, status: SystemStatus): string {
  const nowMs = context.clock.wallMs()
  const units = Object.entries(status.units).map(([state, count]) => `${count} ${state}`)
  const lines = [
    `Holon ${status.version}`,
    `     Agent: pid ${status.agentPid}, up ${duration(nowMs - status.agentSinceMs)}, uid ${status.uid}`,
    `     State: ${status.stateDir} (${status.state.engine})`,
    `   Runtime: ${status.runtimeDir}`,
    `    Keeper: ${status.keeper === 'c' ? 'compiled' : 'sh fallback'}`,
    `     Units: ${units.length === 0 ? 'none' : units.join(', ')}`,
    `      Runs: ${status.runs} running`,
    `  Machines: ${countMachines(status.machines)}`,
  ]
  const names = status.machines.map(({ name }) => name.length)
  const widest = Math.max(0, ...names)
  for (const machine of status.machines) {
    lines.push(`    ${machine.name.padEnd(widest)}  ${describeMachine(machine, nowMs)}`)
  }
  const trouble = stateTrouble(status.state, nowMs)
  if (trouble !== undefined) lines.push(`      Note: ${trouble}`)
  for (const note of [...status.state.notes, ...status.warnings]) lines.push(`      Note: ${note}`)
  return `${lines.join('\n')}\n`
}

/** "3 up, 1 down". */
function countMachines(machines: readonly MachineInfo[]): string {
  return (['up', 'suspect', 'down'] as const)
    .map((state) => [machines.filter(({ status }) => status === state).length, state] as const)
    .filter(([count, state]) => count > 0 || state === 'up')
    .map(([count, state]) => `${count} ${state}`)
    .join(', ')
}

function describeMachine(machine: MachineInfo, nowMs: number): string {
  const { report, intent, lastSeenAtMs } = machine
  const status = intent === undefined ? machine.status : `${machine.status}, ${intent.wish}`
  if (machine.status !== 'up') {
    if (lastSeenAtMs === undefined) return `${status}, not seen yet`
    return `${status}, last seen ${sinceText(nowMs - lastSeenAtMs)}`
  }
  if (report === undefined) return status
  const up = duration(nowMs - report.upSinceMs)
  const memory = `${bytes(report.memoryAvailableBytes)} of ${bytes(report.memoryBytes)} free`
  const load = `load ${report.load1.toFixed(2)} on ${report.cpuCount} cores`
  return `${status}, up ${up}, ${load}, ${memory}`
}

/** Machines in the listing that did not answer, too. */
function awayCount({ machines, missing }: SystemStatus): number {
  const away = new Set(missing.map(({ machine }) => machine))
  return machines.filter(({ name }) => away.has(name)).length
}

function describeUnit(context: CliContext, status: UnitStatus): string {
  const dot = { active: '●', failed: '×' }[status.active as string] ?? '○'
  const title = status.description === '' ? '' : ` - ${status.description}`
  const enabled = status.enabled ? 'enabled' : 'disabled'
  const lines = [
    `${dot} ${status.name}${title}`,
    `     Loaded: ${status.load} (${status.sourcePath ?? 'given as text'}; ${enabled})`,
    `     Active: ${status.active} (${status.sub})`,
  ]
  if (status.timer !== undefined) lines.push(...describeTimer(context, status.timer))
  else if (status.instancesWanted !== 1) lines.push(`  Instances: ${status.instancesWanted} wanted`)
  const { fleet } = status
  if (fleet !== undefined) {
    lines.push(`    Rollout: ${rolloutText(status, fleet, context.clock.wallMs())}`)
    const round = roundText(fleet, context.clock.wallMs())
    if (round !== undefined) lines.push(`      Round: ${round}`)
  }
  if (status.serves !== undefined) lines.push(...describePort(status.serves))
  for (const note of status.notes) lines.push(`       Note: ${note}`)
  for (const instance of status.instances) lines.push(...describeInstance(context, instance))
  for (const waits of fleet?.waiting ?? []) lines.push(`   ${waits}`)
  return `${lines.join('\n')}\n`
}

function describePort({ port, protocol, hosts, problems }: PortPart): readonly string[] {
  const names = hosts.length === 0 ? '' : ` for ${hosts.join(', ')}`
  const how = protocol === 'proxy' ? 'tcp with the PROXY protocol' : protocol
  return [
    `     Serves: ${how} on port ${port} of every machine${names}`,
    ...problems.map((problem) => `       Note: port ${port} is not open on ${problem}`),
  ]
}

function describeTimer(context: CliContext, timer: TimerPart): readonly string[] {
  const { unit, nextMs, lastMs, machines, waits } = timer
  const nowMs = context.clock.wallMs()
  const left = nextMs === undefined ? '' : leftText(nextMs - nowMs)
  const next = nextMs === undefined ? 'n/a' : `${isoTime(nextMs)}; ${left}`
  const last = lastMs === undefined ? 'n/a' : `${isoTime(lastMs)}; ${ago(nowMs - lastMs)}`
  const where = machines.length === 0 ? '' : ` (on ${machines.join(', ')})`
  return [
    `    Trigger: ${next}`,
    `       Last: ${last}`,
    `   Triggers: ${unit}${where}`,
    `      Waits: ${waits}`,
  ]
}

function describeInstance(context: CliContext, instance: InstanceStatus): readonly string[] {
  const since =
    instance.sinceMs === 0
      ? ''
      : ` since ${isoTime(instance.sinceMs)}; ${ago(context.clock.wallMs() - instance.sinceMs)}`
  const lines = [
    `   ${instance.name} on ${instance.machine}: ${instance.active} (${instance.sub})${since}`,
  ]
  const facts: string[] = []
  if (instance.pid !== 0) facts.push(`Main PID: ${instance.machine}:${instance.pid}`)
  if (instance.pids.length > 0) facts.push(`Tasks: ${instance.pids.length}`)
  if (instance.memoryBytes !== undefined) facts.push(`Memory: ${bytes(instance.memoryBytes)}`)
  if (instance.cpuMs !== undefined) facts.push(`CPU: ${(instance.cpuMs / 1000).toFixed(3)}s`)
  if (instance.port !== undefined) facts.push(`Port: ${instance.port}`)
  if (instance.restarts > 0) facts.push(`Restarts: ${instance.restarts}`)
  if (instance.result !== 'success') facts.push(`Result: ${describeFailure(instance)}`)
  if (facts.length > 0) lines.push(`       ${facts.join('  ')}`)
  const { statusText, unready } = instance
  if (unready !== undefined) lines.push(`       Not ready: ${printable(unready)}`)
  if (statusText !== undefined) lines.push(`       Status: "${printable(statusText)}"`)
  return lines
}

async function lastLines(unit: Unit, count: number, signal: AbortSignal): Promise<string> {
  if (!(count > 0)) return ''
  try {
    const page = await unit.logs({ tail: count }, { signal })
    if (page.entries.length === 0) return ''
    return `\n${page.entries.map((entry) => `${formatEntry(entry, 'short')}\n`).join('')}`
  } catch (error) {
    // Others may see the status of a unit but not read its log.
    if (error instanceof HolonError && error.code === 'permission_denied') return ''
    throw error
  }
}
