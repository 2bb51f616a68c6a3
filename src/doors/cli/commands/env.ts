/**
 * `holon env`: environment variables of a unit, sealed as secrets are. All of a unit's are one
 * secret; a change of it is a new release, so that it is brought out, and taken back, as any other.
 */

import { text as readAll } from 'node:stream/consumers'
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { limits } from '../../../base/limits.ts'
import { readTextBounded } from '../../../io/files.ts'
import type { System, Unit } from '../../../kernel/kernel.ts'
import type { Secrets } from '../../../kernel/secrets.ts'
import { parseEnvironmentFile } from '../../../unit/environment.ts'
import type { CliContext } from '../context.ts'
import { lastTakenBack } from '../deploy/follow.ts'
import { releaseOf, releaseText } from '../deploy/release-text.ts'
import { resolveWholeUnit } from '../unit-arguments.ts'
import { bringOut } from './deploy.ts'

const envTimeoutMs = 30 * 60_000

type Variables = Map<string, string>

export function command(context: CliContext): Command {
  const env = new Command('env').description(
    'Environment variables of a unit, sealed; a change restarts its instances one by one.',
  )
  env
    .command('set')
    .description(
      'Sets variables. KEY=- reads its value from standard input: what stands on the command ' +
        'line can be seen by everybody on this machine.',
    )
    .argument('<unit>')
    .argument('[assignments...]', 'KEY=VALUE, or KEY=-')
    .option('-f, --file <file>', 'assignments as in an EnvironmentFile=, such as .env')
    .action((name: string, words: readonly string[], options: { readonly file?: string }) =>
      change(context, name, async (variables) => {
        if (options.file !== undefined) addFile(variables, options.file)
        for (const word of words) await add(context, variables, word)
        if (words.length === 0 && options.file === undefined) {
          throw new HolonError('invalid_argument', 'env set: give KEY=VALUE, KEY=- or --file FILE')
        }
      }),
    )
  env
    .command('unset')
    .description('Removes variables.')
    .argument('<unit>')
    .argument('<keys...>')
    .action((name: string, keys: readonly string[]) =>
      change(context, name, (variables) => {
        for (const key of keys) {
          if (!variables.delete(key)) throw new HolonError('not_found', `${name} has no ${key}`)
        }
      }),
    )
  env
    .command('list')
    .description('Lists the names of variables, never their values.')
    .argument('<unit>')
    .option('--json', 'as JSON')
    .action(async (name: string, options: { readonly json?: boolean }) => {
      using limit = context.deadline()
      const { signal } = limit
      const system = await context.system()
      const { unit } = await whole(system, 'list', name, signal)
      const { variables } = await read(system, unit, signal)
      const names = [...variables.keys()].sort()
      if (options.json === true) context.stdout.write(`${JSON.stringify(names)}\n`)
      else for (const each of names) context.stdout.write(`${each}\n`)
    })
  return env
}

function whole(system: System, verb: string, name: string, signal: AbortSignal) {
  const how = { signal, load: false, verb: `env ${verb}`, forOne: 'restart' } as const
  return resolveWholeUnit(system, name, how)
}

async function change(
  context: CliContext,
  name: string,
  edit: (variables: Variables) => Promise<void> | void,
): Promise<void> {
  using limit = context.deadline(envTimeoutMs)
  const { signal } = limit
  const system = await context.system()
  const { unit } = await whole(system, 'set', name, signal)
  const { variables, secrets, secret, text, sourcePath } = await read(system, unit, signal)
  await edit(variables)
  const value = Buffer.from(encode(variables)).toString('base64')
  const { version } = await secrets.set(secret, value, { signal })
  const release = { ...releaseOf(text), env: { secret, version } }
  const earlier = await lastTakenBack(unit, signal)
  const { name: full, wanted } = await unit.status({ signal })
  const changed = await system.load(
    {
      name: full,
      text: releaseText(text, release),
      ...(sourcePath === undefined ? {} : { sourcePath }),
    },
    { signal },
  )
  if (wanted) context.setExit(await bringOut(context, changed, true, earlier, signal))
}

interface Read {
  readonly variables: Variables
  readonly secrets: Secrets
  readonly secret: string
  readonly text: string
  readonly sourcePath?: string
}

async function read(system: System, unit: Unit, signal: AbortSignal): Promise<Read> {
  const { name, text, sourcePath } = await unit.cat({ signal })
  const secrets = await system.secrets({ signal })
  const known = releaseOf(text).env
  const secret = known?.secret ?? `${name.replace(/\.service$/, '')}.env`
  const variables: Variables = new Map()
  if (known !== undefined) {
    const { base64 } = await secrets.show(secret, { signal })
    const content = Buffer.from(base64, 'base64').toString()
    for (const [key, value] of parseEnvironmentFile(content).assignments) variables.set(key, value)
  }
  return { variables, secrets, secret, text, ...(sourcePath === undefined ? {} : { sourcePath }) }
}

async function add({ stdin }: CliContext, variables: Variables, word: string): Promise<void> {
  const equals = word.indexOf('=')
  const key = word.slice(0, Math.max(0, equals))
  requireName(key, word)
  const value = word.slice(equals + 1)
  // What is typed or echoed ends with a line, which is not part of it.
  variables.set(key, value === '-' ? (await readAll(stdin)).replace(/\n$/, '') : value)
}

function addFile(variables: Variables, path: string): void {
  const { assignments, skipped } = parseEnvironmentFile(
    readTextBounded(path, limits.secretBytesMax),
  )
  const [first] = skipped
  if (first !== undefined) {
    throw new HolonError('invalid_argument', `${path}:${first.line}: ${first.message}`)
  }
  for (const [key, value] of assignments) variables.set(key, value)
}

function requireName(key: string, word: string): void {
  if (/^[A-Za-z_][A-Za-z0-9_]*$/.test(key)) return
  // Not the whole word: it may hold what nobody is to see.
  const shown = word.includes('=') ? `${key}=…` : word
  throw new HolonError('invalid_argument', `env: ${JSON.stringify(shown)} is not like KEY=VALUE`)
}

/** As EnvironmentFile= reads it back. */
function encode(variables: Variables): string {
  const quote = (value: string) =>
    `"${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('$', '\\$').replaceAll('`', '\\`')}"`
  return [...variables].map(([key, value]) => `${key}=${quote(value)}\n`).join('')
}
