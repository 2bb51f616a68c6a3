/** `holon leave`: takes this machine out of the system it joined. */
import { Command } from 'commander'
import { confirm } from '../confirm.ts'
import type { CliContext } from '../context.ts'
import { progress } from '../progress.ts'
import { untilMember } from '../start-agent.ts'

/** It may keep a copy of the state, which has to be given to another first. */
const leaveTimeoutMs = 120_000

export function command(context: CliContext): Command {
  return new Command('leave')
    .description('Takes this machine out again. What runs here goes on, on its own.')
    .option('-y, --yes', 'do not ask')
    .action(async (options: { yes?: boolean }) => {
      await confirm(context, 'This machine leaves the others. Go on?', options.yes)
      using limit = context.deadline(leaveTimeoutMs)
      using _progress = progress(context, 'leaving')
      const system = await context.system()
      await (await system.membership(limit)).leave(limit)
      await untilMember(context, false)
      context.stdout.write('This machine is on its own now; its units and runs go on.\n')
    })
}
