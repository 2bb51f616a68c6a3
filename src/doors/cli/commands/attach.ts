/** `holon attach ID`: the terminal or stdio of a detached run. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { exists } from '../../../io/files.ts'
import { openStdio } from '../../../rpc/stdio.ts'
import type { CliContext } from '../context.ts'
import { exitStatusOf } from '../exit-status.ts'
import { attachTerminal } from '../stdio-session.ts'

export function command(context: CliContext): Command {
  return new Command('attach')
    .description('Connects to a detached run. Ctrl-] leaves it running; it ends when the run does.')
    .argument('<id>')
    .option('--no-stdin', 'only watch')
    .action(async (id: string, options: { stdin: boolean }) => {
      using limit = context.deadline()
      const system = await context.system()
      const run = await system.findRun(id, limit)
      const info = await run.info(limit)
      if (info.state !== 'running') {
        throw new HolonError(
          'not_found',
          `run ${info.id} has ended; see \`holon logs run/${info.id}\``,
        )
      }
      const address = await run.address(limit)
      if (!exists(address.socketPath)) {
        throw new HolonError(
          'unsupported',
          `run ${info.id} is kept by a shell script, which nobody can attach to; ` +
            `watch it with \`holon logs -f run/${info.id}\``,
        )
      }
      const open = () => openStdio(address, { stdin: options.stdin }, limit)
      const exit = await attachTerminal(context, open, { tty: info.tty, detachable: true })
      if (exit === 'detached') context.stderr.write(`\r\nholon: run ${info.id} goes on\n`)
      else context.setExit(exitStatusOf(exit))
    })
}
