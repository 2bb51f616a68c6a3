/**
 * The options of `ps` in its three styles: what each letter or word does to the draft of a request.
 */
import { timeSpan } from '../global-options.ts'
import type { Column } from './columns.ts'
import type { Layout } from './layouts.ts'
import {
  type PsRequest,
  parseColumns,
  parseNames,
  parsePids,
  parseSort,
  type SortKey,
} from './request.ts'
import type { Criterion } from './select.ts'
import { usageError } from './usage.ts'

/** What has been read so far. */
export interface Draft {
  readonly criteria: Criterion[]
  readonly layout: Layout
  readonly sort: SortKey[]
  columns: Column[] | undefined
  extra: Column[] | undefined
  output: PsRequest['output']
  bsd: boolean
  anyUser: boolean
  anyTty: boolean
  negate: boolean
  onlyRunning: boolean
  headers: boolean
  forest: boolean
  numeric: boolean
  wide: number
  cells: number | undefined
  machine: string | undefined
  fanOutMs: number | undefined
}

type Flag = (draft: Draft) => void
type Valued = (draft: Draft, value: string) => void

const add =
  (criterion: Criterion): Flag =>
  (draft) =>
    draft.criteria.push(criterion)
const byNames =
  (option: string, kind: 'users' | 'groups' | 'comms' | 'ttys'): Valued =>
  (draft, value) =>
    draft.criteria.push({ kind, names: parseNames(option, value) })
const byPids =
  (option: string, kind: 'pids' | 'ppids'): Valued =>
  (draft, value) =>
    draft.criteria.push({ kind, pids: parsePids(option, value) })
const bySids =
  (option: string): Valued =>
  (draft, value) =>
    draft.criteria.push({ kind: 'sids', sids: parsePids(option, value).map((each) => each.pid) })

function format(draft: Draft, value: string): void {
  if (value === 'json' || value === 'jsonl') draft.output = value
  else if (value === 'wide') draft.layout.wide = true
  else draft.columns = [...(draft.columns ?? []), ...parseColumns(value)]
}

function extra(draft: Draft, value: string): void {
  draft.extra = [...(draft.extra ?? []), ...parseColumns(value)]
}

function sort(draft: Draft, value: string): void {
  draft.sort.push(...parseSort(value))
}

function machine(draft: Draft, value: string): void {
  draft.machine = value
}

function wait(draft: Draft, value: string): void {
  draft.fanOutMs = timeSpan('--wait', value)
}

function cells(draft: Draft, value: string): void {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw usageError(`--width ${JSON.stringify(value)}: a number`)
  draft.cells = Number(value)
}

const set =
  (
    name: 'negate' | 'forest' | 'numeric' | 'onlyRunning' | 'anyUser' | 'anyTty',
    value = true,
  ): Flag =>
  (draft) => {
    draft[name] = value
  }
const noHeaders: Flag = (draft) => {
  draft.headers = false
}
const wider: Flag = (draft) => {
  draft.wide += 1
}
const lay =
  (name: keyof Layout): Flag =>
  (draft) => {
    draft.layout[name] = true
  }
const ignored: Flag = () => {}

export const unixFlags: Readonly<Record<string, Flag>> = {
  A: add({ kind: 'all' }),
  e: add({ kind: 'all' }),
  a: add({ kind: 'followers', withTty: true }),
  d: add({ kind: 'followers', withTty: false }),
  N: set('negate'),
  f: lay('full'),
  F: lay('extraFull'),
  l: lay('long'),
  j: lay('jobs'),
  y: ignored,
  H: set('forest'),
  w: wider,
  h: noHeaders,
}

export const unixValues: Readonly<Record<string, Valued>> = {
  p: byPids('-p', 'pids'),
  q: byPids('-q', 'pids'),
  u: byNames('-u', 'users'),
  U: byNames('-U', 'users'),
  G: byNames('-G', 'groups'),
  g: bySids('-g'),
  s: bySids('-s'),
  C: byNames('-C', 'comms'),
  t: byNames('-t', 'ttys'),
  o: format,
  O: extra,
  k: sort,
  m: machine,
}

export const bsdFlags: Readonly<Record<string, Flag>> = {
  a: set('anyUser'),
  x: set('anyTty'),
  g: ignored,
  u: lay('bsdUser'),
  l: lay('bsdLong'),
  j: lay('bsdJobs'),
  f: set('forest'),
  n: set('numeric'),
  r: set('onlyRunning'),
  c: lay('shortCommand'),
  e: ignored,
  S: ignored,
  h: noHeaders,
  w: wider,
  T: add({ kind: 'own-terminal' }),
}

export const bsdValues: Readonly<Record<string, Valued>> = {
  p: byPids('p', 'pids'),
  U: byNames('U', 'users'),
  t: byNames('t', 'ttys'),
  o: format,
  O: extra,
  k: sort,
}

export const longFlags: Readonly<Record<string, Flag>> = {
  deselect: set('negate'),
  json: (draft) => format(draft, 'json'),
  forest: set('forest'),
  headers: ignored,
  'no-headers': noHeaders,
  'no-header': noHeaders,
  'no-heading': noHeaders,
  'no-headings': noHeaders,
  noheader: noHeaders,
  noheaders: noHeaders,
  noheading: noHeaders,
  noheadings: noHeaders,
}

export const longValues: Readonly<Record<string, Valued>> = {
  pid: byPids('--pid', 'pids'),
  ppid: byPids('--ppid', 'ppids'),
  'quick-pid': byPids('--quick-pid', 'pids'),
  sid: bySids('--sid'),
  user: byNames('--user', 'users'),
  User: byNames('--User', 'users'),
  group: byNames('--group', 'groups'),
  Group: byNames('--Group', 'groups'),
  tty: byNames('--tty', 'ttys'),
  format,
  output: format,
  sort,
  machine,
  wait,
  width: cells,
  cols: cells,
  columns: cells,
}
