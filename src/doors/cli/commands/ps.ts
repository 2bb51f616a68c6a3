/** `holon ps`: the processes of all machines, with the flags and columns of procps. */
import type { Command } from 'commander'
import { realHost } from '../../../io/host.ts'
import { ProcFs } from '../../../io/proc.ts'
import { localTime } from '../../../io/proc-time.ts'
import type { ProcessInfo, ProcessListing, ProcessQuery } from '../../../kernel/types.ts'
import { allProcesses } from '../../sdk/all-pages.ts'
import type { CliContext } from '../context.ts'
import { fanOutLimit, reportMissing } from '../missing.ts'
import type { View } from '../ps/columns.ts'
import { parsePs } from '../ps/options.ts'
import { psHelp } from '../ps/ps-help.ts'
import { rawCommand } from '../ps/raw-command.ts'
import type { PsRequest } from '../ps/request.ts'
import { type Caller, narrow, select } from '../ps/select.ts'
import { forest, sortRows, tableLines } from '../ps/table.ts'

export function command(context: CliContext): Command {
  return rawCommand(psHelp, (args) => {
    const machines = context.machines()
    const words = machines === undefined ? args : ['--machine', machines, ...args]
    return ps(context, parsePs(words), ownCaller())
  })
}

/** Prints what `request` asks for and sets the exit status. */
export async function ps(context: CliContext, request: PsRequest, caller: Caller): Promise<void> {
  const listing = await fetchListing(context, request, caller)
  const view = viewOf(listing, request, context)
  const rows = sortRows(select(listing.processes, request.selection, caller), request.sort, view)
  print(context, request, rows, view)
  if (rows.length === 0) context.setExit(1)
  reportMissing(context, listing.missing, listing.machines.length)
}

async function fetchListing(
  context: CliContext,
  request: PsRequest,
  caller: Caller,
): Promise<ProcessListing> {
  using limit = fanOutLimit(context, request.fanOutMs)
  const { signal, fanOutMs } = limit
  const sorted = request.sort.map((key) => key.column)
  const needsArgs =
    request.output !== 'table' ||
    [...request.columns, ...sorted].some((column) => column.needsArgs === true)
  const query: ProcessQuery = {
    ...narrow(request.selection, caller),
    args: needsArgs,
    fanOutMs,
  }
  if (request.machine !== undefined) context.selectMachines(request.machine)
  return await allProcesses(await context.system(), query, { signal })
}

function viewOf(listing: ProcessListing, request: PsRequest, context: CliContext): View {
  return {
    nowMs: context.clock.wallMs(),
    facts: new Map(listing.machines.map((facts) => [facts.machine, facts])),
    localTime,
    numeric: request.numeric,
  }
}

function print(
  context: CliContext,
  request: PsRequest,
  rows: readonly ProcessInfo[],
  view: View,
): void {
  if (request.output === 'json') {
    context.stdout.write(`${JSON.stringify(rows, undefined, 2)}\n`)
    return
  }
  if (request.output === 'jsonl') {
    context.stdout.write(rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
    return
  }
  const tree = request.forest ? forest(rows) : undefined
  const lines = tableLines(
    tree?.rows ?? rows,
    request.columns,
    tree === undefined ? view : { ...view, indent: tree.indent },
    { headers: request.headers, lineWidth: request.lineWidth ?? terminalWidth(context) },
  )
  if (lines.length > 0) context.stdout.write(`${lines.join('\n')}\n`)
}

function terminalWidth(context: CliContext): number {
  return context.stdout.isTTY ? context.stdout.columns || 80 : Number.POSITIVE_INFINITY
}

function ownCaller(): Caller {
  const { uid, pid } = realHost()
  const proc = new ProcFs()
  return { uid, pid, startTicks: proc.startTicks(pid) ?? -1, tty: proc.ownTty() }
}
