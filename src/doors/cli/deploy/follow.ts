/** Waits until what was asked of a unit is so, and says how it goes. */
import { sleep } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import type { System, Unit } from '../../../kernel/kernel.ts'
import type { InstanceStatus, UnitStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { takenBack } from '../fleet-part.ts'
import { formatEntry } from '../log-format.ts'

const lookMs = 50
/** What is waited for is told when it takes longer than this. */
const slowMs = 2_000
/** Of the log, when it does not come up. */
const linesShown = 10

/** The exit status: 0 once all instances run what is wanted, 1 when it failed or was taken back. */
export async function untilOut(
  context: CliContext,
  unit: Unit,
  earlier: number | undefined,
  signal: AbortSignal,
): Promise<number> {
  let said = ''
  let saidMs = context.clock.nowMs()
  for (;;) {
    const status = await unit.status({ signal })
    const back = status.fleet === undefined ? undefined : takenBack(status.fleet)
    if (back !== undefined && back.sinceMs !== earlier) {
      return failed(context, unit, `the change was taken back: ${back.why}`, signal)
    }
    const { ready, wanted } = countReady(status)
    if (ready === wanted && status.fleet?.rollout?.status !== 'going') {
      context.stderr.write(`holon: ${status.name}: ${ready} of ${wanted} ready\n`)
      return 0
    }
    // A change that fails is taken back by the fleet; what is new is tried again for ever.
    const bad = status.instances.find(({ active }) => active === 'failed')
    if (bad !== undefined && status.fleet?.rollout?.status !== 'going') {
      const goesOn = status.scope === 'fleet' ? '; it is tried again and again' : ''
      const why = `${bad.name} on ${bad.machine} failed: ${bad.result}${goesOn}`
      return failed(context, unit, why, signal)
    }
    const waits = [...(status.fleet?.waiting ?? []), ...status.instances.flatMap(notReady)]
    const isSlow = context.clock.nowMs() - saidMs > slowMs
    const text = [`${status.name}: ${ready} of ${wanted} ready`, ...(isSlow ? waits : [])]
    if (!said.startsWith(text[0] ?? '') || (isSlow && said !== text.join('\n  '))) {
      said = text.join('\n  ')
      saidMs = context.clock.nowMs()
      context.stderr.write(`holon: ${said}\n`)
    }
    await sleep(context.clock, lookMs, signal)
  }
}

/** When the newest change of it was taken back, before this one. */
export async function lastTakenBack(unit: Unit, signal: AbortSignal): Promise<number | undefined> {
  const { fleet } = await unit.status({ signal })
  return fleet === undefined ? undefined : takenBack(fleet)?.sinceMs
}

/** Where to look at it: its public port on each machine that is up. */
export async function addressesOf(
  system: System,
  { serves }: UnitStatus,
  signal: AbortSignal,
): Promise<readonly string[]> {
  if (serves === undefined) return []
  const { port, protocol, hosts } = serves
  const scheme = protocol === 'http' ? 'http://' : ''
  const named = hosts.filter((host) => !host.startsWith('*'))
  if (named.length > 0) return named.map((host) => `${scheme}${host}:${port}`)
  const { machines } = await system.machines({ signal })
  const up = machines.filter(({ status }) => status === 'up')
  return up.map(({ name }) => `${scheme}${name}:${port}`)
}

function countReady({ instances, instancesWanted, fleet }: UnitStatus) {
  const current = new Set(
    fleet?.slots.filter(({ spec }) => spec === fleet.spec).map(({ slot }) => slot),
  )
  const isReady = ({ active, number }: InstanceStatus) =>
    active === 'active' && (fleet === undefined || current.has(number))
  return { ready: instances.filter(isReady).length, wanted: instancesWanted }
}

function notReady({ name, machine, unready, active }: InstanceStatus): readonly string[] {
  return active === 'activating' && unready !== undefined
    ? [`${name} on ${machine}: ${unready}`]
    : []
}

async function failed(
  context: CliContext,
  unit: Unit,
  why: string,
  signal: AbortSignal,
): Promise<number> {
  const { name } = await unit.status({ signal })
  context.stderr.write(`holon: ${name}: ${why}\n`)
  try {
    const { entries } = await unit.logs({ tail: linesShown }, { signal })
    for (const entry of entries) context.stderr.write(`  ${formatEntry(entry, 'short')}\n`)
  } catch (error) {
    if (!(error instanceof HolonError)) throw error
  }
  context.stderr.write(`holon: see \`holon logs ${name}\` and \`holon why ${name}\`\n`)
  return 1
}
