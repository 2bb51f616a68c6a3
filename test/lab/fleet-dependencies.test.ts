/**
 * Units of the fleet that depend on each other, on real machines: what is required comes up first
 * and goes last, wherever the two run; and a unit is only where its conditions hold.
 *
 * Every program writes into one file, that all machines of the lab share, when it begins and when
 * it is asked to end.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Lab, labName, noLab } from './harness.ts'

const skip = noLab
let lab: Lab
let shared: string
let diary: string

before(async () => {
  if (noLab !== false) return
  shared = mkdtempSync('/opt/holon-fleet-dependencies-')
  diary = join(shared, 'diary')
  writeFileSync(diary, '')
  lab = await Lab.up(4, { name: labName('fleet-dependencies') })
})
after(async () => {
  await lab?.[Symbol.asyncDispose]()
  if (shared !== undefined) rmSync(shared, { recursive: true, force: true })
})

/** A program that takes a while to come up, and another one to end. */
function unitFile(name: string, unit: string, holon: string): string {
  const script = join(shared, `${name}.sh`)
  const say = (what: string) => `echo ${name} ${what} $(hostname) >>${diary}`
  const end = `trap '${say('ends')}; sleep 0.5; ${say('ended')}; exit 0' TERM`
  writeFileSync(script, `${end}\n${say('begins')}\nwhile :; do sleep 0.1; done\n`)
  const path = join(shared, name)
  const service = `ExecStartPre=/bin/sleep 1\nExecStart=/bin/sh ${script}`
  writeFileSync(path, `[Unit]\n${unit}\n[Service]\n${service}\n[X-Holon]\n${holon}\n`)
  return path
}

/** What programs wrote, oldest first, without the names of machines. */
function told(): readonly string[] {
  const lines = readFileSync(diary, 'utf8').split('\n')
  return lines.filter((line) => line !== '').map((line) => line.replace(/ [^ ]*$/, ''))
}

async function places(unit: string): Promise<readonly string[]> {
  const { stdout } = await lab.machine('n1').holon(['list-units', '--json'])
  const units = JSON.parse(stdout === '' ? '[]' : stdout) as readonly UnitStatus[]
  const instances = units.find(({ name }) => name === unit)?.instances ?? []
  return instances.filter(({ active }) => active === 'active').map(({ machine }) => machine)
}

test('what is required comes up first and goes last, on whatever machines', { skip }, async () => {
  const db = unitFile('db.service', '', 'Instances=2\nPerNode=1')
  const web = unitFile('web.service', 'Requires=db.service\nAfter=db.service', 'Instances=2')
  const machine = lab.machine('n2')
  await machine.ok(['start', db])
  await machine.ok(['stop', 'db'])
  writeFileSync(diary, '')
  await machine.holon(['start', web])
  const isUp = async () => (await places('web.service')).length === 2
  await lab.until('web is up', isUp, 30_000)
  assert.equal((await places('db.service')).length, 2)
  const begun = told()
  assert.deepEqual(begun.slice(0, 2), ['db.service begins', 'db.service begins'])
  assert.deepEqual(begun.slice(2), ['web.service begins', 'web.service begins'])
  assert.match(await machine.ok(['why', 'db']), /web\.service is started, and has Requires=/)
  writeFileSync(diary, '')
  await lab.machine('n3').ok(['stop', 'db'])
  const ended = told()
  assert.equal(ended.indexOf('db.service ends'), ended.lastIndexOf('web.service ended') + 1)
  assert.deepEqual([await places('web.service'), await places('db.service')], [[], []])
  assert.match(await machine.ok(['why', 'web']), /db\.service was stopped, and this has Requires=/)
})

test('a circle is refused when it is loaded; on one machine, dependencies are', {
  skip,
}, async () => {
  const circle = unitFile('db.service', 'After=web.service', 'Instances=2')
  const refused = await lab.machine('n1').holon(['start', circle])
  assert.notEqual(refused.status, 0)
  assert.match(refused.stderr, /db\.service → web\.service → db\.service: .*circle/)
  const own = unitFile('own.service', 'After=db.service', '')
  const single = await lab.machine('n1').holon(['start', '-m', 'n1', own])
  assert.notEqual(single.status, 0)
  assert.match(single.stderr, /own\.service:2: After=: .*load the file without -m/)
})

test('a unit is where its conditions hold, and nowhere else', { skip }, async () => {
  // Each machine has a /tmp of its own.
  const path = '/tmp/data'
  const file = unitFile('data.service', `ConditionPathExists=${path}`, '')
  await lab.machine('n3').exec(['touch', path])
  await lab.machine('n1').ok(['start', file])
  assert.deepEqual(await places('data.service'), ['n3'])
  await lab.kill('n3')
  const waits = async () => {
    const why = await lab.machine('n1').holon(['why', 'data'])
    return /of 4, 3 not ConditionPathExists=\/tmp\/data/.test(why.stdout)
  }
  await lab.until('why counts the machines', waits, 30_000)
  await lab.machine('n4').exec(['touch', path])
  const moved = async () => (await places('data.service')).join() === 'n4'
  await lab.until('it is where the file appeared', moved, 40_000)
})
