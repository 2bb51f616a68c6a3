import assert from 'node:assert/strict'
import { test } from 'node:test'
import { facts, gib, PlacedFleet, report } from '../../test/support/placed-fleet.ts'
import type { Fitting } from '../kernel/decisions.ts'
import { defaultRules } from '../unit/placement-rules.ts'
import { summary } from './explain.ts'

const zones = {
  n1: { zone: 'eu/paris' },
  n2: { zone: 'eu/paris' },
  n3: { zone: 'eu/rome' },
  n4: { zone: 'us' },
  n5: { zone: 'us' },
  n6: { zone: 'us' },
}

test('place() spreads over zones, large ones first, then over machines', () => {
  const fleet = new PlacedFleet(zones)
  fleet.unit('web.service')
  fleet.fill('web.service', 2)
  assert.deepEqual(fleet.counts('web.service', 1), { eu: 1, us: 1 })
  fleet.fill('web.service', 6)
  assert.deepEqual(fleet.counts('web.service', 1), { eu: 3, us: 3 })
  const { n4, n5, n6, n1, n2, n3 } = fleet.counts('web.service', 'machine')
  assert.deepEqual([n4, n5, n6], [1, 1, 1])
  assert.ok(n3 !== undefined && n3 >= 1 && n3 <= 2 && (n1 ?? 0) + (n2 ?? 0) === 3 - n3)
})

test('place() says why there', () => {
  const fleet = new PlacedFleet({ n1: { zone: 'eu', load: 0.5 } })
  fleet.unit('web.service')
  fleet.fill('web.service', 1)
  assert.deepEqual(fleet.place('web.service', 2), {
    kind: 'placed',
    machineId: 'n1',
    why: 'n1 has 1 of it, eu 1; load 0.50 of 4 cores',
  })
})

test('place() takes a unit where its Require= holds, and rather where its Prefer= does', () => {
  const fleet = new PlacedFleet({
    n1: { labels: { disk: 'ssd' } },
    n2: { labels: { disk: 'ssd' }, memoryBytes: gib },
    n3: { labels: { disk: 'ssd', rack: 'new' }, load: 3 },
    n4: {},
  })
  fleet.unit('db.service', { require: 'disk=ssd mem>=2G', prefer: 'rack=new' })
  assert.equal(fleet.fill('db.service', 1)[0], 'n3')
  // Spread comes before what is preferred.
  assert.equal(fleet.fill('db.service', 2)[1], 'n1')
})

test('place() rather takes the idle machine', () => {
  const fleet = new PlacedFleet({ n1: { load: 4 }, n2: { load: 1 }, n3: { load: 8 } })
  fleet.unit('web.service')
  assert.deepEqual(fleet.fill('web.service', 3), ['n2', 'n1', 'n3'])
})

test('place() fills to PerNode= and no further', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: {} })
  fleet.unit('web.service', { perNode: 2 })
  assert.deepEqual([...fleet.fill('web.service', 4)].sort(), ['n1', 'n1', 'n2', 'n2'])
  const answer = fleet.place('web.service', 5)
  assert.deepEqual(answer, {
    kind: 'nowhere',
    why: 'no machine fits: of 2, 2 with PerNode=2 of it',
  })
})

test('place() heeds Nodes= before zones', () => {
  const b = { zone: 'b' }
  const fleet = new PlacedFleet({ n1: { zone: 'a' }, n2: b, n3: b, n4: b })
  fleet.unit('web.service', { nodes: 4 })
  assert.deepEqual([...fleet.fill('web.service', 4)].sort(), ['n1', 'n2', 'n3', 'n4'])
  // There is no fifth: it is spread as if Nodes= were not there.
  fleet.unit('web.service', { nodes: 5 })
  assert.equal(fleet.fill('web.service', 5)[4], 'n1')
})

test('place() keeps Apart= in both directions, With= in one', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: {}, n3: {} })
  fleet.unit('db-main.service')
  const [db = ''] = fleet.fill('db-main.service', 1)
  fleet.unit('noisy.service', { apart: ['db-*.service'], perNode: 1 })
  const noisy = fleet.fill('noisy.service', 3)
  assert.ok(!noisy.includes(db) && noisy[2] === '-', String(noisy))
  fleet.unit('db-copy.service')
  assert.deepEqual(fleet.fill('db-copy.service', 2), [db, db])
  fleet.unit('backup.service', { with: ['db-main.service'] })
  assert.deepEqual(fleet.fill('backup.service', 1), [db])
  fleet.unit('lost.service', { with: ['gone.service'] })
  const answer = fleet.place('lost.service', 1)
  assert.equal(answer.why, 'no machine fits: of 3, 3 without gone.service')
})

test('place() counts reservations, and leaves the system its part of the memory', () => {
  const fleet = new PlacedFleet({ n1: { cpus: 2 }, n2: { memoryBytes: 2 * gib } })
  fleet.unit('small.service', { reserve: { cpus: 0.7, memoryBytes: 0 } })
  fleet.fill('small.service', 7)
  assert.deepEqual(fleet.counts('small.service', 'machine'), { n1: 2, n2: 5 })
  fleet.unit('large.service', { reserve: { cpus: 0, memoryBytes: 2 * gib } })
  assert.deepEqual(fleet.fill('large.service', 4), ['n1', 'n1', 'n1', '-'])
  assert.equal(
    fleet.place('large.service', 4).why,
    'no machine fits: of 2, 2 without room for mem=2.0G (n1: 1.5G of memory is not reserved)',
  )
})

test('placeInstead() names whom of lower priority would have to go, and nobody of the same', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: {} })
  const reserve = { cpus: 2, memoryBytes: 0 }
  fleet.unit('batch.service', { priority: -10, reserve: { cpus: 1, memoryBytes: 0 } })
  fleet.unit('web.service', { reserve })
  fleet.unit('peer.service', { reserve })
  fleet.unit('vital.service', { priority: 5, reserve })
  fleet.fill('web.service', 2)
  fleet.fill('batch.service', 4)
  assert.equal(fleet.place('peer.service', 1).kind, 'nowhere')
  const peer = fleet.placeInstead('peer.service', 1)
  assert.ok(peer !== undefined)
  fleet.unit('wide.service', { reserve: { cpus: 3, memoryBytes: 0 } })
  assert.equal(fleet.placeInstead('wide.service', 1), undefined)
  const { victims, machineId } = peer
  assert.deepEqual(new Set(victims.map(({ unit }) => unit)), new Set(['batch.service']))
  assert.ok(victims.every(({ slot }) => fleet.get('batch.service').places.get(slot) === machineId))
  assert.equal(victims.length, 2)
  fleet.remove('batch.service', [1, 2, 3, 4])
  assert.ok(!fleet.fill('peer.service', 2).includes('-'))
  assert.equal(fleet.placeInstead('peer.service', 3), undefined)
  assert.equal(fleet.placeInstead('vital.service', 1)?.victims.length, 1)
  // Nothing helps where something else than room is missing.
  fleet.unit('vital.service', { priority: 5, reserve, require: 'gpu=yes' })
  assert.equal(fleet.placeInstead('vital.service', 1), undefined)
})

test('place() finds a place again as soon as there may be one', () => {
  const fleet = new PlacedFleet({ n1: { closed: 'silent' }, n2: { closed: 'cordoned' } })
  fleet.unit('web.service', { perNode: 1 })
  const nowhere = 'no machine fits: of 2, 1 cordoned, 1 silent'
  assert.equal(fleet.place('web.service', 1).why, nowhere)
  fleet.change('n1', { closed: undefined })
  assert.equal(fleet.place('web.service', 1).kind, 'placed')
  assert.equal(fleet.place('web.service', 2).kind, 'nowhere')
  fleet.remove('web.service', [1])
  assert.equal(fleet.place('web.service', 2).kind, 'placed')
  assert.equal(fleet.place('web.service', 3).kind, 'nowhere')
  fleet.change('n2', { closed: undefined })
  assert.equal(fleet.place('web.service', 3).kind, 'placed')
  assert.equal(fleet.place('web.service', 4).kind, 'nowhere')
  fleet.change('n3', {})
  assert.equal(fleet.place('web.service', 4).kind, 'placed')
  fleet.unit('ssd.service', { require: 'disk=ssd' })
  assert.equal(fleet.place('ssd.service', 1).kind, 'nowhere')
  fleet.change('n1', { labels: { disk: 'ssd' } })
  assert.equal(fleet.place('ssd.service', 1).kind, 'placed')
  fleet.unit('free.service', { require: 'free>=4G' })
  for (const name of ['n1', 'n2', 'n3']) {
    fleet.change(name, { report: { ...report(), memoryAvailableBytes: gib } })
  }
  assert.equal(fleet.place('free.service', 1).kind, 'nowhere')
  fleet.change('n3', { report: report() })
  assert.deepEqual(fleet.fill('free.service', 1), ['n3'])
  fleet.unit('side.service', { with: ['main.service'] })
  assert.equal(fleet.place('side.service', 1).kind, 'nowhere')
  fleet.unit('main.service')
  assert.deepEqual(fleet.fill('side.service', 1), ['-'])
  const [main] = fleet.fill('main.service', 1)
  assert.deepEqual(fleet.fill('side.service', 1), [main])
})

test('place() does not count the place that the slot leaves, and none on machines that are leaving', () => {
  const fleet = new PlacedFleet({
    n1: { zone: 'a' },
    n2: { zone: 'b' },
    n3: { zone: 'b' },
    n4: { zone: 'a' },
  })
  fleet.unit('web.service', { perNode: 1 })
  fleet.fill('web.service', 2)
  const inA = fleet.get('web.service').places.get(1) === 'n1' ? 'n1' : undefined
  const slot = inA === undefined ? 2 : 1
  const machineId = fleet.get('web.service').places.get(slot) ?? ''
  // Without it, zone a would look as full as b.
  const answer = fleet.place('web.service', slot, new Set([machineId]))
  assert.ok(answer.kind === 'placed')
  const zoneOf = (id: string) => fleet.machines.get(id)?.zone
  assert.equal(zoneOf(answer.machineId), zoneOf(machineId))
  // Asked for one after the other, before anything is written: what drains counts nowhere.
  const slots = ['n1', 'n1', 'n1', 'n2', 'n2', 'n2'].entries()
  const places = [...slots].map(([slot, at]) => ({ slot, machineId: at }))
  fleet.change('n1', { closed: 'draining' })
  fleet.scheduler.setUnit('db.service', defaultRules, places)
  for (const slot of [0, 1, 2]) {
    const next = fleet.scheduler.place('db.service', slot)
    assert.ok(next.kind === 'placed' && next.machineId === 'n4', next.why)
  }
})

function fitting({ scheduler }: PlacedFleet, unit: string): Fitting {
  const found = scheduler.fitting(unit)
  assert.ok(found !== undefined)
  return found
}

test('fitting() counts what refuses machines, with examples', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: { closed: 'cordoned' }, n3: { memoryBytes: gib } })
  for (let i = 10; i < 50; i++) fleet.machines.set(`m${i}`, facts(`m${i}`, { cpus: 1 }))
  fleet.tell()
  fleet.unit('db.service', { require: 'mem>=2G cpus>=2' }, new Map([['n1', 'ConditionHost=n9']]))
  const explanation = fitting(fleet, 'db.service')
  assert.equal(
    summary(explanation),
    'no machine fits: of 43, 40 not cpus>=2 (m10: cpus is 1, not >=2), 1 ConditionHost=n9, 1 cordoned, 1 not mem>=2G (n3: mem is 1.0G, not >=2G)',
  )
  assert.equal(explanation.refusals[0]?.examples.length, 4)
  fleet.unit('db.service')
  assert.equal(summary(fitting(fleet, 'db.service')), '42 fit: of 43, 1 cordoned')
  assert.equal(fleet.scheduler.fitting('other.service'), undefined)
})

test('fitting() says as much of ten thousand machines as of ten', () => {
  const fleet = new PlacedFleet({})
  for (let i = 0; i < 10_000; i++) {
    const machine = facts(`n${i}`, { closed: i % 3 ? 'silent' : 'draining' })
    fleet.machines.set(machine.name, machine)
  }
  fleet.tell()
  const unfit = new Map(Array.from({ length: 300 }, (_, i) => [`n${i}`, `reason ${i}`] as const))
  for (const name of unfit.keys()) fleet.machines.set(name, facts(name))
  fleet.tell()
  fleet.unit('web.service', {}, unfit)
  const { machines, fitting: fits, refusals } = fitting(fleet, 'web.service')
  assert.deepEqual([machines, fits, refusals.length], [10_000, 0, 12])
  assert.equal(
    refusals.reduce((sum, { count }) => sum + count, 0),
    10_000,
  )
  assert.ok(JSON.stringify(refusals).length < 4000)
})

test('everywhere() is every machine that fits, and where it is already but for drained ones', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: {}, n3: {}, n4: { labels: { role: 'edge' } } })
  fleet.unit('log.service', { global: true, require: 'role!=edge' })
  assert.deepEqual(fleet.scheduler.everywhere('log.service'), [])
  fleet.unit('log.service', { global: true, reserve: { cpus: 4, memoryBytes: 0 } })
  assert.deepEqual(fleet.scheduler.everywhere('log.service'), ['n1', 'n2', 'n3', 'n4'])
  for (const [slot, name] of [
    [1, 'n1'],
    [2, 'n2'],
    [3, 'n3'],
  ] as const) {
    fleet.get('log.service').places.set(slot, name)
  }
  fleet.tellUnit('log.service')
  fleet.change('n1', { closed: 'silent' })
  fleet.change('n2', { closed: 'draining' })
  fleet.change('n4', { closed: 'cordoned' })
  assert.deepEqual(fleet.scheduler.everywhere('log.service'), ['n1', 'n3'])
})

test('setUnit() without rules keeps those it had, and forgets a unit that is nowhere', () => {
  const fleet = new PlacedFleet({ n1: {} })
  fleet.unit('web.service', { perNode: 1 })
  fleet.scheduler.setUnit('web.service', undefined, [{ slot: 1, machineId: 'n1' }])
  assert.equal(fleet.scheduler.place('web.service', 2).kind, 'nowhere')
  fleet.scheduler.setUnit('web.service', undefined, [])
  assert.throws(() => fleet.scheduler.place('web.service', 2), /setUnit/)
})
