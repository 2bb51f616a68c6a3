/** `holon wait ID`: waits for a detached run and exits as it did. */
import { Command } from 'commander'
import type { CliContext } from '../context.ts'
import { exitStatusOf } from '../exit-status.ts'

const waitTimeoutMs = 365 * 86_400_000

export function command(context: CliContext): Command {
  return new Command('wait')
    .description('Waits until detached runs have ended; exits as the last of them did.')
    .argument('<id...>')
    .action(async (ids: readonly string[]) => {
      using limit = context.deadline(waitTimeoutMs)
      const system = await context.system()
      for (const id of ids) {
        const run = await system.findRun(id, limit)
        context.setExit(exitStatusOf(await run.wait(limit)))
      }
    })
}
