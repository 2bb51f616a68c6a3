/** The lines of `top`, for a screen of a given size or for a pipe. Pure. */
import type { LocalTime } from '../../../io/proc-time.ts'
import { missingMachineText } from '../missing.ts'
import { bytes } from '../time.ts'
import { argsText, commText } from './columns.ts'
import { clockText, fineCpuTime, uptimeText } from './durations.ts'
import type { Prompt, TopSort, TopState } from './top-keys.ts'
import type { TopMachine, TopRow, TopSample } from './top-sample.ts'
import { cutToWidth, displayWidth, pad, printable } from './width.ts'

export interface Size {
  readonly rows: number
  readonly columns: number
}

export interface Frame {
  /** As many as fit. */
  readonly lines: readonly string[]
  /** Which line is the table's header; -1 for none. */
  readonly header: number
  /** Rows of the table that fit, for paging. */
  readonly page: number
  /** Where the table stands now: never past its last page. */
  readonly scroll: number
}

/** Machines that get a line of their own; more are shown together. */
const machineLinesMax = 4

export function topFrame(sample: TopSample, state: TopState, now: LocalTime, size: Size): Frame {
  const rows = visibleRows(sample.rows, state)
  const head = headLines(sample, rows, now)
  if (state.help)
    return { lines: fit([...head, '', ...helpLines], size), header: -1, page: 0, scroll: 0 }
  // Between the head and the table stands one line for prompts and messages.
  const page = Math.max(0, size.rows - head.length - 2)
  const scroll = Math.min(state.scroll, Math.max(0, rows.length - page))
  const shown = Number.isFinite(page) ? rows.slice(scroll, scroll + page) : rows
  const lines = [...head, promptText(state.prompt) ?? state.message ?? '', ...table(shown, state)]
  return { lines: fit(lines, size), header: head.length + 1, page, scroll }
}

function fit(lines: readonly string[], size: Size): string[] {
  return lines.slice(0, Number.isFinite(size.rows) ? size.rows : undefined).map((line) => {
    return cutToWidth(line, size.columns)
  })
}

/** Of the state's user, in the state's order. */
export function visibleRows(rows: readonly TopRow[], state: TopState): readonly TopRow[] {
  const { user } = state
  const own =
    user === undefined
      ? [...rows]
      : rows.filter(({ info }) => info.user === user || String(info.uid) === user)
  const value = sortValues[state.sort]
  const sign = state.reversed ? -1 : 1
  return own.sort((a, b) => {
    const order = value(b) - value(a) || compare(a.info.machine, b.info.machine)
    return sign * (order || a.info.pid - b.info.pid)
  })
}

const sortValues: Readonly<Record<TopSort, (row: TopRow) => number>> = {
  cpu: (row) => row.cpuPercent,
  mem: (row) => row.info.rssBytes,
  time: (row) => row.info.userMs + row.info.systemMs,
  pid: (row) => row.info.pid,
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

function headLines(sample: TopSample, rows: readonly TopRow[], now: LocalTime): string[] {
  const count = (states: string): number =>
    rows.filter(({ info }) => states.includes(info.state)).length
  const running = count('R')
  const stopped = count('Tt')
  const zombies = count('ZX')
  const sleeping = rows.length - running - stopped - zombies
  const lines = [
    `top - ${clockText(now)}  ${rows.length} processes: ${running} running, ${sleeping} sleeping, ` +
      `${stopped} stopped, ${zombies} zombie`,
    ...machineLines(sample.machines),
  ]
  // On few screens is there room for more; the count says how many.
  for (const missing of sample.missing.slice(0, machineLinesMax)) {
    const text = printable(missingMachineText(missing))
    lines.push(`${text}: its processes are not shown`)
  }
  const more = sample.missing.length - machineLinesMax
  if (more > 0) lines.push(`and ${more} more machines did not answer`)
  return lines
}

function machineLines(machines: readonly TopMachine[]): string[] {
  if (machines.length > machineLinesMax) return [togetherLine(machines)]
  const widest = Math.max(0, ...machines.map(({ facts }) => displayWidth(printable(facts.machine))))
  return machines.map(({ facts, cpuPercent }) => {
    const load = facts.load.map((each) => each.toFixed(2)).join(' ')
    const used = facts.memoryBytes - facts.memoryAvailableBytes
    const swap =
      facts.swapBytes === 0
        ? ''
        : `  swap ${bytes(facts.swapBytes - facts.swapFreeBytes)}/${bytes(facts.swapBytes)}`
    return (
      `${pad(printable(facts.machine), widest, 'left')}  up ${uptimeText(facts.uptimeMs)}  ` +
      `load ${load}  cpu ${cpuPercent.toFixed(1)}% of ${facts.cpuCount}  ` +
      `mem ${bytes(used)}/${bytes(facts.memoryBytes)}${swap}`
    )
  })
}

function togetherLine(machines: readonly TopMachine[]): string {
  const sum = (value: (machine: TopMachine) => number): number =>
    machines.reduce((total, machine) => total + value(machine), 0)
  const cores = sum(({ facts }) => facts.cpuCount)
  const busy = sum(({ facts, cpuPercent }) => cpuPercent * facts.cpuCount) / Math.max(1, cores)
  const total = sum(({ facts }) => facts.memoryBytes)
  const used = total - sum(({ facts }) => facts.memoryAvailableBytes)
  return (
    `${machines.length} machines  load ${sum(({ facts }) => facts.load[0]).toFixed(2)}  ` +
    `cpu ${busy.toFixed(1)}% of ${cores}  mem ${bytes(used)}/${bytes(total)}`
  )
}

interface Cell {
  readonly header: string
  readonly align: 'left' | 'right'
  readonly width: number
  readonly text: (row: TopRow, state: TopState) => string
}

const cells: readonly Cell[] = [
  { header: 'MACHINE', align: 'left', width: 7, text: ({ info }) => printable(info.machine) },
  { header: 'PID', align: 'right', width: 7, text: ({ info }) => String(info.pid) },
  { header: 'USER', align: 'left', width: 8, text: ({ info }) => printable(info.user) },
  { header: 'PR', align: 'right', width: 3, text: ({ info }) => priorityText(info.priority) },
  { header: 'NI', align: 'right', width: 3, text: ({ info }) => String(info.nice) },
  { header: 'VIRT', align: 'right', width: 7, text: ({ info }) => bytes(info.vszBytes) },
  { header: 'RES', align: 'right', width: 7, text: ({ info }) => bytes(info.rssBytes) },
  { header: 'S', align: 'left', width: 1, text: ({ info }) => info.state },
  { header: '%CPU', align: 'right', width: 5, text: (row) => row.cpuPercent.toFixed(1) },
  { header: '%MEM', align: 'right', width: 4, text: (row) => row.memoryPercent.toFixed(1) },
  {
    header: 'TIME+',
    align: 'right',
    width: 9,
    text: ({ info }) => fineCpuTime(info.userMs + info.systemMs),
  },
  { header: 'UNIT', align: 'left', width: 8, text: ({ info }) => printable(info.unit) || '-' },
  {
    header: 'COMMAND',
    align: 'left',
    width: 0,
    text: ({ info }, state) => (state.fullCommand ? argsText(info) : commText(info)),
  },
]

// Real-time processes have priorities below -1, which top has always shown as "rt".
function priorityText(priority: number): string {
  return priority < -99 ? 'rt' : String(priority)
}

function table(rows: readonly TopRow[], state: TopState): string[] {
  const lines = rows.map((row) => cells.map((cell) => cell.text(row, state)))
  lines.unshift(cells.map((cell) => cell.header))
  const last = cells.length - 1
  const widths = cells.map((cell, i) =>
    i === last
      ? 0
      : lines.reduce((width, line) => Math.max(width, displayWidth(line[i] ?? '')), cell.width),
  )
  return lines.map((line) =>
    line.map((text, i) => pad(text, widths[i] ?? 0, cells[i]?.align ?? 'left')).join(' '),
  )
}

function promptText(prompt: Prompt | undefined): string | undefined {
  switch (prompt?.kind) {
    case undefined:
      return undefined
    case 'user':
      return `only the user (empty: all): ${prompt.text}`
    case 'kill':
      return `process to signal: ${prompt.text}`
    case 'signal': {
      const { machine, pid } = prompt.target
      const id = machine === undefined ? pid : `${machine}:${pid}`
      return `signal for ${id} [TERM]: ${prompt.text}`
    }
  }
}

const helpLines: readonly string[] = [
  'P M T N      sort by CPU, memory, time, process id;  R  the other way round',
  'u            only one user',
  'k            send a signal to a process',
  'c            command lines or names',
  'arrows, PgUp, PgDn, Home, End',
  '             move through the table',
  'space        refresh now',
  'q            quit',
  '',
  'Any key goes back.',
]
