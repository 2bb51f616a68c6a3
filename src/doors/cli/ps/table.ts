/**
 * Lays processes out as a table: widths from the data, one line each, cut to the terminal. Pure.
 */
import type { ProcessInfo } from '../../../kernel/types.ts'
import type { Column, View } from './columns.ts'
import type { SortKey } from './request.ts'
import { cutToWidth, displayWidth, pad } from './width.ts'

export interface TableOptions {
  readonly headers: boolean
  /** Cells of a line. Infinity: as long as it needs. */
  readonly lineWidth: number
}

/** The lines, without newlines. No header line when every header is empty (`-o pid=`). */
export function tableLines(
  rows: readonly ProcessInfo[],
  columns: readonly Column[],
  view: View,
  options: TableOptions,
): string[] {
  const last = columns.length - 1
  const cells = rows.map((row) => columns.map((column) => column.text(row, view)))
  if (options.headers && columns.some((column) => column.header !== '')) {
    cells.unshift(columns.map((column) => column.header))
  }
  const widths = columns.map((column, i) => {
    // What stands last needs no room to its right.
    if (i === last && column.align === 'left') return 0
    return cells.reduce((width, line) => Math.max(width, displayWidth(line[i] ?? '')), column.width)
  })
  return cells.map((line) => {
    let text = ''
    line.forEach((cell, i) => {
      const column = columns[i]
      if (i > 0) text += ' '
      text += pad(cell, widths[i] ?? 0, column?.align ?? 'left')
    })
    return cutToWidth(text, options.lineWidth)
  })
}

/** By the keys, then by machine and pid. */
export function sortRows(
  rows: readonly ProcessInfo[],
  keys: readonly SortKey[],
  view: View,
): ProcessInfo[] {
  const keyed = rows.map((row) => ({ row, values: keys.map((key) => key.column.key(row, view)) }))
  keyed.sort((a, b) => {
    for (const [i, key] of keys.entries()) {
      const order = compare(a.values[i] ?? 0, b.values[i] ?? 0)
      if (order !== 0) return key.descending ? -order : order
    }
    return compare(a.row.machine, b.row.machine) || a.row.pid - b.row.pid
  })
  return keyed.map(({ row }) => row)
}

function compare(a: number | string, b: number | string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

export interface Forest {
  readonly rows: readonly ProcessInfo[]
  readonly indent: (row: ProcessInfo) => string
}

/** Children below their parents, in the order of `rows` among themselves. */
export function forest(rows: readonly ProcessInfo[]): Forest {
  const key = (machine: string, pid: number): string => `${machine}:${pid}`
  const present = new Set(rows.map((row) => key(row.machine, row.pid)))
  const children = new Map<string, ProcessInfo[]>()
  const roots: ProcessInfo[] = []
  for (const row of rows) {
    const parent = key(row.machine, row.ppid)
    if (!present.has(parent) || row.ppid === row.pid) roots.push(row)
    else children.set(parent, [...(children.get(parent) ?? []), row])
  }
  const ordered: ProcessInfo[] = []
  const depths = new Map<ProcessInfo, number>()
  const stack = roots.map((row) => ({ row, depth: 0 })).reverse()
  for (let next = stack.pop(); next !== undefined; next = stack.pop()) {
    const { row, depth } = next
    ordered.push(row)
    depths.set(row, depth)
    const below = children.get(key(row.machine, row.pid)) ?? []
    // A pid reused while the table was read can make a ring; taking children once breaks it.
    children.delete(key(row.machine, row.pid))
    stack.push(...below.map((child) => ({ row: child, depth: depth + 1 })).reverse())
  }
  // What hangs in a ring is below no root, and still is to be shown.
  if (ordered.length < rows.length) ordered.push(...rows.filter((row) => !depths.has(row)))
  const indent = (row: ProcessInfo): string => {
    const depth = depths.get(row) ?? 0
    return depth === 0 ? '' : `${'    '.repeat(depth - 1)} \\_ `
  }
  return { rows: ordered, indent }
}
