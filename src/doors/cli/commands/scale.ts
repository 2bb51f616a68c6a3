/** `holon scale UNIT=N`: so many instances of a unit of the fleet, whatever its file says. */
import { Command } from 'commander'
import { sleep } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import type { Unit } from '../../../kernel/kernel.ts'
import type { CallOptions, UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { resolveWholeUnit } from '../unit-arguments.ts'

const scaleTimeoutMs = 15 * 60_000
const lookMs = 100

export function command(context: CliContext): Command {
  return new Command('scale')
    .description('Sets how many instances of units of the fleet run, and waits until they do.')
    .argument('<unit=count...>', 'like web=5')
    .option('--no-wait', 'only write it down')
    .action(async (words: readonly string[], { wait }: { readonly wait: boolean }) => {
      const wishes = words.map(parseWish)
      using limit = context.deadline(scaleTimeoutMs)
      const { signal } = limit
      const system = await context.system()
      const how = { signal, load: false, verb: 'scale', forOne: 'restart' } as const
      let exit = 0
      for (const { name, count } of wishes) {
        const { unit } = await resolveWholeUnit(system, name, how)
        const status = wait
          ? await unit.scale(count, { signal })
          : await scaleUnwatched(context, unit, count, { signal })
        exit = Math.max(exit, report(context, status, count, wait))
      }
      context.setExit(exit)
    })
}

/** Once it is written it stands: nobody has to wait for what becomes of it. */
async function scaleUnwatched(
  { clock }: CliContext,
  unit: Unit,
  count: number,
  { signal }: CallOptions,
): Promise<UnitStatus> {
  const stop = new AbortController()
  const options = { signal: AbortSignal.any([signal, stop.signal]) }
  const written = async () => {
    while (true) {
      const status = await unit.status(options)
      if (status.fleet?.scale === count) return status
      await sleep(clock, lookMs, options.signal)
    }
  }
  try {
    return await Promise.race([unit.scale(count, options), written()])
  } finally {
    stop.abort(new HolonError('cancelled', 'scale: it is written down'))
  }
}

function report(context: CliContext, status: UnitStatus, count: number, wait: boolean): number {
  const up = status.instances.filter(({ active }) => active === 'active').length
  const stopped = status.wanted ? '' : ', as it is stopped'
  context.stdout.write(`${status.name}: ${up} of ${count} up${stopped}\n`)
  if (!wait || !status.wanted || up >= count) return 0
  for (const why of status.fleet?.waiting ?? []) context.stderr.write(`holon: ${why}\n`)
  return 1
}

/** "web=5". */
export function parseWish(word: string): { readonly name: string; readonly count: number } {
  const match = /^([^=]+)=(\d{1,6})$/.exec(word)
  const [, name, count] = match ?? []
  if (name !== undefined && count !== undefined) return { name, count: Number(count) }
  const quoted = JSON.stringify(word)
  throw new HolonError('invalid_argument', `scale ${quoted}: it is not like web=5`)
}
