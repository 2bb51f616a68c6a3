/** `holon list-timers`: every timer, the one that is due next first, with systemctl's columns. */
import { Command } from 'commander'
import type { TimerPart, UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { reportIncomplete } from '../missing.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { ago, isoTime, leftText } from '../time.ts'
import { namePattern } from '../unit-arguments.ts'

interface TimerRow extends TimerPart {
  readonly name: string
  readonly active: UnitStatus['active']
}

export function command(context: CliContext): Command {
  return new Command('list-timers')
    .description('Lists timers, the one that is due next first.')
    .argument('[pattern...]', 'names, with * and ?')
    .option('-a, --all', 'also those that are stopped')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action(async (patterns: readonly string[], options: ListingOptions & { all?: boolean }) => {
      using limit = context.deadline()
      const system = await context.system()
      const listing = await system.units({ signal: limit.signal })
      const isMeant = namePattern(patterns, 'timer')
      const rows = listing.units
        .filter(({ name, wanted }) => isMeant(name) && (wanted || options.all === true))
        .flatMap(({ name, active, timer }) =>
          timer === undefined ? [] : [{ name, active, ...timer }],
        )
        .sort((a, b) => due(a) - due(b))
      const nowMs = context.clock.wallMs()
      printListing(context, options, rows, { header, row: (timer) => row(timer, nowMs) })
      reportIncomplete(context, listing)
    })
}

const header = ['NEXT', 'LEFT', 'LAST', 'PASSED', 'UNIT', 'ACTIVATES']

function row({ name, unit, nextMs, lastMs }: TimerRow, nowMs: number): readonly string[] {
  return [
    nextMs === undefined ? '-' : isoTime(nextMs),
    nextMs === undefined ? '-' : leftText(nextMs - nowMs),
    lastMs === undefined ? '-' : isoTime(lastMs),
    lastMs === undefined ? '-' : ago(nowMs - lastMs),
    name,
    unit,
  ]
}

function due({ nextMs = Number.MAX_SAFE_INTEGER }: TimerRow): number {
  return nextMs
}
