/** `holon resolve`: where a unit, an instance or a machine is found, now or as it changes. */
import { once } from 'node:events'
import { Command } from 'commander'
import type { NameChange, NamedPlace, Resolution } from '../../../kernel/names.ts'
import type { CliContext } from '../context.ts'
import { missingExitStatus, reportMissing } from '../missing.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { followWaitMs, PageReader } from '../page-reader.ts'
import { printable } from '../ps/width.ts'
import { isoTime, sinceText } from '../time.ts'

interface ResolveOptions extends ListingOptions {
  readonly watch?: boolean
}

export function command(context: CliContext): Command {
  return new Command('resolve')
    .description('Shows where a name leads: web, 1.web, n1.machines, or an address.')
    .argument('<name>')
    .option('-w, --watch', 'go on with what changes')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action((name: string, options: ResolveOptions) =>
      options.watch === true ? watch(context, name, options) : resolve(context, name, options),
    )
}

/** The exit status of a name that leads nowhere now. */
const nowhereExitStatus = 1

async function resolve(context: CliContext, name: string, options: ResolveOptions): Promise<void> {
  using limit = context.deadline()
  const resolution = await (await context.system()).resolve(name, limit)
  const isJson = options.json === true || options.output !== 'table'
  if (isJson) context.stdout.write(`${JSON.stringify(resolution, undefined, indentOf(options))}\n`)
  else if (resolution.places.length > 0) printPlaces(context, options, resolution)
  if (resolution.places.length === 0) {
    context.stderr.write(`holon: ${nothingThere(resolution, name)}\n`)
    context.setExit(nowhereExitStatus)
  }
  reportDoubts(context, resolution)
}

function indentOf({ output, json }: ResolveOptions): number | undefined {
  return output === 'jsonl' && json !== true ? undefined : 2
}

function printPlaces(context: CliContext, options: ListingOptions, { places }: Resolution): void {
  const header = ['NAME', 'MACHINE', 'ADDRESS', 'PORT', 'STATE']
  printListing(context, options, places, { header, row: cells })
}

function cells({ name, machine, addresses, port, state }: NamedPlace): readonly string[] {
  const address = addresses.length === 0 ? '-' : addresses.join(',')
  return [name, machine, address, port === undefined ? '-' : String(port), state]
}

function nothingThere({ name }: Resolution, asked: string): string {
  return `no instance of ${name} runs now; \`holon why ${asked}\` says more`
}

/** What keeps the answer from being sure; on stderr, with the exit status for it. */
function reportDoubts(context: CliContext, { isStale, knownAtMs, missing }: Resolution): void {
  reportMissing(context, missing)
  if (!isStale) return
  const since = sinceText(context.clock.wallMs() - knownAtMs)
  context.stderr.write(
    `holon: the fleet's state does not answer: as known ${since}, places may be others by now\n`,
  )
  context.setExit(missingExitStatus)
}

interface WatchQuery {
  readonly waitMs: number
}

async function watch(context: CliContext, name: string, options: ResolveOptions): Promise<void> {
  const reader = new PageReader<WatchQuery, NameChange>(context, async (system, signal) => {
    const names = await system.watchName(name, { signal })
    return (_query, callOptions) => names.next(callOptions)
  })
  await using _ends = reader
  const isJson = options.json === true || options.output !== 'table'
  for (let isFirst = true; ; isFirst = false) {
    const change = await reader.read({ waitMs: followWaitMs }, { follow: true })
    const lines = isJson ? jsonLines(change, isFirst) : textLines(context, change)
    if (isFirst && change.resolution === undefined) {
      context.stderr.write(`holon: there is no name ${JSON.stringify(name)} yet; waiting for it\n`)
    }
    if (lines !== '' && !context.stdout.write(lines)) await once(context.stdout, 'drain')
  }
}

function jsonLines(change: NameChange, isFirst: boolean): string {
  return isFirst || isChange(change) ? `${JSON.stringify(change)}\n` : ''
}

function textLines({ clock }: CliContext, { added, changed, removed }: NameChange): string {
  const at = isoTime(clock.wallMs())
  const line = (what: string) => (place: NamedPlace) =>
    `${printable(`${at} ${what} ${cells(place).join(' ')}`)}\n`
  return [
    ...added.map(line('added')),
    ...changed.map(line('changed')),
    ...removed.map(line('removed')),
  ].join('')
}

function isChange({ added, removed, changed }: NameChange): boolean {
  return added.length + removed.length + changed.length > 0
}
