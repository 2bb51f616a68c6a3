/**
 * start stop restart enable disable is-active is-failed cat: systemctl's verbs, words and exit
 * statuses; and unload, which systemd does by itself when a file is gone.
 */
import { Command } from 'commander'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { InstanceStatus, UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { takenBack } from '../fleet-part.ts'
import { missingExitStatus } from '../missing.ts'
import { type ForOne, resolveUnit, resolveWholeUnit, type UnitArgument } from '../unit-arguments.ts'

/** Stopping may take TimeoutStopSec= of every instance, one after another. */
const verbTimeoutMs = 15 * 60_000

interface VerbOptions {
  readonly now?: boolean
  readonly quiet?: boolean
}

interface VerbTarget extends UnitArgument {
  /** Of a unit of the fleet that was there before: when a change of it was taken back last. */
  readonly earlier?: number | undefined
}

interface Verb {
  readonly description: string
  /** Whether a path given as an argument loads that file. */
  readonly load: boolean
  /** What to do with one instance; absent: the verb itself acts on one. */
  readonly forOne?: ForOne
  /** Does it for one unit; the exit status is the largest of all. */
  readonly act: (
    context: CliContext,
    target: VerbTarget,
    options: VerbOptions,
    signal: AbortSignal,
  ) => Promise<number>
  readonly now?: string
}

const verbs: Readonly<Record<string, Verb>> = {
  start: {
    description: 'Starts units, and resolves when they are up. A path loads that file first.',
    load: true,
    forOne: 'restart',
    act: async (context, { unit, earlier }, _options, signal) =>
      reportStart(context, await unit.start({ signal }), earlier),
  },
  stop: {
    description: 'Stops units and waits until they have ended.',
    load: false,
    forOne: 'restart',
    act: async (context, { unit }, _options, signal) =>
      reportStop(context, await unit.stop({ signal })),
  },
  restart: {
    description:
      'Restarts units, one instance after another, each up before the next goes down; ' +
      'UNIT/N restarts one instance. A path loads that file first.',
    load: true,
    act: async (context, { unit, instance, earlier }, _options, signal) => {
      const which = instance === undefined ? {} : { instance }
      return reportStart(context, await unit.restart(which, { signal }), earlier)
    },
  },
  enable: {
    description: 'Starts units whenever Holon starts. A path loads that file first.',
    load: true,
    forOne: 'restart',
    now: 'start them now, too',
    act: async (context, { unit, earlier }, options, signal) => {
      const { name, scope, wanted } = await unit.enable({ signal })
      // The fleet is never booted: nothing else would start it some day.
      const isIdle = scope === 'fleet' && !wanted && !options.now
      const hint = isIdle ? `; \`holon start ${name}\` starts it` : ''
      context.stdout.write(`${name} is enabled${hint}.\n`)
      return options.now ? reportStart(context, await unit.start({ signal }), earlier) : 0
    },
  },
  disable: {
    description: 'Does not start units by themselves any more.',
    load: false,
    forOne: 'restart',
    now: 'stop them now, too',
    act: async (context, { unit }, options, signal) => {
      const { name } = await unit.disable({ signal })
      context.stdout.write(`${name} is disabled.\n`)
      return options.now ? reportStop(context, await unit.stop({ signal })) : 0
    },
  },
  unload: {
    description: 'Forgets units that do not run: their files, and that they were enabled.',
    load: false,
    forOne: 'restart',
    now: 'stop them first',
    act: async (context, { unit }, options, signal) => {
      const status = options.now ? await unit.stop({ signal }) : await unit.status({ signal })
      const exit = options.now ? reportStop(context, status) : 0
      await unit.unload({ signal })
      context.stdout.write(`${status.name} is unloaded.\n`)
      return exit
    },
  },
  cat: {
    description: 'Prints unit files as loaded.',
    load: false,
    act: async (context, { unit }, _options, signal) => {
      const file = await unit.cat({ signal })
      const ending = file.text.endsWith('\n') ? '' : '\n'
      context.stdout.write(`# ${file.sourcePath ?? file.name}\n${file.text}${ending}`)
      return 0
    },
  },
}

/** `start`, `stop`, … as a command. */
export function unitVerb(name: string, context: CliContext): Command {
  if (name === 'is-active' || name === 'is-failed') return stateQuestion(name, context)
  const verb = verbs[name]
  if (verb === undefined) throw new HolonError('internal', `no verb ${name}`)
  const command = new Command(name).description(verb.description).argument('<unit...>')
  if (verb.now !== undefined) command.option('--now', verb.now)
  return command.action(async (units: readonly string[], options: VerbOptions) => {
    using limit = context.deadline(verbTimeoutMs)
    const { signal } = limit
    const system = await context.system()
    let exit = 0
    for (const text of units) {
      try {
        const { load, forOne } = verb
        // Before the file is loaded: the new text may be taken back at once.
        const earlier = load ? await lastTakenBack(system, text, signal) : undefined
        const target =
          forOne === undefined
            ? await resolveUnit(system, text, { signal, load })
            : await resolveWholeUnit(system, text, { signal, load, verb: name, forOne })
        exit = Math.max(exit, await verb.act(context, { ...target, earlier }, options, signal))
      } catch (error) {
        // One bad name does not keep the others from being done; alone, it is the answer.
        if (units.length === 1) throw withSystemctlStatus(error)
        context.stderr.write(`holon: ${asHolonError(error).message}\n`)
        exit = Math.max(exit, 1)
      }
    }
    context.setExit(exit)
  })
}

/** systemctl's own statuses: 5 for a unit that is not loaded. */
function withSystemctlStatus(error: unknown): unknown {
  if (!(error instanceof HolonError) || error.code !== 'not_found') return error
  return new HolonError('not_found', error.message, { details: { exitStatus: 5 }, cause: error })
}

/** When the newest change of it was taken back, of a unit of the fleet that was. */
async function lastTakenBack(
  system: System,
  text: string,
  signal: AbortSignal,
): Promise<number | undefined> {
  try {
    const { unit } = await resolveUnit(system, text, { signal, load: false })
    const { fleet } = await unit.status({ signal })
    return fleet === undefined ? undefined : takenBack(fleet)?.sinceMs
  } catch (error) {
    if (error instanceof HolonError && error.code === 'not_found') return undefined
    throw error
  }
}

/** What did not come up, and why. `earlier`: when a change was taken back before this start. */
function reportStart(context: CliContext, status: UnitStatus, earlier?: number): number {
  const failed = status.instances.filter((instance) => instance.active === 'failed')
  for (const instance of failed) {
    context.stderr.write(
      `holon: ${instance.name} failed: ${describeFailure(instance)}; ` +
        `see \`holon logs ${status.name}\` and \`holon why ${status.name}\`\n`,
    )
  }
  // As with systemctl no failure; but whoever asked should not have to find out.
  if (status.unmet !== undefined && status.active === 'inactive') {
    context.stderr.write(`holon: ${status.name} was not started: ${status.unmet} is not met\n`)
  }
  const isShort = reportFleet(context, status, earlier)
  return failed.length > 0 || isShort ? 1 : 0
}

/** Whether a unit of the fleet lacks instances that wait, or its change was taken back. */
function reportFleet({ stderr }: CliContext, status: UnitStatus, earlier?: number): boolean {
  const { name, fleet, instances, instancesWanted } = status
  if (fleet === undefined) return false
  const back = takenBack(fleet)
  // One that was taken back earlier is nothing that came of this start.
  const isBack = back !== undefined && back.sinceMs !== earlier
  if (isBack) {
    stderr.write(
      `holon: ${name}: text ${back.from} was taken back: ${back.why}; see \`holon why ${name}\`\n`,
    )
  }
  // What has ended well was up, and has no more to do.
  const isUp = ({ active }: InstanceStatus) => active === 'active' || active === 'inactive'
  const up = fleet.slots.filter(({ slot }) =>
    instances.some((each) => each.number === slot && isUp(each)),
  )
  const waiting = status.wanted && up.length < instancesWanted ? fleet.waiting : []
  for (const each of waiting) stderr.write(`holon: ${each}\n`)
  return isBack || waiting.length > 0
}

/** What a machine that did not answer has of a unit of the fleet is not known to have ended. */
function reportStop({ stderr }: CliContext, { name, notes, fleet }: UnitStatus): number {
  if (fleet === undefined || notes.length === 0) return 0
  for (const note of notes) stderr.write(`holon: ${name}: ${note}\n`)
  return missingExitStatus
}

/** "exit-code (status 203)". */
export function describeFailure(instance: InstanceStatus): string {
  const { exit, result } = instance
  if (exit?.execErrno !== undefined) return `${result} (cannot be executed: ${exit.execErrno})`
  if (exit?.signal !== undefined) return `${result} (${exit.signal})`
  if (exit?.code !== undefined) return `${result} (status ${exit.code})`
  return result
}

/** Prints a word per unit; exit 0 when one of them is in that state, as systemctl has it. */
function stateQuestion(name: 'is-active' | 'is-failed', context: CliContext): Command {
  return new Command(name)
    .description(`Prints each unit's state; the exit status is 0 if one is ${name.slice(3)}.`)
    .argument('<unit...>')
    .option('-q, --quiet', 'the exit status only')
    .action(async (units: readonly string[], options: VerbOptions) => {
      using limit = context.deadline()
      const { signal } = limit
      const system = await context.system()
      const states: string[] = []
      for (const text of units) {
        try {
          const how = { signal, load: false, verb: name, forOne: 'why' } as const
          const { unit } = await resolveWholeUnit(system, text, how)
          states.push((await unit.status({ signal })).active)
        } catch (error) {
          if (!(error instanceof HolonError && error.code === 'not_found')) throw error
          states.push('inactive')
        }
      }
      if (!options.quiet) context.stdout.write(states.map((state) => `${state}\n`).join(''))
      const asked = name.slice(3)
      context.setExit(states.includes(asked) ? 0 : asked === 'active' ? 3 : 1)
    })
}
