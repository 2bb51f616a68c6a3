/** `holon why UNIT|MACHINE`: the recorded decisions that led here, and what comes next. */
import { Command } from 'commander'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import type { Decision, Fitting, WhyAnswer } from '../../../kernel/decisions.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { MachineInfo, UnitListing, UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { placeText, rolloutText } from '../fleet-part.ts'
import { reportIncomplete } from '../missing.ts'
import { ago, isoTime } from '../time.ts'
import { resolveUnit, type UnitArgument } from '../unit-arguments.ts'

export function command(context: CliContext): Command {
  return new Command('why')
    .description('Explains how a unit or a machine came to its state, from recorded decisions.')
    .argument('<unit-or-machine>')
    .option('--json', 'as JSON')
    .action(async (text: string, options: { json?: boolean }) => {
      using limit = context.deadline()
      const system = await context.system()
      const asked = await findAsked(system, text, limit.signal)
      if ('machine' in asked) return explainMachine(context, asked.machine, options, limit.signal)
      const { unit, instance } = asked
      const answer = await unit.why(limit)
      const name = instance === undefined ? undefined : `${answer.unit}/${instance}`
      const explained = options.json ? json(answer) : formatWhy(context, answer, name)
      context.stdout.write(explained)
      if (name !== undefined && !isKnown(answer, name)) {
        context.stderr.write(
          `holon: nothing is recorded of ${name}; ` +
            `\`holon status ${answer.unit}\` shows its instances\n`,
        )
      }
    })
}

/** A machine of the fleet; of one that is gone only what is recorded. */
type KnownMachine = Pick<MachineInfo, 'name'> & Partial<MachineInfo>

/** What is recorded of a machine; nothing where the state does not answer, or there is none. */
async function seenOf(
  system: System,
  about: string,
  signal: AbortSignal,
): Promise<readonly Decision[]> {
  try {
    return (await system.events({ about }, { signal })).events
  } catch (error) {
    const { code } = asHolonError(error)
    if (code !== 'unsupported' && code !== 'unavailable') throw error
    return []
  }
}

const json = (value: unknown) => `${JSON.stringify(value, undefined, 2)}\n`

/** A unit, or else a machine of that name. */
async function findAsked(
  system: System,
  text: string,
  signal: AbortSignal,
): Promise<UnitArgument | { readonly machine: KnownMachine }> {
  try {
    return await resolveUnit(system, text, { signal, load: false })
  } catch (error) {
    if (!(error instanceof HolonError) || error.code !== 'not_found') throw error
    const { machines } = await system.machines({ signal })
    const machine = machines.find(({ name }) => name === text)
    if (machine !== undefined) return { machine }
    if ((await seenOf(system, text, signal)).length > 0) return { machine: { name: text } }
    const quoted = JSON.stringify(text)
    const message = `${error.message}; nor is there a machine ${quoted}, see \`holon machines\``
    throw new HolonError('not_found', message, { details: error.details, cause: error })
  }
}

function isKnown({ status, decisions, next }: WhyAnswer, instance: string): boolean {
  const there = [...placesOf(status), ...status.instances].some(({ name }) => name === instance)
  const waits = next.some((line) => isAbout(line, instance))
  return there || waits || decisions.some((decision) => decision.instance === instance)
}

/** Whether a sentence is about that instance: "web.service/1: no machine fits". */
function isAbout(line: string, instance: string): boolean {
  return line.startsWith(`${instance}:`) || line.startsWith(`${instance} `)
}

function formatWhy(context: CliContext, answer: WhyAnswer, instance: string | undefined): string {
  const { status } = answer
  const lines = [`${answer.unit} is ${status.active} (${status.sub})`]
  const { fleet } = status
  if (fleet !== undefined) lines.push(`  ${rolloutText(status, fleet, context.clock.wallMs())}`)
  for (const note of status.notes) lines.push(`  note: ${note}`)
  const places = placesOf(status).filter(({ name }) => instance === undefined || name === instance)
  if (places.length > 0) lines.push('', 'Where it is:')
  for (const { name, machine, text } of places) lines.push(`  ${name} on ${machine}: ${text}`)
  const decisions = answer.decisions.filter(
    (d) => instance === undefined || d.instance === undefined || d.instance === instance,
  )
  lines.push('', 'What led here:')
  if (decisions.length === 0) lines.push('  nothing is recorded')
  lines.push(...decisions.map((d) => decisionLine({ about: answer.unit, ...d })))
  if (answer.fitting !== undefined) lines.push('', ...fittingLines(answer.fitting))
  const next = answer.next.filter((line) => instance === undefined || isAbout(line, instance))
  if (next.length > 0) lines.push('', 'What comes next:', ...next.map((line) => `  ${line}`))
  return `${lines.join('\n')}\n`
}

function decisionLine({ atMs, machine, instance, about, what, why }: Decision): string {
  return `  ${isoTime(atMs)} ${machine} ${instance ?? about}: ${what}: ${why}`
}

/** Where it is not, and why: machines counted by what refuses them. */
function fittingLines({ machines, fitting, refusals }: Fitting): readonly string[] {
  return [
    `Where one more could be: on ${fitting} of ${machines} machines`,
    ...refusals.map(({ why, count, examples }) => {
      const named = examples.map(({ machine, detail }) =>
        detail === undefined ? machine : `${machine}: ${detail}`,
      )
      const more = count > examples.length ? ', …' : ''
      return `  not on ${count}, ${why} (${named.join(', ')}${more})`
    }),
  ]
}

interface Place {
  readonly name: string
  readonly machine: string
  readonly next: string | undefined
  readonly text: string
}

function placesOf({ name, fleet }: UnitStatus): readonly Place[] {
  return (fleet?.slots ?? []).map((slot) => ({
    name: `${name}/${slot.slot}`,
    machine: slot.machine,
    next: slot.next,
    text: placeText(slot),
  }))
}

async function explainMachine(
  context: CliContext,
  machine: KnownMachine,
  options: { readonly json?: boolean },
  signal: AbortSignal,
): Promise<void> {
  const system = await context.system()
  const { name } = machine
  const [listing, decisions] = await Promise.all([
    system.units({ signal }),
    seenOf(system, name, signal),
  ])
  const places = listing.units.flatMap(placesOf)
  const here = places.filter((place) => place.machine === name || place.next === name)
  const text = options.json
    ? json({ machine, instances: here, decisions })
    : formatMachine(context, machine, { here, decisions, listing })
  context.stdout.write(text)
  reportIncomplete(context, listing)
}

function formatMachine(
  context: CliContext,
  { name, status, intent }: KnownMachine,
  found: {
    readonly here: readonly Place[]
    readonly decisions: readonly Decision[]
    readonly listing: UnitListing
  },
): string {
  const { here, decisions, listing } = found
  const lines = [status === undefined ? `${name} is not in the fleet` : `${name} is ${status}`]
  if (intent !== undefined) {
    const since = `${isoTime(intent.sinceMs)} (${ago(context.clock.wallMs() - intent.sinceMs)})`
    lines.push(`  ${intent.wish} since ${since}, asked by ${intent.by}`)
  }
  lines.push('', "The fleet's instances there:")
  if (here.length === 0) lines.push('  none')
  for (const place of here) {
    const text = place.machine === name ? place.text : `to take over from ${place.machine}`
    lines.push(`  ${place.name}: ${text}`)
  }
  if (decisions.length > 0) lines.push('', 'What led here:', ...decisions.map(decisionLine))
  const waiting = listing.units.flatMap(({ fleet }) => fleet?.waiting ?? [])
  if (waiting.length > 0) lines.push('', 'What waits:', ...waiting.map((line) => `  ${line}`))
  return `${lines.join('\n')}\n`
}
