/**
 * A timer of the fleet on real machines: the machine that leads is killed in the middle, and each
 * moment is acted on once. The rounds write into a file that all machines of the lab share.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { WhyAnswer } from '../../src/kernel/decisions.ts'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Lab, labName, noLab } from './harness.ts'
import { untilKeepers } from './join-support.ts'

const skip = noLab
const machines = ['n1', 'n2', 'n3', 'n4', 'n5'] as const
const periodMs = 2_000
let lab: Lab
let shared: string

before(async () => {
  if (noLab !== false) return
  shared = mkdtempSync('/opt/holon-fleet-timers-')
  lab = await Lab.up(machines.length, { name: labName('fleet-timers') })
  await untilKeepers(lab, 'n2', 3)
})
after(async () => {
  await lab?.[Symbol.asyncDispose]()
  if (shared !== undefined) rmSync(shared, { recursive: true, force: true })
})

async function status(machine: string, unit: string): Promise<UnitStatus> {
  const { stdout } = await lab.machine(machine).holon(['status', unit, '--json'])
  const [found] = JSON.parse(stdout === '' ? '[]' : stdout) as readonly UnitStatus[]
  assert.ok(found !== undefined, `${machine} knows no ${unit}`)
  return found
}

interface Firing {
  readonly machine: string
  readonly scheduledMs: number
}

/** None while the state does not answer. */
async function firings(machine: string): Promise<readonly Firing[]> {
  const { stdout } = await lab.machine(machine).holon(['why', 'tick.timer', '--json'])
  const decisions = stdout === '' ? [] : (JSON.parse(stdout) as WhyAnswer).decisions
  return decisions.flatMap(({ machine: decider, why }) => {
    const scheduled = /scheduled (\S+)/.exec(why)?.[1]
    return scheduled ? [{ machine: decider, scheduledMs: Date.parse(scheduled) }] : []
  })
}

test('each moment once, while the machine that leads is killed', { skip }, async () => {
  const log = join(shared, 'tick.log')
  const write = `/bin/sh -c 'echo $$(hostname) >>${log}'`
  writeFileSync(log, '')
  writeFileSync(join(shared, 'tick.service'), `[Service]\nType=oneshot\nExecStart=${write}\n`)
  const timer = '[Timer]\nOnCalendar=*:*:0/2\n[X-Holon]\nOnMissed=run-all\n'
  writeFileSync(join(shared, 'tick.timer'), timer)
  await lab.machine('n2').ok(['enable', '--now', join(shared, 'tick.timer')])
  const lines = () => readFileSync(log, 'utf8').split('\n').filter(Boolean).length
  await lab.until('it fires', async () => lines() >= 3, 30_000)
  const fired = await firings('n2')
  const first = fired[0]?.scheduledMs ?? Number.NaN
  const leader = fired.at(-1)?.machine ?? ''
  const asked = machines.find((machine) => machine !== leader) ?? 'n2'
  await lab.kill(leader)
  await lab.until(
    'another machine fires it',
    async () => (await firings(asked)).some(({ machine }) => machine !== leader),
    60_000,
  )
  const before = lines()
  await lab.until('it goes on', async () => lines() >= before + 3, 30_000)
  await lab.machine(asked).ok(['stop', 'tick.timer'])
  await lab.until('the last round is over', async () => {
    return (await status(asked, 'tick.service')).fleet?.round?.endedAtMs !== undefined
  })
  const { fleet } = await status(asked, 'tick.service')
  const { timer: done } = await status(asked, 'tick.timer')
  const moments = ((done?.lastScheduledMs ?? 0) - first) / periodMs + 1
  assert.equal(fleet?.round?.number, moments, 'a round for each moment')
  // The round that ran on the machine that was killed may have been started again.
  assert.ok(moments <= lines() && lines() <= moments + 1, `${lines()} runs for ${moments} moments`)
  const { stdout } = await lab.machine(asked).holon(['list-timers', '-a'])
  assert.match(stdout, /tick\.timer +tick\.service/)
})
