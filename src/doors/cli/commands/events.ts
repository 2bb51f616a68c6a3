/** `holon events`: what was decided about units and seen of machines of the fleet, by time. */
import { once } from 'node:events'
import { Command, InvalidArgumentError, Option } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import type { EventPage, EventQuery, FleetEvent } from '../../../kernel/decisions.ts'
import type { CliContext } from '../context.ts'
import { followWaitMs, PageReader } from '../page-reader.ts'
import { printable } from '../ps/width.ts'
import { isoTime } from '../time.ts'

interface EventsOptions {
  readonly machine?: string
  readonly follow?: boolean
  readonly lines?: number
  readonly output: 'short' | 'json' | 'jsonl'
}

/** With `-f` alone. */
const followTail = 10

export function command(context: CliContext): Command {
  return new Command('events')
    .description(
      'Shows what was decided about units and seen of machines of the fleet, and why, by time.',
    )
    .argument('[unit]')
    .option('-m, --machine <name>', 'only what was seen of this machine, and wanted of it')
    .option('-f, --follow', 'go on with what is being decided')
    .option('-n, --lines <count>', 'only the last so many', parseCount)
    .addOption(
      new Option('-o, --output <format>', 'how to show it')
        .choices(['short', 'json', 'jsonl'])
        .default('short'),
    )
    .action(async (unit: string | undefined, options: EventsOptions) => {
      const follow = options.follow === true
      const { machine: about } = options
      if (unit !== undefined && about !== undefined) {
        const message = 'events: either a unit or -m, not both; without them all is shown'
        throw new HolonError('invalid_argument', message)
      }
      const tail = options.lines ?? (follow ? followTail : undefined)
      const query: EventQuery = {
        ...(unit === undefined ? {} : { unit }),
        ...(about === undefined ? {} : { about }),
        ...(tail === undefined ? {} : { tail }),
      }
      const reader = new PageReader<EventQuery, EventPage>(
        context,
        async (system) => (page, callOptions) => system.events(page, callOptions),
      )
      await using _ends = reader
      const format = options.output === 'short' ? short : JSON.stringify
      for (let position = query; ; ) {
        const { events, cursor } = await reader.read(position, { follow })
        const name = unit ?? about
        if (name !== undefined && events.length === 0 && tail !== 0 && position === query) {
          const listing = about === undefined ? 'list-units' : 'machines'
          context.stderr.write(
            `holon: nothing is recorded of ${name}; \`holon ${listing}\` shows what there is\n`,
          )
        }
        const text = events.map((event) => `${format(event)}\n`).join('')
        if (text !== '' && !context.stdout.write(text)) await once(context.stdout, 'drain')
        if (!follow) return
        position = { ...query, cursor, waitMs: followWaitMs }
      }
    })
}

function short({ atMs, machine, unit, instance, about, what, why }: FleetEvent): string {
  const subject = instance ?? unit ?? about
  return printable(`${isoTime(atMs)} ${machine} ${subject}: ${what}: ${why}`)
}

function parseCount(text: string): number {
  if (/^\d+$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a number is expected.')
}
