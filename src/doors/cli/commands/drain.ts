/** drain undrain cordon uncordon: whether the fleet's instances may be on a machine. */
import { Command } from 'commander'
import { sleep } from '../../../base/clock.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { missingExitStatus } from '../missing.ts'

const drainTimeoutMs = 24 * 3_600_000
const lookMs = 1_000

const verbs = {
  cordon: {
    wish: 'cordoned',
    description: 'Keeps new instances of the fleet off machines. What is there stays.',
    done: 'nothing new of the fleet is placed there',
  },
  uncordon: {
    wish: 'none',
    description: 'Ends a cordon or a drain.',
    done: 'instances of the fleet may be placed there again',
  },
  undrain: {
    wish: 'none',
    description: 'Ends a drain or a cordon.',
    done: 'instances of the fleet may be placed there again',
  },
} as const

/** `cordon`, `uncordon`, `undrain`. */
export function intentVerb(name: keyof typeof verbs, context: CliContext): Command {
  const { wish, description, done } = verbs[name]
  return new Command(name)
    .description(description)
    .argument('<machine...>')
    .action(async (machines: readonly string[]) => {
      using limit = context.deadline()
      const system = await context.system()
      for (const machine of machines) {
        await system.intend(machine, wish, limit)
        context.stdout.write(`${machine}: ${done}.\n`)
      }
    })
}

/** `holon drain MACHINE`. */
export function command(context: CliContext): Command {
  return new Command('drain')
    .description('Has every instance of the fleet leave a machine, and waits until none is there.')
    .argument('<machine>')
    .option('--no-wait', 'only write it down')
    .action(async (machine: string, options: { readonly wait: boolean }) => {
      using limit = context.deadline(drainTimeoutMs)
      const system = await context.system()
      await system.intend(machine, 'draining', limit)
      if (!options.wait) context.stdout.write(`${machine} is being drained.\n`)
      else if (await untilEmpty(context, system, machine, limit.signal)) {
        reportEmpty(context, machine)
      } else reportSilent(context, machine)
    })
}

/**
 * Tells each change: how many are left, and what those wait for. False when the machine does not
 * answer in the end.
 */
export async function untilEmpty(
  context: CliContext,
  system: System,
  machine: string,
  signal: AbortSignal,
): Promise<boolean> {
  let said = ''
  while (true) {
    const { units, missing, stateUnavailable } = await system.units({ signal })
    const staying = units.filter((unit) => leftOn(unit, machine).length > 0)
    if (staying.length === 0 && stateUnavailable === undefined) {
      return !missing.some((each) => each.machine === machine)
    }
    const left = staying.flatMap((unit) => leftOn(unit, machine))
    const waiting = staying.flatMap(({ fleet }) => fleet?.waiting ?? [])
    const text = [
      `${machine}: ${left.length} of the fleet's instances left: ${left.join(', ')}`,
      ...waiting,
      ...(stateUnavailable === undefined ? [] : [stateUnavailable]),
    ].join('\n  ')
    if (text !== said) context.stderr.write(`${text}\n`)
    said = text
    await sleep(context.clock, lookMs, signal)
  }
}

/** What has ended there for good has nothing left to leave with. */
function leftOn({ scope, instances, fleet }: UnitStatus, machine: string): readonly string[] {
  if (scope !== 'fleet') return []
  const ended = fleet?.slots.filter((slot) => slot.endedAtMs !== undefined) ?? []
  const left = instances.filter(
    (each) =>
      each.machine === machine &&
      each.active !== 'inactive' &&
      !ended.some((slot) => slot.slot === each.number && slot.machine === machine),
  )
  return left.map(({ name }) => name)
}

function reportEmpty({ stdout }: CliContext, machine: string): void {
  stdout.write(
    `${machine} is drained: none of the fleet's instances is there. ` +
      `\`holon undrain ${machine}\` has it back.\n`,
  )
}

/** What no longer belongs there may still run there. */
function reportSilent({ stderr, setExit }: CliContext, machine: string): void {
  stderr.write(
    `holon: ${machine} does not answer: none of the fleet's instances belongs there any more, ` +
      'but what it runs is not known\n',
  )
  setExit(missingExitStatus)
}
