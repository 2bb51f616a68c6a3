/** `holon list-units`: every loaded unit, a line each. */
import { Command } from 'commander'
import type { UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { reportIncomplete } from '../missing.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { namePattern } from '../unit-arguments.ts'

export function command(context: CliContext): Command {
  return new Command('list-units')
    .description('Lists units.')
    .argument('[pattern...]', 'names, with * and ?')
    .option('--state <states>', 'only these, like active or failed,activating')
    .option('-a, --all', 'accepted for systemctl: all are always listed')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action(async (patterns: readonly string[], options: ListingOptions & { state?: string }) => {
      using limit = context.deadline()
      const system = await context.system()
      const states = options.state?.split(',')
      const listing = await system.units({ signal: limit.signal })
      const isMeant = namePattern(patterns, 'service')
      const units = listing.units.filter(
        (unit) => isMeant(unit.name) && (states?.includes(unit.active) ?? true),
      )
      printListing(context, options, units, { header, row })
      reportIncomplete(context, listing)
    })
}

const header = ['UNIT', 'LOAD', 'ACTIVE', 'SUB', 'INSTANCES', 'ENABLED', 'MACHINE', 'DESCRIPTION']

function row(unit: UnitStatus): readonly string[] {
  const up = unit.instances.filter((instance) => instance.active === 'active').length
  return [
    unit.name,
    unit.load,
    unit.active,
    unit.sub,
    `${up}/${unit.instancesWanted}`,
    unit.enabled ? 'enabled' : 'disabled',
    unit.machines.join(','),
    unit.description,
  ]
}
