/** `holon machines`: the machines of this system, their labels and zones, and shutting one out. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { localTime } from '../../../io/proc-time.ts'
import type { LabelChange, MachineInfo, StateHealth } from '../../../kernel/types.ts'
import { confirm } from '../confirm.ts'
import type { CliContext } from '../context.ts'
import { missingExitStatus } from '../missing.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { clockText } from '../ps/durations.ts'
import { bytes, duration, isoTime, sinceText } from '../time.ts'

export function command(context: CliContext): Command {
  const machines = new Command('machines')
    .description('Lists machines: exit 4 when one does not answer.')
    .addOption(outputOption({ wide: true }))
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action((options: ListingOptions) => list(context, options))
  machines
    .command('label')
    .description('Sets labels and the zone of a machine; NAME= takes a label away.')
    .argument('<machine>')
    .argument('<name=value...>', 'like disk=ssd, or zone=eu/paris')
    .action(async (machine: string, words: readonly string[]) => {
      const change = parseLabels(words)
      using limit = context.deadline()
      const system = await context.system()
      await (await system.membership(limit)).label(machine, change, limit)
    })
  machines
    .command('remove')
    .description('Shuts a machine out for ever. What runs there goes on.')
    .argument('<machine>')
    .option('-y, --yes', 'do not ask')
    .action(async (machine: string, options: { yes?: boolean }) => {
      const question = `${machine} is shut out for ever, with the key it has now. Remove it?`
      await confirm(context, question, options.yes)
      using limit = context.deadline()
      const system = await context.system()
      await (await system.membership(limit)).remove(machine, limit)
      context.stdout.write(`${machine} is removed. To have it back, let it join anew.\n`)
    })
  return machines
}

/** `zone=eu/paris disk=ssd gone=`. */
export function parseLabels(words: readonly string[]): LabelChange {
  const labels: Record<string, string> = {}
  let zone: string | undefined
  for (const word of words) {
    const match = /^([^=\s]+)=(.*)$/s.exec(word)
    if (match === null) {
      throw new HolonError(
        'invalid_argument',
        `${JSON.stringify(word)} is no label; try disk=ssd, or disk= to take it away`,
      )
    }
    const [, name = '', value = ''] = match
    if (name === 'zone') zone = value
    else labels[name] = value
  }
  return {
    ...(Object.keys(labels).length === 0 ? {} : { labels }),
    ...(zone === undefined ? {} : { zone }),
  }
}

async function list(context: CliContext, options: ListingOptions): Promise<void> {
  using limit = context.deadline()
  const { machines, state } = await (await context.system()).machines(limit)
  const nowMs = context.clock.wallMs()
  const wide = options.output === 'wide'
  const header = wide ? [...columns, ...wideColumns] : columns
  const row = (machine: MachineInfo) =>
    wide ? [...cells(machine, nowMs), ...wideCells(machine, state, nowMs)] : cells(machine, nowMs)
  printListing(context, options, machines, { header, row })
  const trouble = stateTrouble(state, nowMs)
  if (trouble !== undefined) context.stderr.write(`holon: ${trouble}\n`)
  for (const note of state.notes) context.stderr.write(`holon: note: ${note}\n`)
  if (machines.some(({ status }) => status !== 'up')) context.setExit(missingExitStatus)
}

const columns = ['NAME', 'STATUS', 'ZONE', 'CPU', 'MEM', 'LOAD', 'UNITS', 'VERSION', 'AGE']
const wideColumns = ['ID', 'ROLES', 'ADDRESS', 'LABELS', 'LAST SEEN']

/** Of a machine that does not answer only what stays true is shown. */
function cells(machine: MachineInfo, nowMs: number): readonly string[] {
  const { name, status, zone, report, intent } = machine
  const wished = intent === undefined ? status : `${status},${intent.wish}`
  const head = [name, wished, zone === '' ? '-' : zone]
  if (report === undefined) return [...head, '-', '-', '-', '-', '-', '-']
  const up = status === 'up'
  const all = bytes(report.memoryBytes)
  const used = bytes(report.memoryBytes - report.memoryAvailableBytes)
  return [
    ...head,
    String(report.cpuCount),
    up ? `${used}/${all}` : `-/${all}`,
    up ? report.load1.toFixed(2) : '-',
    up ? String(report.units) : '-',
    report.version,
    up ? duration(nowMs - report.upSinceMs) : '-',
  ]
}

function wideCells(
  machine: MachineInfo,
  { leader }: StateHealth,
  nowMs: number,
): readonly string[] {
  const { name, id, keepsState, addresses, labels, status, lastSeenAtMs } = machine
  const roles = [...(name === leader ? ['leader'] : []), ...(keepsState ? ['state'] : [])]
  const pairs = Object.entries(labels).map(([name, value]) => `${name}=${value}`)
  const seen = lastSeenAtMs === undefined ? '-' : sinceText(nowMs - lastSeenAtMs)
  return [
    id === '' ? '-' : id,
    roles.length === 0 ? '-' : roles.join(','),
    addresses.length === 0 ? '-' : addresses.join(','),
    pairs.length === 0 ? '-' : pairs.sort().join(','),
    status === 'up' ? 'now' : seen,
  ]
}

const dayMs = 86_400_000

/** "the state (etcd, 3 members) is unavailable since …"; undefined while it is not. */
export function stateTrouble(state: StateHealth, nowMs: number): string | undefined {
  const { engine, unavailableSinceMs: since } = state
  if (since === undefined) return undefined
  const at = nowMs - since < dayMs ? clockText(localTime(since)) : isoTime(since)
  return (
    `the state (${engine}) is unavailable since ${at}, ${sinceText(nowMs - since)}: ` +
    'what runs goes on, changes have to wait'
  )
}
