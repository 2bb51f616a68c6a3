/** `holon join HOST:PORT TOKEN`: makes this machine one of those that invited it. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { readTextBounded } from '../../../io/files.ts'
import type { JoinWish } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { progress } from '../progress.ts'
import { ensureAgent, untilMember } from '../start-agent.ts'
import { parseLabels } from './machines.ts'

const joinTimeoutMs = 120_000
/** A token is a word; what is longer is something else. */
const tokenBytesMax = 4096

interface JoinOptions {
  readonly name?: string
  readonly zone?: string
  readonly label?: readonly string[]
  readonly tokenFile?: string
}

export function command(context: CliContext): Command {
  return new Command('join')
    .description('Makes this machine one of those that invited it. Starts the agent if need be.')
    .argument('<host:port>', 'as `holon invite` printed it')
    .argument('[token]', 'likewise; - reads it from stdin, where no process table shows it')
    .option('--token-file <file>', 'read the token from a file')
    .option('--name <name>', "this machine's name; its short host name")
    .option('--zone <zone>', 'where it is, like eu/paris/rack3')
    .option('--label <name=value>', 'a label; may be repeated', collect)
    .action(async (address: string, argument: string | undefined, options: JoinOptions) => {
      const wish: JoinWish = {
        address,
        token: await readToken(context, argument, options.tokenFile),
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.zone === undefined ? {} : { zone: options.zone }),
        ...(options.label === undefined ? {} : { labels: labelsOf(options.label) }),
      }
      await using holon = await ensureAgent(context)
      using limit = context.deadline(joinTimeoutMs)
      using _progress = progress(context, `joining at ${address}`)
      const membership = await holon.system.membership(limit)
      const { name, machines } = await membership.join(wish, limit)
      await untilMember(context, true)
      const count = machines.length
      context.stdout.write(
        `${name} has joined: ${machines.join(', ')} ${count === 1 ? 'is' : 'are'} one computer.\n`,
      )
    })
}

function labelsOf(words: readonly string[]): Readonly<Record<string, string>> {
  const { labels, zone } = parseLabels(words)
  if (zone === undefined) return labels ?? {}
  throw new HolonError(
    'invalid_argument',
    `--label zone=${zone}: the zone has its own option, --zone`,
  )
}

async function readToken(
  context: CliContext,
  argument: string | undefined,
  file: string | undefined,
): Promise<string> {
  if ((argument === undefined) === (file === undefined)) {
    const why = 'a token is needed, as an argument or by --token-file; `holon invite` makes one'
    throw new HolonError('invalid_argument', `join: ${why}`)
  }
  if (file !== undefined) return oneWord(readTextBounded(file, tokenBytesMax), file)
  if (argument !== '-') return oneWord(argument ?? '', 'the argument')
  let text = ''
  for await (const chunk of context.stdin) {
    text += String(chunk)
    if (text.length > tokenBytesMax) break
  }
  return oneWord(text, 'stdin')
}

function oneWord(text: string, source: string): string {
  const token = text.trim()
  if (token !== '' && token.length <= tokenBytesMax && !/\s/.test(token)) return token
  throw new HolonError('invalid_argument', `join: ${source} holds no token: one word is expected`)
}

function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value]
}
