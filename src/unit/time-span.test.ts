import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatTimeSpan, parseTimeSpanMs, parseTimeSpanUs } from './time-span.ts'

test('parseTimeSpanUs() reads what systemd.time(7) shows', () => {
  const cases: readonly (readonly [string, number])[] = [
    ['50', 50e6],
    ['2min 200ms', 120_200_000],
    ['2 h', 7200e6],
    ['2hours', 7200e6],
    ['48hr', 172_800e6],
    ['1y 12month', 63_115_200e6],
    ['55s500ms', 55.5e6],
    ['300ms20s 5day', 432_020.3e6],
    ['1.5h', 5400e6],
    ['.5', 500_000],
    ['0.29s', 290_000],
    ['5min20', 320e6],
    ['12.34 .56', 12.9e6],
    ['1us 1', 1_000_001],
    ['3µs', 3],
    ['1M', 2_629_800e6],
    ['0', 0],
    [' infinity ', Number.POSITIVE_INFINITY],
  ]
  for (const [text, us] of cases) assert.equal(parseTimeSpanUs(text), us, text)
})

test('parseTimeSpanUs() refuses what systemd refuses', () => {
  for (const text of [
    '',
    ' ',
    '1.2.3',
    '3.sec',
    '3. 1',
    '-1',
    '1 fortnight',
    's',
    '1e3',
    'infinity 1',
  ]) {
    assert.equal(parseTimeSpanUs(text), undefined, text)
  }
  assert.equal(parseTimeSpanUs('9'.repeat(400)), undefined, 'too long to count')
})

test('parseTimeSpanMs() rounds up, so that a short span is never none', () => {
  assert.equal(parseTimeSpanMs('1us'), 1)
  assert.equal(parseTimeSpanMs('1500us'), 2)
  assert.equal(parseTimeSpanMs('0'), 0)
})

test('formatTimeSpan() writes what parseTimeSpanMs() reads back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 9e12 }), (ms) => {
      assert.equal(parseTimeSpanMs(formatTimeSpan(ms)), ms)
    }),
  )
  assert.equal(formatTimeSpan(3_905_200), '1h 5min 5s 200ms')
  assert.equal(formatTimeSpan(Number.POSITIVE_INFINITY), 'infinity')
})

test('parseTimeSpanUs() takes any text without throwing', () => {
  const text = fc.array(
    fc.constantFrom('1', '.', ' ', 's', 'ms', 'min', '-', 'x', 'µs', 'infinity'),
  )
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        text.map((parts) => parts.join('')),
      ),
      (value) => {
        const us = parseTimeSpanUs(value)
        assert.ok(us === undefined || us >= 0)
      },
    ),
  )
})
