/** Instances that give way to others of a higher Priority=, in a simulated fleet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Simulation, simulate } from '../../src/sim/index.ts'

const gib = 2 ** 30

/** Four machines, each with room for two instances that reserve a core. */
function fourMachines(): Promise<Simulation> {
  const machines = ['m1', 'm2', 'm3', 'm4'].map((name) => ({ name, cpus: 2, memoryBytes: 4 * gib }))
  return simulate({ machines })
}

function text(priority: number, holon: string, unit = ''): string {
  const service = '[Service]\nExecStart=/usr/bin/program\nType=notify\n'
  return `[Unit]\n${unit}\n${service}[X-Holon]\nReserve=cpus=1\nPriority=${priority}\n${holon}\n`
}

const ready = (fleet: Simulation, unit: string) =>
  fleet.where(unit).filter(({ phase }) => phase === 'ready').length

function stops(fleet: Simulation, unit: string): number {
  const what = RegExp(`${unit.replace('.', '\\.')}/\\d+ stopping`)
  return fleet.history.filter((each) => what.test(each.what)).length
}

test('Priority=: where there is no room others give way, no more than needed, and come back', async () => {
  const fleet = await fourMachines()
  await fleet.start('batch.service', text(-10, 'Instances=8'))
  await fleet.settled()
  await fleet.start('web.service', text(10, 'Instances=3\nPerNode=1'))
  await fleet.until(() => ready(fleet, 'web.service') === 3, 10_000)
  await fleet.run(30_000)
  assert.equal(ready(fleet, 'batch.service'), 5)
  assert.equal(stops(fleet, 'batch.service'), 3)
  const waiting = [...fleet.waiting('batch.service').values()]
  assert.equal(waiting.filter((why) => /without room for cpus=1/.test(why)).length, 3)
  assert.equal(stops(fleet, 'web.service'), 0)
  await fleet.stop('web.service')
  await fleet.until(() => ready(fleet, 'batch.service') === 8, 20_000)
  assert.deepEqual(fleet.violations, [])
})

test('Priority=: what must not run twice is stopped before it is anywhere else', async () => {
  const fleet = await fourMachines()
  await fleet.start('batch.service', text(-10, 'Instances=7'))
  await fleet.start('once.service', text(-20, 'Partition=at-most'))
  await fleet.settled()
  await fleet.start('web.service', text(0, ''))
  await fleet.until(() => ready(fleet, 'web.service') === 1, 10_000)
  // The one that matters least gives way.
  await fleet.until(() => ready(fleet, 'once.service') === 0, 20_000)
  await fleet.run(10_000)
  assert.equal(ready(fleet, 'batch.service'), 7)
  await fleet.scale('batch.service', 6)
  await fleet.until(() => ready(fleet, 'once.service') === 1, 20_000)
  assert.deepEqual(fleet.violations, [])
})

test('Priority=: a lost machine’s instances take the places of others; equals never do', async () => {
  const fleet = await fourMachines()
  await fleet.start('web.service', text(10, 'Instances=4'))
  await fleet.start('batch.service', text(0, 'Instances=2'))
  await fleet.start('other.service', text(0, 'Instances=2'))
  await fleet.settled()
  const [place] = fleet.where('web.service')
  fleet.crash(place?.machine ?? '')
  await fleet.until(() => ready(fleet, 'web.service') === 4, 20_000)
  const least = () => ready(fleet, 'batch.service') + ready(fleet, 'other.service')
  await fleet.until(() => least() === 2, 20_000)
  const before = stops(fleet, 'batch.service') + stops(fleet, 'other.service')
  await fleet.run(60_000)
  assert.equal(stops(fleet, 'batch.service') + stops(fleet, 'other.service'), before)
  fleet.boot(place?.machine ?? '')
  await fleet.until(() => least() === 4, 30_000)
  assert.deepEqual(fleet.violations, [])
})

test('Priority=: what has to leave a drained machine takes the places of others', async () => {
  const fleet = await fourMachines()
  await fleet.start('web.service', text(10, 'Instances=2'))
  await fleet.start('once.service', text(10, 'Partition=at-most'))
  await fleet.start('batch.service', text(0, 'Instances=5'))
  await fleet.settled()
  const full = new Set(fleet.where('web.service').map(({ machine }) => machine))
  for (const { machine } of fleet.where('once.service')) full.add(machine)
  const [drained = '', ...others] = full
  await fleet.drain(drained)
  const left = () => [...fleet.where('web.service'), ...fleet.where('once.service')]
  await fleet.until(() => left().every(({ machine }) => machine !== drained), 30_000)
  await fleet.until(() => left().every(({ phase }) => phase === 'ready'), 30_000)
  assert.equal(left().length, 3)
  assert.ok(others.length > 0)
  assert.deepEqual(fleet.violations, [])
})

test('Priority=: nobody gives way for a machine where a condition does not hold', async () => {
  const fleet = await fourMachines()
  for (const machine of ['m2', 'm3']) fleet.path(machine, '/srv/data')
  await fleet.start('batch.service', text(-10, 'Instances=8'))
  await fleet.settled()
  await fleet.start('web.service', text(0, 'Instances=2', 'ConditionPathExists=/srv/data'))
  await fleet.until(() => ready(fleet, 'web.service') === 2, 20_000)
  await fleet.run(10_000)
  assert.equal(stops(fleet, 'batch.service'), 2)
  for (const { machine } of fleet.where('web.service')) assert.match(machine, /m2|m3/)
})
