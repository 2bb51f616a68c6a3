/** `holon machines`: the machines of this system. */
import { Command } from 'commander'
import type { MachineInfo } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { bytes, duration } from '../time.ts'

export function command(context: CliContext): Command {
  return new Command('machines')
    .description('Lists machines.')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action(async (options: ListingOptions) => {
      using limit = context.deadline()
      const machines = await (await context.system()).machines({ signal: limit.signal })
      const nowMs = context.clock.wallMs()
      const row = (m: MachineInfo) => [
        m.name,
        m.status,
        String(m.cpuCount),
        `${bytes(m.memoryBytes - m.memoryAvailableBytes)}/${bytes(m.memoryBytes)}`,
        m.load1.toFixed(2),
        m.version,
        duration(nowMs - m.upSinceMs),
      ]
      const header = ['NAME', 'STATUS', 'CPU', 'MEM', 'LOAD', 'VERSION', 'AGE']
      printListing(context, options, machines, { header, row })
    })
}
