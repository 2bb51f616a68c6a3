import assert from 'node:assert/strict'
import { test } from 'node:test'
import { facts, PlacedFleet, report } from '../../test/support/placed-fleet.ts'
import type { PlacementRules } from '../unit/placement-rules.ts'
import type { Move } from './rebalance.ts'

/** A unit whose slots 1, 2, … are where `places` says. */
function placed(fleet: PlacedFleet, rules: Partial<PlacementRules>, ...places: readonly string[]) {
  fleet.unit('web.service', rules)
  const unit = fleet.get('web.service')
  for (const [index, name] of places.entries()) unit.places.set(index + 1, name)
  fleet.tellUnit('web.service')
}

function move(fleet: PlacedFleet, max = 1000): readonly Move[] {
  const moves = fleet.scheduler.rebalance('web.service', max)
  for (const { slot, to } of moves) fleet.get('web.service').places.set(slot, to)
  fleet.tellUnit('web.service')
  return moves
}

test('surplus() takes from where there are most, and leaves low numbers', () => {
  const fleet = new PlacedFleet({ n1: { zone: 'a' }, n2: { zone: 'a' }, n3: { zone: 'b' } })
  placed(fleet, {}, 'n3', 'n1', 'n1', 'n2', 'n3')
  assert.deepEqual(fleet.scheduler.surplus('web.service', 1), [3])
  assert.deepEqual(fleet.scheduler.surplus('web.service', 3), [3, 5, 4])
  // Asking changes nothing.
  assert.deepEqual(fleet.scheduler.surplus('web.service', 9), [3, 5, 4, 2, 1])
})

test('surplus() gives up first what is on no machine, a silent one, a closed one', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: { closed: 'silent' }, n3: { closed: 'cordoned' } })
  placed(fleet, {}, 'n1', 'n2', 'gone', 'n3', 'n1', 'n1')
  assert.deepEqual(fleet.scheduler.surplus('web.service', 4), [3, 2, 4, 6])
})

test('rebalance() moves to a machine that is new or back, and only as far as it helps', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: {} })
  placed(fleet, {}, 'n1', 'n1', 'n1', 'n2', 'n2')
  assert.deepEqual(move(fleet), [])
  fleet.change('n3', {})
  assert.deepEqual(move(fleet), [{ slot: 1, from: 'n1', to: 'n3', why: 'n1 has 3 of it, n3 0' }])
  assert.deepEqual(move(fleet), [])
})

test('rebalance() evens zones out, and makes no more moves at once than asked for', () => {
  const fleet = new PlacedFleet({ n1: { zone: 'eu/p' }, n2: { zone: 'eu/p' }, n3: { zone: 'us' } })
  placed(fleet, {}, 'n1', 'n1', 'n2', 'n2', 'n1', 'n2')
  assert.equal(move(fleet, 1)[0]?.why, 'eu has 6 of it, us 0')
  assert.equal(move(fleet, 5).length, 2)
  assert.deepEqual(fleet.counts('web.service', 1), { eu: 3, us: 3 })
  assert.deepEqual(move(fleet), [])
})

test('rebalance() moves nothing that may not move, is moving, or has nowhere better to go', () => {
  const fleet = new PlacedFleet({ n1: {}, n2: {} })
  placed(fleet, { rebalance: 'no' }, 'n1', 'n1', 'n1')
  assert.deepEqual(move(fleet), [])
  placed(fleet, { require: 'disk=ssd' }, 'n1', 'n1', 'n1')
  assert.deepEqual(move(fleet), [])
  placed(fleet, {}, 'n1', 'n1', 'n1')
  const here = [1, 2, 3].map((slot) => ({ slot, machineId: 'n1' }))
  const second = [{ slot: 1, machineId: 'n2' }]
  fleet.scheduler.setUnit('web.service', fleet.get('web.service').rules, [...here, ...second])
  assert.deepEqual(
    fleet.scheduler.rebalance('web.service', 9).map(({ slot }) => slot),
    [],
  )
  fleet.tellUnit('web.service')
  fleet.change('n1', { closed: 'draining' })
  assert.deepEqual(move(fleet), [])
})

test('rebalance() makes Nodes= true where it was not', () => {
  const fleet = new PlacedFleet({ n1: { zone: 'a' }, n2: { zone: 'b' } })
  placed(fleet, { nodes: 3 }, 'n1', 'n2', 'n2')
  assert.deepEqual(move(fleet), [])
  fleet.machines.set('n3', facts('n3', { zone: 'b' }))
  fleet.tell()
  assert.deepEqual(move(fleet), [
    { slot: 2, from: 'n2', to: 'n3', why: 'Nodes=3 asks for more machines' },
  ])
  assert.deepEqual(move(fleet), [])
})

test('rebalance() by load waits for reports from after the last move', () => {
  const fleet = new PlacedFleet({ n1: { load: 16 }, n2: { load: 1 }, n3: { load: 1 } })
  const rules = { rebalance: 'load' } as const
  placed(fleet, rules, 'n1')
  assert.deepEqual(move(fleet), [])
  fleet.change('n1', { report: report({ load: 16 }) })
  const [{ to = '', why = '' } = {}] = move(fleet)
  assert.match(why, /n1 is much busier than n[23]/)
  assert.deepEqual(move(fleet), [])
  // It took the load along: there is another machine, and by what is known of it, it is better.
  fleet.change(to, { report: report({ load: 16 }) })
  assert.equal(move(fleet).length, 1)
  fleet.change('n1', { report: report({ load: 0.5 }) })
  for (const name of ['n2', 'n3']) fleet.change(name, { report: report({ load: 1 }) })
  assert.deepEqual(move(fleet), [])
})
