/** `holon secret`: values that units are given as files; see docs/secrets.md. */
import { once } from 'node:events'
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { limits } from '../../../base/limits.ts'
import { readBytesBounded } from '../../../io/private-files.ts'
import type { SecretInfo } from '../../../kernel/secrets.ts'
import type { CliContext } from '../context.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { isoTime } from '../time.ts'

export function command(context: CliContext): Command {
  const secret = new Command('secret').description(
    'Keeps values sealed, and gives them to units as files (LoadCredential=).',
  )
  secret
    .command('set')
    .description('Sets a secret from standard input, or from a file; a terminal is asked.')
    .argument('<name>')
    .option('-f, --from-file <file>', 'the value is what this file holds')
    .action((name: string, options: { fromFile?: string }) => set(context, name, options.fromFile))
  secret
    .command('list')
    .description('Lists secrets: names, versions, sizes; never values.')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action((options: ListingOptions) => list(context, options))
  secret
    .command('show')
    .description('Writes the value of a secret to standard output, as it is.')
    .argument('<name>')
    .action(async (name: string) => {
      using limit = context.deadline()
      const secrets = await (await context.system()).secrets(limit)
      const { base64 } = await secrets.show(name, limit)
      context.stdout.write(Buffer.from(base64, 'base64'))
    })
  secret
    .command('remove')
    .description('Removes a secret; refused while a unit names it.')
    .argument('<name>')
    .option('--force', 'also while a unit names it, which does not start any more')
    .action(async (name: string, { force = false }: { force?: boolean }) => {
      using limit = context.deadline()
      const secrets = await (await context.system()).secrets(limit)
      await secrets.remove(name, { force }, limit)
    })
  return secret
}

async function set(context: CliContext, name: string, file: string | undefined): Promise<void> {
  const value = file === undefined ? await fromStdin(context, name) : fromFile(file)
  using limit = context.deadline()
  const secrets = await (await context.system()).secrets(limit)
  const base64 = Buffer.from(value).toString('base64')
  const { version, bytes } = await secrets.set(name, base64, limit)
  context.stderr.write(
    `holon: ${name} has version ${version} now, ${bytes} bytes; ` +
      'instances have it from their next start on\n',
  )
}

function fromFile(path: string): Uint8Array {
  return readBytesBounded(path, limits.secretBytesMax)
}

/** What is typed ends with the line, which is not part of it; of all else nothing is taken off. */
async function fromStdin(context: CliContext, name: string): Promise<Uint8Array> {
  const { stdin } = context
  if (stdin.isTTY === true) return Buffer.from(await asked(context, name))
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of stdin) {
    chunks.push(Buffer.from(chunk))
    size += chunk.length
    if (size > limits.secretBytesMax) {
      throw new HolonError(
        'exhausted',
        `set the secret ${name}: more than ${limits.secretBytesMax} bytes are not kept`,
      )
    }
  }
  if (size > 0) return Buffer.concat(chunks)
  throw new HolonError('invalid_argument', `set the secret ${name}: standard input is empty`)
}

/** Without an echo. Ctrl-C, Ctrl-D on an empty line: `cancelled`. */
async function asked({ stdin, stderr }: CliContext, name: string): Promise<string> {
  stdin.setEncoding('utf8').setRawMode(true)
  stderr.write(`value of ${name} (not shown): `)
  try {
    let typed = ''
    for (;;) {
      const [chunk] = await Promise.race([once(stdin, 'data'), once(stdin, 'end')])
      const text = chunk === undefined ? '\u0004' : String(chunk)
      for (const character of text) {
        if (character === '\r' || character === '\n') {
          if (typed !== '') return typed
          continue
        }
        if (character === '\u0003' || (character === '\u0004' && typed === '')) {
          throw new HolonError('cancelled', 'nothing was set', { details: { exitStatus: 1 } })
        }
        if (character === '\u007f' || character === '\b') typed = [...typed].slice(0, -1).join('')
        else if (character === '\u0015') typed = ''
        else if (character >= ' ') typed += character
      }
    }
  } finally {
    stdin.setRawMode(false)
    stdin.pause()
    stderr.write('\n')
  }
}

async function list(context: CliContext, options: ListingOptions): Promise<void> {
  using limit = context.deadline()
  const secrets = await (await context.system()).secrets(limit)
  const row = ({ name, version, bytes, changedAtMs, by }: SecretInfo) => [
    name,
    String(version),
    String(bytes),
    isoTime(changedAtMs),
    by,
  ]
  const header = ['NAME', 'VERSION', 'BYTES', 'CHANGED', 'BY']
  printListing(context, options, await secrets.list(limit), { header, row })
}
