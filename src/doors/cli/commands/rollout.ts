/** `holon rollout status|history|undo UNIT`: how a change of a unit of the fleet comes out. */
import { Command, InvalidArgumentError } from 'commander'
import { sleep } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { FleetPart, UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { isChanging, rolloutText, takenBack } from '../fleet-part.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'
import { isoTime } from '../time.ts'
import { resolveWholeUnit } from '../unit-arguments.ts'

const followTimeoutMs = 24 * 3_600_000
const lookMs = 500

export function command(context: CliContext): Command {
  const rollout = new Command('rollout').description(
    'Shows, follows and takes back changes of units of the fleet.',
  )
  rollout
    .command('status')
    .description('Follows a change until it is out: exit 1 when it was taken back.')
    .argument('<unit>')
    .option('--no-wait', 'as it is now')
    .action((name: string, options: { readonly wait: boolean }) => follow(context, name, options))
  rollout
    .command('history')
    .description('Lists the texts that a unit had.')
    .argument('<unit>')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action((name: string, options: ListingOptions) => history(context, name, options))
  rollout
    .command('undo')
    .description('Goes back to the text before, or to another one; brought out like every change.')
    .argument('<unit>')
    .option('--to <number>', 'to the text with this number', parseNumber)
    .action(async (name: string, options: { readonly to?: number }) => {
      using limit = context.deadline(followTimeoutMs)
      const system = await context.system()
      const { unit } = await wholeUnit(system, 'undo', name, limit.signal)
      report(context, await unit.undo(options, limit))
    })
  return rollout
}

function wholeUnit(system: System, verb: string, name: string, signal: AbortSignal) {
  const how = { signal, load: false, verb: `rollout ${verb}`, forOne: 'why' } as const
  return resolveWholeUnit(system, name, how)
}

function parseNumber(text: string): number {
  if (/^[1-9]\d*$/.test(text)) return Number(text)
  throw new InvalidArgumentError('texts are numbered from 1; `holon rollout history` lists them.')
}

async function follow(
  context: CliContext,
  name: string,
  { wait }: { readonly wait: boolean },
): Promise<void> {
  using limit = context.deadline(followTimeoutMs)
  const { signal } = limit
  const system = await context.system()
  const { unit } = await wholeUnit(system, 'status', name, signal)
  let said = ''
  while (true) {
    const status = await unit.status({ signal })
    if (!wait || !isChanging(status)) return report(context, status)
    const text = [progress(context, status), ...fleetPart(status).waiting].join('\n  ')
    if (text !== said) context.stderr.write(`${text}\n`)
    said = text
    await sleep(context.clock, lookMs, signal)
  }
}

function report(context: CliContext, status: UnitStatus): void {
  context.stdout.write(`${progress(context, status)}\n`)
  if (takenBack(fleetPart(status)) !== undefined) context.setExit(1)
}

function progress(context: CliContext, status: UnitStatus): string {
  return `${status.name}: ${rolloutText(status, fleetPart(status), context.clock.wallMs())}`
}

async function history(context: CliContext, name: string, options: ListingOptions): Promise<void> {
  using limit = context.deadline()
  const { signal } = limit
  const system = await context.system()
  const { unit } = await wholeUnit(system, 'history', name, signal)
  const fleet = fleetPart(await unit.status({ signal }))
  printListing(context, options, fleet.history, {
    header: ['NUMBER', 'WHEN', 'BY', 'NOTE'],
    row: ({ spec, atMs, by, note = '' }) => [String(spec), isoTime(atMs), by, note],
  })
}

function fleetPart({ name, fleet, timer }: UnitStatus): FleetPart {
  if (fleet !== undefined) return fleet
  if (timer !== undefined) {
    throw new HolonError(
      'unsupported',
      `${name} is a timer: it has no rollout; \`holon rollout status ${timer.unit}\` is about ` +
        'what it starts',
    )
  }
  throw new HolonError('unsupported', `${name} belongs to one machine, not to the fleet`)
}
