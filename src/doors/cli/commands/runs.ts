/** `holon runs`: what `holon run` started; with --rm, forgetting ended ones. */
import { Command } from 'commander'
import type { ExitStatus, RunInfo } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { reportMissing } from '../missing.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { ago } from '../time.ts'

export function command(context: CliContext): Command {
  return new Command('runs')
    .description('Lists runs; ended detached ones are kept for a while.')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .option('--stop <id...>', 'stop these')
    .option('--rm <id...>', 'forget these ended ones, with their output')
    .action(async (options: ListingOptions & { stop?: string[]; rm?: string[] }) => {
      using limit = context.deadline()
      const { signal } = limit
      const system = await context.system()
      for (const id of options.stop ?? []) {
        const run = await system.findRun(id, { signal })
        await run.stop({ signal })
        if ((await run.info({ signal })).detached) await run.wait({ signal })
      }
      for (const id of options.rm ?? [])
        await (await system.findRun(id, { signal })).remove({ signal })
      if (options.stop !== undefined || options.rm !== undefined) return
      const nowMs = context.clock.wallMs()
      const row = (run: RunInfo) => [
        run.id,
        run.machine,
        run.state,
        run.exit === undefined ? '-' : describeExit(run.exit),
        run.pid === 0 ? '-' : String(run.pid),
        ago(nowMs - run.startedAtMs),
        run.argv.join(' '),
      ]
      const header = ['ID', 'MACHINE', 'STATE', 'EXIT', 'PID', 'STARTED', 'COMMAND']
      const { runs, missing } = await system.runs({ signal })
      printListing(context, options, runs, { header, row })
      reportMissing(context, missing)
    })
}

function describeExit(exit: ExitStatus): string {
  return exit.execErrno ?? exit.signal ?? String(exit.code ?? 0)
}
