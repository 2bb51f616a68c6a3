import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type InstanceCondition, planUnit } from './plan.ts'

const wanted = { wanted: true, instances: 2, restartsWhenLost: true }

test('planUnit() starts what is wanted and absent, in order', () => {
  const tasks = planUnit(wanted, new Map())
  assert.deepEqual(
    tasks.map((t) => [t.kind, t.instance]),
    [
      ['start', 1],
      ['start', 2],
    ],
  )
})

test('planUnit() leaves ended instances to the operator', () => {
  assert.deepEqual(
    planUnit(
      wanted,
      new Map([
        [1, 'ended'],
        [2, 'up'],
      ]),
    ),
    [],
  )
})

test('planUnit() stops surplus instances and says why', () => {
  const tasks = planUnit(
    wanted,
    new Map([
      [1, 'up'],
      [2, 'up'],
      [3, 'up'],
      [4, 'ended'],
    ]),
  )
  assert.deepEqual(
    tasks.map((t) => [t.kind, t.instance, t.reason]),
    [
      ['stop', 3, 'more instances than wanted'],
      ['clear', 4, 'more instances than wanted'],
    ],
  )
})

test('planUnit() replaces an instance whose keeper died only if Restart= asks for it', () => {
  const current = new Map([
    [1, 'lost'],
    [2, 'up'],
  ] as const)
  assert.equal(planUnit(wanted, current)[0]?.kind, 'start')
  assert.deepEqual(planUnit({ ...wanted, restartsWhenLost: false }, current), [])
})

test('planUnit() never has two tasks for one instance, nor a start beyond the count', () => {
  const condition = fc.constantFrom<InstanceCondition>('up', 'stopping', 'ended', 'lost', 'busy')
  fc.assert(
    fc.property(
      fc.record({
        wanted: fc.boolean(),
        instances: fc.integer({ min: 0, max: 6 }),
        restartsWhenLost: fc.boolean(),
      }),
      fc.array(fc.tuple(fc.integer({ min: 1, max: 8 }), condition)),
      (desired, entries) => {
        const tasks = planUnit(desired, new Map(entries))
        const numbers = tasks.map((t) => t.instance)
        assert.deepEqual(
          numbers,
          [...new Set(numbers)].sort((a, b) => a - b),
        )
        for (const task of tasks) {
          if (task.kind !== 'start') continue
          assert.ok(desired.wanted && task.instance <= desired.instances)
        }
      },
    ),
  )
})
