/** What a `ps` command line asks for, as the parser builds it up and the command reads it. */
import { type Column, columnNames, findColumn } from './columns.ts'
import type { PidRef, Selection } from './select.ts'
import { usageError } from './usage.ts'

export interface SortKey {
  readonly column: Column
  readonly descending: boolean
}

export interface PsRequest {
  readonly selection: Selection
  readonly columns: readonly Column[]
  readonly output: 'table' | 'json' | 'jsonl'
  readonly headers: boolean
  readonly sort: readonly SortKey[]
  readonly forest: boolean
  readonly numeric: boolean
  /** Only these machines: a selector. */
  readonly machine?: string
  /** How long machines have to answer; undefined: as long as the kernel gives them. */
  readonly fanOutMs?: number
  /** Cells of a line; undefined: as wide as the terminal, or as needed where there is none. */
  readonly lineWidth?: number
}

/** -o's list: names with an optional width and header, `pid,user:12,args=COMMAND LINE`. */
export function parseColumns(list: string): Column[] {
  const columns: Column[] = []
  // A header may hold spaces, but a list may be separated by them: the comma decides when there is
  // one.
  const parts = list.split(list.includes(',') || list.includes('=') ? /,/ : /[,\s]+/)
  for (const part of parts) {
    const match = /^\s*([^=:\s]+)(?::(\d{1,4}))?\s*(?:=(.*))?$/s.exec(part)
    if (match === null) {
      if (part.trim() === '') continue
      throw usageError(`-o ${JSON.stringify(list)}: ${JSON.stringify(part)} is no column`)
    }
    const [, name = '', width, header] = match
    const column = findColumn(name.toLowerCase())
    if (column === undefined) throw unknownColumn('-o', name)
    columns.push({
      ...column,
      ...(header === undefined ? {} : { header }),
      ...(width === undefined ? {} : { width: Number(width) }),
    })
  }
  if (columns.length === 0) throw usageError('-o needs a list of columns, like pid,user,args')
  return columns
}

/** --sort's list: `-pcpu,+pid`. */
export function parseSort(list: string): SortKey[] {
  const keys: SortKey[] = []
  for (const part of list.split(/[,\s]+/)) {
    if (part === '') continue
    const name = part.replace(/^[+-]/, '')
    const column = findColumn(name.toLowerCase())
    if (column === undefined) throw unknownColumn('--sort', name)
    keys.push({ column, descending: part.startsWith('-') })
  }
  if (keys.length === 0) throw usageError('--sort needs column names, like -pcpu,pid')
  return keys
}

function unknownColumn(option: string, name: string): Error {
  const near = columnNames().filter((each) => name.length > 1 && each.startsWith(name.slice(0, 2)))
  const hint =
    near.length === 0 ? '`holon ps --help` lists them' : `did you mean ${near.join(', ')}?`
  return usageError(`${option}: there is no column ${JSON.stringify(name)}; ${hint}`)
}

/** `1,2 n1:3`. */
export function parsePids(option: string, list: string): PidRef[] {
  const refs: PidRef[] = []
  for (const part of list.split(/[,\s]+/)) {
    if (part === '') continue
    const ref = parsePidRef(part)
    if (ref === undefined) {
      throw usageError(`${option}: ${JSON.stringify(part)} is no process id, like 42 or n1:42`)
    }
    refs.push(ref)
  }
  if (refs.length === 0) throw usageError(`${option} needs process ids, like 42 or n1:42`)
  return refs
}

const pidMax = 2 ** 31 - 1

/** `42` or `n1:42`; undefined for anything else. */
export function parsePidRef(text: string): PidRef | undefined {
  const match = /^(?:([^\s:,/]+):)?(\d{1,10})$/.exec(text)
  if (match === null) return undefined
  const [, machine, digits] = match
  const pid = Number(digits)
  if (pid > pidMax) return undefined
  return machine === undefined ? { pid } : { pid, machine }
}

/** A list of names; an empty one is a mistake. */
export function parseNames(option: string, list: string): string[] {
  const names = list.split(/[,\s]+/).filter((name) => name !== '')
  if (names.length === 0) throw usageError(`${option} needs a name or a list of them`)
  return names
}
