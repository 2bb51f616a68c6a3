import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Waiting } from './waiting.ts'

const reasons = new Map([[1, 'no machine fits']])

test('due() has what waits the more rarely the longer nothing came of it, and at last every 5 s', () => {
  const waiting = new Waiting()
  const looks: number[] = []
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 500) {
    if (nowMs > 0 && ![...waiting.due(nowMs)].includes('web.service')) continue
    looks.push(nowMs)
    waiting.planned('web.service', reasons, { isPatient: true, slots: 3, nowMs })
  }
  assert.deepEqual(looks.slice(0, 6), [0, 500, 1_000, 1_500, 2_000, 2_500])
  assert.ok(looks.length < 30, `${looks.length} looks`)
  const pauses = looks.slice(1).map((atMs, i) => atMs - (looks[i] ?? 0))
  assert.equal(pauses.at(-1), 5_000)
  assert.deepEqual(
    pauses,
    pauses.toSorted((a, b) => a - b),
  )
  // Something came of it: it is looked at often again.
  waiting.planned('web.service', reasons, { isPatient: false, slots: 3, nowMs: 61_000 })
  assert.deepEqual([...waiting.due(61_000)], ['web.service'])
  waiting.planned('web.service', reasons, { isPatient: true, slots: 3, nowMs: 61_000 })
  assert.deepEqual([...waiting.due(61_500)], ['web.service'])
  assert.equal(waiting.reasons('web.service'), reasons)
  waiting.planned('db.service', new Map(), { isPatient: false, slots: 3, nowMs: 61_500 })
  assert.deepEqual(waiting.units(), ['web.service'])
  waiting.delete('db.service')
  waiting.delete('web.service')
  assert.deepEqual([...waiting.due(100_000)], [])
  assert.equal(waiting.reasons('web.service').size, 0)
})

test('due() has a unit of very many instances seldom', () => {
  const waiting = new Waiting()
  waiting.planned('each.service', reasons, { isPatient: true, slots: 10_000, nowMs: 0 })
  assert.deepEqual([...waiting.due(4_500)], [])
  assert.deepEqual([...waiting.due(5_000)], ['each.service'])
})
