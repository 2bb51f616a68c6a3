/** `holon invite`: prints the one line that makes another machine one of this system. */
import { Command, InvalidArgumentError } from 'commander'
import type { InviteWish } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { timeSpan } from '../global-options.ts'
import { progress } from '../progress.ts'
import { untilMember } from '../start-agent.ts'
import { duration, isoTime } from '../time.ts'

/** The first one starts an engine and moves the state into it. */
const inviteTimeoutMs = 120_000

interface InviteOptions {
  readonly uses?: number
  readonly ttl?: string
  readonly json?: boolean
}

export function command(context: CliContext): Command {
  return new Command('invite')
    .description('Prints the line to paste on another machine, which then joins this system.')
    .option('--uses <count>', 'how many machines may join with it; 1', parseUses)
    .option('--ttl <time>', 'how long it is good for, like 15m or 2h; 15m')
    .option('--json', 'address, token and the rest as JSON')
    .action(async (options: InviteOptions) => {
      const wish: InviteWish = {
        ...(options.uses === undefined ? {} : { uses: options.uses }),
        ...(options.ttl === undefined ? {} : { ttlMs: timeSpan('--ttl', options.ttl) }),
      }
      using limit = context.deadline(inviteTimeoutMs)
      using _progress = progress(context, 'preparing; the first invitation starts the shared state')
      const system = await context.system()
      const invitation = await (await system.membership(limit)).invite(wish, limit)
      await untilMember(context, true)
      if (options.json) {
        context.stdout.write(`${JSON.stringify(invitation, undefined, 2)}\n`)
        return
      }
      const { address, token, uses, expiresAtMs } = invitation
      const left = duration(expiresAtMs - context.clock.wallMs())
      const count = uses === 1 ? 'one machine' : `${uses} machines`
      context.stdout.write(`holon join ${address} ${token}\n`)
      context.stderr.write(
        `holon: for ${count}, until ${isoTime(expiresAtMs)} (${left}); ` +
          'whoever has this line can join\n',
      )
    })
}

function parseUses(text: string): number {
  const count = Number(text)
  if (/^\d+$/.test(text) && count >= 1) return count
  throw new InvalidArgumentError('a number from 1 is expected.')
}
