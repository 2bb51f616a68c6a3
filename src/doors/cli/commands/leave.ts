/** `holon leave`: takes this machine out of the system it joined. */
import { Command } from 'commander'
import { asHolonError } from '../../../base/errors.ts'
import type { System } from '../../../kernel/kernel.ts'
import { confirm } from '../confirm.ts'
import type { CliContext } from '../context.ts'
import { progress } from '../progress.ts'
import { answeringMachine, untilMember } from '../start-agent.ts'
import { untilEmpty } from './drain.ts'

const drainTimeoutMs = 24 * 3_600_000
/** It may keep a copy of the state, which has to be given to another first. */
const leaveTimeoutMs = 120_000

export function command(context: CliContext): Command {
  return new Command('leave')
    .description("Takes this machine out again, once the fleet's instances have left it.")
    .option('--now', 'do not wait for them: they are stopped here, and started elsewhere then')
    .option('-y, --yes', 'do not ask')
    .action(async (options: { readonly now?: boolean; readonly yes?: boolean }) => {
      await confirm(context, 'This machine leaves the others. Go on?', options.yes)
      const system = await context.system()
      if (!options.now) await drain(context, system)
      using limit = context.deadline(leaveTimeoutMs)
      using _progress = progress(context, 'leaving')
      await (await system.membership(limit)).leave(limit)
      await untilMember(context, false)
      context.stdout.write('This machine is on its own now; its own units and runs go on.\n')
    })
}

/** What keeps it from being drained may not matter to `leave`, which says so itself if it does. */
async function drain(context: CliContext, system: System): Promise<void> {
  using limit = context.deadline(drainTimeoutMs)
  const status = await system.status(limit)
  // Who is alone has nowhere to send them.
  if (status.machines.length < 2) return
  const machine = answeringMachine(status) ?? ''
  try {
    await system.intend(machine, 'draining', limit)
  } catch (error) {
    context.stderr.write(`holon: not drained before: ${asHolonError(error).message}\n`)
    return
  }
  await untilEmpty(context, system, machine, limit.signal)
}
