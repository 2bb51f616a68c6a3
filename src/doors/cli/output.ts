/** The output formats common to listings: a table for people, JSON for programs. */
import { InvalidArgumentError, Option } from 'commander'
import type { CliContext } from './context.ts'
import { formatTable } from './table.ts'

export type OutputFormat = 'table' | 'wide' | 'json' | 'jsonl'

export interface ListingOptions {
  readonly output: OutputFormat
  readonly json?: boolean
  /** False with --no-headers. */
  readonly headers: boolean
}

/** `wide`: where the table has more columns than it shows. */
export function outputOption({ wide = false }: { readonly wide?: boolean } = {}): Option {
  const formats = wide ? 'table, wide, json or jsonl' : 'table, json or jsonl'
  return new Option('-o, --output <format>', formats)
    .default('table')
    .argParser((text: string): OutputFormat => {
      if (text === 'json' || text === 'jsonl' || text === 'table') return text
      if (wide && text === 'wide') return text
      throw new InvalidArgumentError(`formats are ${formats}.`)
    })
}

export function jsonOption(): Option {
  return new Option('--json', 'the same as -o json')
}

export function noHeadersOption(): Option {
  return new Option('--no-headers', 'rows only')
}

/** Prints `values` in the asked format; `row` makes the table's cells of one. */
export function printListing<T>(
  context: CliContext,
  options: ListingOptions,
  values: readonly T[],
  table: { readonly header: readonly string[]; readonly row: (value: T) => readonly string[] },
): void {
  const format = options.json ? 'json' : options.output
  if (format === 'json') context.stdout.write(`${JSON.stringify(values, undefined, 2)}\n`)
  else if (format === 'jsonl') {
    context.stdout.write(values.map((value) => `${JSON.stringify(value)}\n`).join(''))
  } else {
    const width = context.stdout.isTTY ? context.stdout.columns : undefined
    const rows = values.map(table.row)
    context.stdout.write(formatTable(table.header, rows, { width, header: options.headers }))
  }
}
