/** Tables of a few rows: columns as wide as they need, the last one cut where the terminal ends. */

export interface TableOptions {
  /** Columns of the terminal; undefined when it is none, and then nothing is cut. */
  readonly width?: number | undefined
  readonly header?: boolean
}

/** Each row has as many cells as `header`. Ends with a newline unless there is nothing to show. */
export function formatTable(
  header: readonly string[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string {
  const all = options.header === false ? rows : [header, ...rows]
  const widths = header.map((_, i) => Math.max(0, ...all.map((row) => printable(row[i]).length)))
  const lines = all.map((row) => {
    const line = row
      .map((cell, i) => printable(cell).padEnd(widths[i] ?? 0))
      .join('  ')
      .trimEnd()
    return options.width === undefined ? line : line.slice(0, options.width)
  })
  return lines.map((line) => `${line}\n`).join('')
}

/** A cell never breaks a table or drives a terminal. */
function printable(cell: string | undefined): string {
  return (cell ?? '').replace(/[\u0000-\u001f\u007f-\u009f]/g, '?')
}
