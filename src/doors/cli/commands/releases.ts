/** `holon releases` and `holon rollback`: what a unit ran before, and back to it. */
import { Command, InvalidArgumentError } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { realHost } from '../../../io/host.ts'
import type { System, Unit } from '../../../kernel/kernel.ts'
import type { FleetPart } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { detectProject } from '../deploy/detect.ts'
import { lastTakenBack, untilOut } from '../deploy/follow.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { isoTime } from '../time.ts'
import { resolveWholeUnit } from '../unit-arguments.ts'

const rollbackTimeoutMs = 30 * 60_000

export function releases(context: CliContext): Command {
  return new Command('releases')
    .description('Lists the releases of a unit of the fleet: what `holon rollback` goes back to.')
    .argument('[unit]', 'default: that of the project in this directory')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action(async (name: string | undefined, options: ListingOptions) => {
      using limit = context.deadline()
      const { signal } = limit
      const system = await context.system()
      const unit = await projectsUnit(system, 'releases', name, signal)
      const { fleet, name: found } = await unit.status({ signal })
      const { history, spec } = ofFleet(fleet, found)
      const rows = history.map((each) => ({ ...each, current: each.spec === spec }))
      printListing(context, options, rows, {
        header: ['RELEASE', 'WHEN', 'BY', 'NOTE'],
        row: ({ spec: number, atMs, by, note = '', current }) => [
          `${number}${current ? ' *' : ''}`,
          isoTime(atMs),
          by,
          note,
        ],
      })
    })
}

export function rollback(context: CliContext): Command {
  return new Command('rollback')
    .description('Goes back to the release before, or to another one, instance by instance.')
    .argument('[unit]', 'default: that of the project in this directory')
    .option('--to <release>', 'the number of a release', parseNumber)
    .action(async (name: string | undefined, options: { readonly to?: number }) => {
      using limit = context.deadline(rollbackTimeoutMs)
      const { signal } = limit
      const system = await context.system()
      const unit = await projectsUnit(system, 'rollback', name, signal)
      const earlier = await lastTakenBack(unit, signal)
      await unit.undo(options, { signal })
      context.setExit(await untilOut(context, unit, earlier, signal))
    })
}

/** The unit that is named, or that a deploy of this directory would change. */
export async function projectsUnit(
  system: System,
  verb: string,
  name: string | undefined,
  signal: AbortSignal,
): Promise<Unit> {
  const how = { signal, load: false, verb, forOne: 'why' } as const
  if (name !== undefined) return (await resolveWholeUnit(system, name, how)).unit
  const project = await detectProject(realHost().cwd())
  const { name: found } = project.kind === 'unit' ? project : project.program
  return (await resolveWholeUnit(system, found, how)).unit
}

function ofFleet(fleet: FleetPart | undefined, name: string): FleetPart {
  if (fleet !== undefined) return fleet
  throw new HolonError('unsupported', `${name} belongs to one machine: only a fleet keeps releases`)
}

function parseNumber(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('releases are numbered from 1; `holon releases` lists them.')
}
