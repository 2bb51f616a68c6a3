import assert from 'node:assert/strict'
import { test } from 'node:test'
import { takeUnits } from './take-units.ts'

const view = {
  nowMs: 10_000,
  priority: (unit: string) => (unit.startsWith('high') ? 1 : 0),
  slots: (unit: string) => Number(unit.split('-')[1]),
  plannedMs: (unit: string) => (unit.endsWith('-now') ? 9_999 : undefined),
}

test('takeUnits() takes higher priorities first, of equal ones who waits for longest', () => {
  const { taken, slots } = takeUnits(['b-10', 'high-20', 'a-30'], view)
  assert.deepEqual(taken, ['high-20', 'b-10', 'a-30'])
  assert.equal(slots, 60)
})

test('takeUnits() leaves what is too much for one pass, and one giant has its turn in each', () => {
  const { taken } = takeUnits(['giant-9000', 'other-8000', 'a-4000', 'b-4000', 'c-1'], view)
  assert.deepEqual(taken, ['a-4000', 'b-4000', 'giant-9000'])
})

test('takeUnits() lets a unit rest for as long as it is large', () => {
  assert.deepEqual(takeUnits(['a-100-now', 'b-5-now', 'c-100'], view).taken, ['b-5-now', 'c-100'])
})
