/**
 * The columns of `ps`: procps' names, headers and values, and Holon's `machine`, `unit` and `id`.
 * A column is plain data; table.ts lays them out.
 */
import type { LocalTime } from '../../../io/proc-time.ts'
import type { ProcessInfo, ProcessListing } from '../../../kernel/types.ts'
import * as times from './durations.ts'
import { printable } from './width.ts'

export type MachineFacts = ProcessListing['machines'][number]

/** What a cell depends on beside its process. */
export interface View {
  readonly nowMs: number
  readonly facts: ReadonlyMap<string, MachineFacts>
  readonly localTime: (wallMs: number) => LocalTime
  /** Users and groups as numbers (BSD `n`). */
  readonly numeric?: boolean
  /** What stands before the command in a forest. */
  readonly indent?: (row: ProcessInfo) => string
}

export interface Column {
  readonly name: string
  readonly header: string
  readonly align: 'left' | 'right'
  /** Cells, at least. */
  readonly width: number
  readonly text: (row: ProcessInfo, view: View) => string
  /** For --sort. */
  readonly key: (row: ProcessInfo, view: View) => number | string
  readonly needsArgs?: boolean
}

const cpuMs = (row: ProcessInfo): number => row.userMs + row.systemMs

/** Since its start, by the machine's own clock, so that the caller's does not matter. */
function ageMs(row: ProcessInfo, view: View): number {
  const facts = view.facts.get(row.machine)
  const now = facts === undefined ? view.nowMs - row.startedAtMs : facts.uptimeMs - ticksMs(row)
  return Math.max(0, now)
}

// Clock ticks are 10 ms on every Linux that Node runs on (USER_HZ is part of the ABI).
const ticksMs = (row: ProcessInfo): number => row.startTicks * 10

/** Share of one core since the process began, in tenths of a percent. */
function cpuTenths(row: ProcessInfo, view: View): number {
  const seconds = Math.floor(ageMs(row, view) / 1000)
  return seconds === 0 ? 0 : Math.floor(cpuMs(row) / seconds)
}

function memoryTenths(row: ProcessInfo, view: View): number {
  const total = view.facts.get(row.machine)?.memoryBytes ?? 0
  return total === 0 ? 0 : Math.min(999, Math.floor((row.rssBytes * 1000) / total))
}

function tenths(value: number): string {
  return value > 999 ? String(Math.floor(value / 10)) : `${Math.floor(value / 10)}.${value % 10}`
}

/** procps' STAT: the state letter and what else is to be known. */
export function statText(row: ProcessInfo): string {
  let text = row.state
  if (row.nice < 0) text += '<'
  if (row.nice > 0) text += 'N'
  if (row.sid === row.pid) text += 's'
  if (row.nlwp > 1) text += 'l'
  if (row.pgid === row.tpgid) text += '+'
  return text
}

const defunct = (row: ProcessInfo): string => (row.state === 'Z' ? ' <defunct>' : '')

/** The short name, as `-o comm`. */
export function commText(row: ProcessInfo): string {
  return printable(row.comm) + defunct(row)
}

/** The command line; a process without one shows its name in brackets. */
export function argsText(row: ProcessInfo): string {
  if (row.args.length === 0) return `[${printable(row.comm)}]${defunct(row)}`
  return printable(row.args.join(' ').replaceAll('\n', ' '))
}

const kib = (bytes: number): number => Math.floor(bytes / 1024)

/** `at` in both forms of a number column. */
function number(
  name: string,
  header: string,
  width: number,
  value: (row: ProcessInfo, view: View) => number,
): Column {
  const text = (row: ProcessInfo, view: View): string => String(value(row, view))
  return { name, header, align: 'right', width, text, key: value }
}

function word(
  name: string,
  header: string,
  width: number,
  text: (row: ProcessInfo, view: View) => string,
): Column {
  return { name, header, align: 'left', width, text, key: text }
}

function started(
  name: string,
  header: string,
  width: number,
  text: (row: ProcessInfo, view: View) => string,
): Column {
  return { name, header, align: 'right', width, text, key: (row) => row.startedAtMs }
}

function duration(
  name: string,
  header: string,
  width: number,
  text: (ms: number) => string,
  ms: (row: ProcessInfo, view: View) => number,
): Column {
  return { name, header, align: 'right', width, text: (row, view) => text(ms(row, view)), key: ms }
}

function share(
  name: string,
  header: string,
  value: (row: ProcessInfo, view: View) => number,
): Column {
  const text = (row: ProcessInfo, view: View): string => tenths(value(row, view))
  return { name, header, align: 'right', width: 4, text, key: value }
}

const userText = (row: ProcessInfo, view: View): string =>
  view.numeric ? String(row.uid) : printable(row.user)
const groupText = (row: ProcessInfo, view: View): string =>
  view.numeric ? String(row.gid) : printable(row.group)
const indented =
  (text: (row: ProcessInfo) => string) =>
  (row: ProcessInfo, view: View): string =>
    (view.indent?.(row) ?? '') + text(row)

function command(name: string, header: string, width: number): Column {
  return { ...word(name, header, width, indented(argsText)), key: argsText, needsArgs: true }
}

function shortName(name: string, header: string): Column {
  return { ...word(name, header, 15, indented(commText)), key: commText }
}

const secondsOf = (ms: number): string => String(Math.floor(ms / 1000))

const all: readonly Column[] = [
  word('machine', 'MACHINE', 7, (row) => printable(row.machine)),
  word('unit', 'UNIT', 4, (row) => printable(row.unit) || '-'),
  word('id', 'ID', 8, (row) => `${printable(row.machine)}:${row.pid}`),
  number('pid', 'PID', 5, (row) => row.pid),
  number('ppid', 'PPID', 5, (row) => row.ppid),
  number('pgid', 'PGID', 5, (row) => row.pgid),
  number('sid', 'SID', 5, (row) => row.sid),
  number('tpgid', 'TPGID', 5, (row) => row.tpgid),
  word('user', 'USER', 8, userText),
  word('group', 'GROUP', 8, groupText),
  number('uid', 'UID', 5, (row) => row.uid),
  number('gid', 'GID', 5, (row) => row.gid),
  shortName('comm', 'COMMAND'),
  shortName('ucmd', 'CMD'),
  command('args', 'COMMAND', 27),
  command('cmd', 'CMD', 27),
  word('tty', 'TT', 8, (row) => printable(row.tty) || '?'),
  word('tname', 'TTY', 8, (row) => printable(row.tty) || '?'),
  duration('time', 'TIME', 8, times.cpuTime, cpuMs),
  duration('bsdtime', 'TIME', 6, times.bsdCpuTime, cpuMs),
  duration('cputimes', 'TIME', 8, secondsOf, cpuMs),
  duration('etime', 'ELAPSED', 11, times.elapsed, ageMs),
  duration('etimes', 'ELAPSED', 7, secondsOf, ageMs),
  started('start', 'STARTED', 8, (row, view) =>
    times.startLong(view.localTime(row.startedAtMs), ageMs(row, view)),
  ),
  started('lstart', 'STARTED', 24, (row, view) => times.startFull(view.localTime(row.startedAtMs))),
  started('bsdstart', 'START', 5, (row, view) =>
    times.startBsd(view.localTime(row.startedAtMs), ageMs(row, view)),
  ),
  started('stime', 'STIME', 5, (row, view) =>
    times.startShort(view.localTime(row.startedAtMs), view.localTime(view.nowMs)),
  ),
  share('pcpu', '%CPU', cpuTenths),
  share('pmem', '%MEM', memoryTenths),
  number('c', 'C', 2, (row, view) => Math.min(99, Math.floor(cpuTenths(row, view) / 10))),
  number('cp', 'CP', 3, cpuTenths),
  number('vsz', 'VSZ', 6, (row) => kib(row.vszBytes)),
  number('rss', 'RSS', 5, (row) => kib(row.rssBytes)),
  number('sz', 'SZ', 5, (row) => Math.floor(row.vszBytes / 4096)),
  word('s', 'S', 1, (row) => row.state),
  word('stat', 'STAT', 4, statText),
  number('ni', 'NI', 3, (row) => row.nice),
  number('pri', 'PRI', 3, (row) => 39 - row.priority),
  number('opri', 'PRI', 3, (row) => 60 + row.priority),
  number('priority', 'PRI', 3, (row) => row.priority),
  number('nlwp', 'NLWP', 4, (row) => row.nlwp),
]

/** Other names of the same column; with a header of their own where procps has one. */
const aliases: Readonly<Record<string, string | readonly [name: string, header: string]>> = {
  tgid: ['pid', 'TGID'],
  pgrp: ['pgid', 'PGRP'],
  sess: ['sid', 'SESS'],
  session: ['sid', 'SESS'],
  euser: ['user', 'EUSER'],
  uname: 'user',
  euid: ['uid', 'EUID'],
  egroup: ['group', 'EGROUP'],
  egid: ['gid', 'EGID'],
  ucomm: 'comm',
  fname: 'comm',
  command: 'args',
  tt: 'tty',
  cputime: 'time',
  times: 'cputimes',
  start_time: ['stime', 'START'],
  '%cpu': 'pcpu',
  '%mem': 'pmem',
  vsize: 'vsz',
  rssize: 'rss',
  rsz: ['rss', 'RSZ'],
  state: 's',
  nice: 'ni',
  thcount: ['nlwp', 'THCNT'],
}

const byName: ReadonlyMap<string, Column> = new Map(all.map((column) => [column.name, column]))

/** The column called `name`, in any of its names; undefined when there is none. */
export function findColumn(name: string): Column | undefined {
  const own = byName.get(name)
  if (own !== undefined) return own
  const alias = Object.hasOwn(aliases, name) ? aliases[name] : undefined
  if (alias === undefined) return undefined
  if (typeof alias === 'string') return byName.get(alias)
  const column = byName.get(alias[0])
  return column && { ...column, header: alias[1] }
}

/** Every name that `-o` takes, for messages and completion. */
export function columnNames(): readonly string[] {
  return [...byName.keys(), ...Object.keys(aliases)]
}
