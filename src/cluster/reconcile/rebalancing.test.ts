import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultRules, type PlacementRules } from '../../unit/placement-rules.ts'
import { Rebalancing } from './rebalancing.ts'

const all = ['a.service', 'b.service', 'c.service']

function begin(rebalancing: Rebalancing, nowMs: number, isCalm = true, machines = 10) {
  const units = () => all
  const rulesOf = (unit: string): PlacementRules => {
    return { ...defaultRules, rebalance: unit === 'c.service' ? 'load' : 'return' }
  }
  const view = { nowMs, machines, isCalm, units, rulesOf }
  return [...rebalancing.begin(view)]
}

test('Rebalancing.begin() waits for 30 s of calm, from the last disturbance on', () => {
  const rebalancing = new Rebalancing()
  assert.deepEqual(begin(rebalancing, 0), [])
  assert.deepEqual(begin(rebalancing, 29_000), [])
  rebalancing.disturbed()
  assert.deepEqual(begin(rebalancing, 30_000), [])
  assert.deepEqual(begin(rebalancing, 40_000, false), [])
  assert.deepEqual(begin(rebalancing, 41_000), [])
  assert.deepEqual(begin(rebalancing, 71_000), all)
})

test('Rebalancing: who has no move to make is let alone until something changes', () => {
  const rebalancing = new Rebalancing()
  begin(rebalancing, 0)
  begin(rebalancing, 30_000)
  for (const unit of all) rebalancing.moved(unit, 0, 30_000)
  assert.deepEqual(begin(rebalancing, 60_000), [])
  assert.deepEqual(begin(rebalancing, 90_000), ['c.service'], 'the one with Rebalance=load')
  rebalancing.moved('c.service', 0, 90_000)
  rebalancing.disturbed()
  begin(rebalancing, 91_000)
  assert.deepEqual(begin(rebalancing, 121_000), all)
})

test('Rebalancing.movesMax() is a few for all units of a round, and a pause follows', () => {
  const rebalancing = new Rebalancing()
  begin(rebalancing, 0)
  assert.equal(rebalancing.movesMax('a.service'), 0)
  begin(rebalancing, 30_000, true, 400)
  assert.equal(rebalancing.movesMax('a.service'), 4)
  rebalancing.moved('a.service', 3, 30_000)
  assert.equal(rebalancing.movesMax('b.service'), 1)
  assert.deepEqual(begin(rebalancing, 39_000), [])
  assert.equal(rebalancing.movesMax('b.service'), 0)
  assert.deepEqual(begin(rebalancing, 40_000), all)
})
