/** Units that depend on each other, and on what machines are like, in a simulated fleet. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Simulation, simulate } from '../../src/sim/index.ts'

function text(unit: string, { holon = '', sim = '', service = 'Type=notify' } = {}): string {
  const main = `[Service]\nExecStart=/usr/bin/program\n${service}\n`
  return `[Unit]\n${unit}\n${main}[X-Holon]\n${holon}\n[X-Sim]\n${sim}\n`
}

/** Gives the fleet a unit that is not started. */
async function give(fleet: Simulation, unit: string, file: string): Promise<void> {
  await fleet.start(unit, file)
  await fleet.stop(unit)
  await fleet.until(() => isStopped(fleet, unit), 10_000)
}

const isUp = (fleet: Simulation, unit: string, count: number) => {
  const where = fleet.where(unit)
  return where.length === count && where.every(({ phase }) => phase === 'ready')
}

const isStopped = (fleet: Simulation, unit: string) =>
  [1, 2, 3, 4, 5].every((slot) => fleet.running(unit, slot).length === 0)

/** When something like that was noted first, after another time. */
function when(fleet: Simulation, what: RegExp, afterMs = 0): number {
  const note = fleet.history.find((each) => each.atMs >= afterMs && what.test(each.what))
  assert.ok(note !== undefined, `${what} was never noted`)
  return note.atMs
}

function lastBefore(fleet: Simulation, what: RegExp, beforeMs: number): number {
  const note = fleet.history.findLast((each) => each.atMs < beforeMs && what.test(each.what))
  return note?.atMs ?? -1
}

test('what a unit requires is started with it and before it, and stopped after it', async () => {
  const fleet = await simulate({ machines: 5 })
  const db = { holon: 'Instances=2', sim: 'ReadySec=3s\nStopSec=1s' }
  await give(fleet, 'db.service', text('', db))
  const web = { holon: 'Instances=3', sim: 'StopSec=700ms' }
  const beganMs = fleet.nowMs
  await fleet.start('web.service', text('Requires=db.service\nAfter=db.service', web))
  await fleet.run(1_000)
  assert.match(fleet.waiting('web.service').get(1) ?? '', /waits for db\.service/)
  await fleet.until(() => isUp(fleet, 'web.service', 3), 20_000)
  assert.equal(isUp(fleet, 'db.service', 2), true)
  const webStartsMs = when(fleet, /web\.service\/\d starts/, beganMs)
  assert.ok(lastBefore(fleet, /db\.service\/\d ready/, webStartsMs) > beganMs)
  const stoppedMs = fleet.nowMs
  await fleet.stop('db.service')
  await fleet.until(() => isStopped(fleet, 'db.service'), 20_000)
  const dbStopsMs = when(fleet, /db\.service\/\d stopping/, stoppedMs)
  for (const slot of [1, 2, 3]) {
    assert.ok(when(fleet, RegExp(`web\\.service/${slot} stopped`), stoppedMs) < dbStopsMs)
  }
  assert.equal(isStopped(fleet, 'web.service'), true)
  assert.deepEqual(fleet.violations, [])
})

test('a unit is not started while what it waits for fails, and says so', async () => {
  const fleet = await simulate({ machines: 3 })
  await give(fleet, 'db.service', text('', { sim: 'Fails=yes' }))
  await fleet.start('web.service', text('Requires=db.service\nAfter=db.service'))
  await fleet.run(30_000)
  assert.match(fleet.waiting('web.service').get(1) ?? '', /db\.service.*(failed|in vain)/)
  assert.equal(isStopped(fleet, 'web.service'), true)
  await fleet.start('db.service', text(''))
  await fleet.until(() => isUp(fleet, 'web.service', 1), 60_000)
  await fleet.start('api.service', text('Requires=none.service'))
  await fleet.run(1_000)
  assert.match(
    fleet.waiting('api.service').get(1) ?? '',
    /Requires=none\.service: the fleet has no/,
  )
})

test('a oneshot is over before what comes after it starts', async () => {
  const fleet = await simulate({ machines: 3 })
  const job = { service: 'Type=oneshot', sim: 'ReadySec=1ms\nRunsSec=3s' }
  await give(fleet, 'migrate.service', text('Before=web.service', job))
  await fleet.start('web.service', text('Wants=migrate.service'))
  await fleet.until(() => isUp(fleet, 'web.service', 1), 20_000)
  assert.ok(when(fleet, /migrate\.service\/1 ready/) < when(fleet, /web\.service\/1 starts/))
})

test('PartOf= follows a restart, one after the other, and a stop, but no start', async () => {
  const fleet = await simulate({ machines: 4 })
  await fleet.start('db.service', text('', { holon: 'Instances=2' }))
  await fleet.start('web.service', text('PartOf=db.service', { holon: 'Instances=2' }))
  await fleet.settled()
  const beganMs = fleet.nowMs
  await fleet.restart('db.service')
  await fleet.until(() => fleet.history.some(({ what }) => /web.*rollout.*done/.test(what)), 60_000)
  const firstMs = when(fleet, /web\.service\/\d stopping/, beganMs)
  for (const slot of [1, 2]) {
    assert.ok(lastBefore(fleet, RegExp(`db\\.service/${slot} starts`), firstMs) > beganMs)
  }
  await fleet.stop('db.service')
  await fleet.until(() => isStopped(fleet, 'web.service'), 20_000)
  await fleet.restart('db.service')
  await fleet.settled()
  assert.equal(isStopped(fleet, 'web.service'), true)
})

test('a machine’s death under a unit stops nothing that is bound to it, unless it stays away', async () => {
  // Five keep the state, so that it outlives the two that die.
  const fleet = await simulate({ machines: 5, keepers: 5 })
  await fleet.start('db.service', text(''))
  const apart = { holon: 'Apart=db.service' }
  await fleet.start('web.service', text('BindsTo=db.service\nAfter=db.service', apart))
  await fleet.until(() => isUp(fleet, 'web.service', 1), 20_000)
  const placeOfDb = () => fleet.where('db.service')[0]?.machine ?? ''
  const beganMs = fleet.nowMs
  fleet.crash(placeOfDb())
  await fleet.until(() => isUp(fleet, 'db.service', 1), 20_000)
  await fleet.run(60_000)
  const stops = () =>
    fleet.history.filter(({ atMs, what }) => atMs > beganMs && /web.*\/1 stopping/.test(what))
  assert.deepEqual(stops(), [])
  // Now nothing can take it.
  for (const machine of fleet.machines) await fleet.cordon(machine)
  fleet.crash(placeOfDb())
  await fleet.until(() => isStopped(fleet, 'web.service'), 120_000)
  assert.match(fleet.waiting('web.service').get(1) ?? '', /bound to db\.service, which is not up/)
  for (const machine of fleet.machines) await fleet.undrain(machine)
  await fleet.until(() => isUp(fleet, 'web.service', 1), 60_000)
})

test('only where its conditions hold is a machine a candidate, and asked before', async () => {
  const fleet = await simulate({ machines: 6 })
  fleet.path('m3', '/srv/data')
  const file = text('ConditionPathExists=/srv/data')
  await fleet.start('data.service', file)
  const tookMs = await fleet.until(() => isUp(fleet, 'data.service', 1), 10_000)
  assert.deepEqual(
    fleet.where('data.service').map(({ machine }) => machine),
    ['m3'],
  )
  assert.ok(tookMs < 2_000, `it took ${tookMs} ms`)
  assert.equal(fleet.history.filter(({ what }) => /refused|is not met/.test(what)).length, 0)
  fleet.path('m3', '/srv/data', false)
  await fleet.run(60_000)
  assert.equal(isUp(fleet, 'data.service', 1), true, 'what runs is let alone')
  fleet.crash('m3')
  await fleet.run(15_000)
  assert.match(
    fleet.waiting('data.service').get(1) ?? '',
    /no machine fits: of 6, 5 not ConditionPathExists=\/srv\/data, 1 silent/,
  )
  fleet.path('m5', '/srv/data')
  await fleet.until(() => isUp(fleet, 'data.service', 1), 20_000)
  assert.deepEqual(
    fleet.where('data.service').map(({ machine }) => machine),
    ['m5'],
  )
})

test('a unit for every machine is on those where its conditions hold, as they change', async () => {
  const fleet = await simulate({ machines: 4 })
  fleet.path('m1', '/dev/gpu')
  await fleet.start('gpu.service', text('ConditionPathExists=/dev/gpu', { holon: 'Global=yes' }))
  const machines = () =>
    fleet
      .where('gpu.service')
      .map(({ machine }) => machine)
      .sort()
      .join()
  await fleet.until(() => machines() === 'm1', 10_000)
  fleet.path('m4', '/dev/gpu')
  fleet.path('m1', '/dev/gpu', false)
  await fleet.until(() => machines() === 'm1,m4', 30_000)
  await fleet.run(30_000)
  assert.equal(isUp(fleet, 'gpu.service', 2), true)
})

test('an assertion is no condition: the start there fails, and says why', async () => {
  const fleet = await simulate({ machines: 2 })
  await fleet.start('web.service', text('AssertPathExists=/srv/data'))
  await fleet.run(20_000)
  assert.match(
    [...fleet.history].map(({ what }) => what).join('\n'),
    /AssertPathExists=\/srv\/data is not met/,
  )
})

test('Rebalance= does not try again soon what failed in the better place', async () => {
  const fleet = await simulate({ machines: 3 })
  for (const machine of ['m1', 'm2']) fleet.path(machine, '/srv/data')
  fleet.crash('m3')
  const holon = 'Instances=4\nRebalance=return'
  await fleet.start('web.service', text('AssertPathExists=/srv/data', { holon }))
  await fleet.until(() => isUp(fleet, 'web.service', 4), 60_000)
  fleet.boot('m3')
  await fleet.run(300_000)
  const inVain = fleet.history.filter(({ what }) => /is not met/.test(what)).length
  assert.ok(inVain > 0 && inVain <= 4, `${inVain} times in vain`)
  assert.equal(isUp(fleet, 'web.service', 4), true)
})
