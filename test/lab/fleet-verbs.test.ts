/** What an operator does to units of the fleet and to machines, by the commands themselves. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Lab, labName, type Machine, noLab } from './harness.ts'

const skip = noLab
let lab: Lab
let n1: Machine
let dir: string

before(async () => {
  if (noLab !== false) return
  dir = mkdtempSync('/opt/holon-fleet-verbs-')
  lab = await Lab.up(4, { name: labName('fleet-verbs') })
  n1 = lab.machine('n1')
  await lab.untilVoters(3)
})
after(async () => {
  await lab?.[Symbol.asyncDispose]()
  if (dir !== undefined) rmSync(dir, { recursive: true, force: true })
})

function unitFile(name: string, service: readonly string[], holon: readonly string[]): string {
  const path = join(dir, name)
  writeFileSync(path, ['[Service]', ...service, '[X-Holon]', ...holon, ''].join('\n'))
  return path
}

async function unit(name: string): Promise<UnitStatus> {
  const units = await n1.json<readonly UnitStatus[]>(['list-units', '--json'])
  const found = units.find((each) => each.name === name)
  assert.ok(found !== undefined, `no ${name} in ${JSON.stringify(units)}`)
  return found
}

const upCount = ({ instances }: UnitStatus) =>
  instances.filter(({ active }) => active === 'active').length
const web = (seconds: number) =>
  unitFile('web.service', [`ExecStart=/bin/sleep ${seconds}`, 'Restart=always'], ['Instances=2'])

test('scale: more, fewer, never beyond what is allowed', { skip }, async () => {
  await n1.ok(['enable', '--now', web(2000001)])
  await n1.ok(['scale', 'web=4'])
  assert.equal(upCount(await unit('web.service')), 4)
  await n1.ok(['scale', 'web=2'])
  assert.equal((await unit('web.service')).instances.length, 2)
  const { status, stderr } = await n1.holon(['scale', 'web=2000'])
  assert.notEqual(status, 0)
  assert.match(stderr, /its file allows 0 to 1000/)
})

test('restart UNIT/N returns when that instance is another one; stop takes whole units', {
  skip,
}, async () => {
  const pids = async () =>
    new Map((await unit('web.service')).instances.map(({ number, pid }) => [number, pid]))
  const earlier = await pids()
  await n1.ok(['restart', 'web/1'])
  const now = await pids()
  assert.notEqual(now.get(1), earlier.get(1))
  assert.equal(now.get(2), earlier.get(2))
  assert.match((await n1.holon(['stop', 'web/1'])).stderr, /restart web\/1/)
  assert.deepEqual(await pids(), now)
})

test('a change that is no good is told, taken back and listed; undo goes back further', {
  skip,
}, async () => {
  await n1.ok(['restart', web(2000002)])
  assert.match(await n1.ok(['rollout', 'status', 'web']), /2 of 2 instances have text \d/)
  unitFile('web.service', ['ExecStart=/bin/false'], ['Instances=2'])
  const bad = await n1.holon(['start', join(dir, 'web.service')], { timeoutMs: 90_000 })
  assert.equal(bad.status, 1, bad.stdout + bad.stderr)
  assert.match(bad.stderr, /taken back/)
  assert.equal((await n1.holon(['rollout', 'status', 'web'])).status, 1)
  await n1.ok(['rollout', 'undo', 'web'], { timeoutMs: 90_000 })
  assert.match(await n1.ok(['cat', 'web']), /sleep 2000001/)
  const history = await n1.ok(['rollout', 'history', 'web'])
  assert.match(history, /rolled back from \d+: web\.service\/\d/)
  assert.match(history, /uid 0 +taken back from \d/)
})

test('drain: what may run twice, what must not, and what has ended, leave; and may return', {
  skip,
}, async () => {
  const sleep = ['ExecStart=/bin/sleep 2000003', 'Restart=always']
  await n1.ok(['enable', '--now', unitFile('once.service', sleep, ['Partition=at-most'])])
  const task = unitFile('task.service', ['Type=oneshot', 'ExecStart=/bin/false'], [])
  assert.notEqual((await n1.holon(['start', task])).status, 0)
  const places = async (name: string) => (await unit(name)).machines
  for (const name of ['once.service', 'task.service', 'web.service']) {
    const [victim = ''] = await places(name)
    assert.notEqual(victim, '', `${name} is somewhere`)
    await n1.ok(['drain', victim], { timeoutMs: 60_000 })
    if (name !== 'task.service') assert.ok(!(await places(name)).includes(victim))
    assert.match((await n1.holon(['machines'])).stdout, new RegExp(`^${victim} +up,draining`, 'm'))
    await n1.ok(['undrain', victim])
  }
  assert.equal(upCount(await unit('web.service')), 2)
  assert.equal(upCount(await unit('once.service')), 1)
})

test('a drain that cannot end says what it waits for; cordon keeps new instances off', {
  skip,
}, async () => {
  await n1.ok(['machines', 'label', 'n3', 'disk=ssd'])
  const sleep = ['ExecStart=/bin/sleep 2000004', 'Restart=always']
  await n1.ok(['enable', '--now', unitFile('db.service', sleep, ['Require=disk=ssd'])])
  assert.deepEqual((await unit('db.service')).machines, ['n3'])
  await n1.ok(['drain', '--no-wait', 'n3'])
  await lab.until('why says what it waits for', async () =>
    /db\.service\/1.*not disk=ssd/s.test(await n1.ok(['why', 'n3'])),
  )
  await n1.ok(['undrain', 'n3'])
  await n1.ok(['cordon', 'n3'])
  await n1.ok(['stop', 'db'])
  const waits = await n1.holon(['start', 'db'])
  assert.equal(waits.status, 1)
  assert.match(waits.stderr, /cordoned/)
  await n1.ok(['uncordon', 'n3'])
  await lab.until('it has its place', async () => upCount(await unit('db.service')) === 1)
})

test('leave: what the fleet has there is ready elsewhere first', { skip }, async () => {
  const [leaver = ''] = (await unit('web.service')).machines.filter((name) => name !== 'n1')
  const { stderr } = await lab.machine(leaver).holon(['leave', '--yes'], { timeoutMs: 120_000 })
  assert.match(stderr, new RegExp(`${leaver}: \\d of the fleet's instances left: web.service/`))
  const left = await unit('web.service')
  assert.ok(!left.machines.includes(leaver))
  assert.equal(upCount(left), 2)
  assert.equal((await lab.machine(leaver).exec(['pgrep', '-f', 'sleep 200000'])).stdout, '')
  assert.ok(!(await n1.holon(['machines', '--no-headers'])).stdout.includes(leaver))
})

test('events tell who asked for what, and what came of it', { skip }, async () => {
  await lab.until('they are recorded', async () => {
    const said = await n1.ok(['events', 'web'])
    return /scale to 4.*asked by uid 0/.test(said) && /go back to text/.test(said)
  })
})
