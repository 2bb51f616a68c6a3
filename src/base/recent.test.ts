import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../test/conformance/manual-clock.ts'
import { recent } from './recent.ts'

test('recent() reads again when what it has is too old', () => {
  const clock = new ManualClock()
  let reads = 0
  const read = recent(clock, 900, () => ++reads)
  assert.deepEqual([read(), read()], [1, 1])
  clock.advance(900)
  assert.equal(read(), 1)
  clock.advance(1)
  assert.deepEqual([read(), read()], [2, 2])
})
