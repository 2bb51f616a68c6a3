import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LocalTime } from '../../../io/proc-time.ts'
import * as times from './durations.ts'

const second = 1000
const hour = 3600 * second
const day = 24 * hour
const at: LocalTime = {
  year: 2026,
  month: 11,
  day: 2,
  hour: 7,
  minute: 4,
  second: 5,
  weekday: 1,
}

test('durations are spelt as procps spells them', () => {
  assert.equal(times.cpuTime(0), '00:00:00')
  assert.equal(times.cpuTime(3 * hour + 25 * second), '03:00:25')
  assert.equal(times.cpuTime(12 * day + hour), '12-01:00:00')
  assert.equal(times.bsdCpuTime(75 * 60 * second + 9 * second), '75:09')
  assert.equal(times.fineCpuTime(61_230), '1:01.23')
  assert.equal(times.elapsed(59 * second), '00:59')
  assert.equal(times.elapsed(hour + 59 * second), '01:00:59')
  assert.equal(times.elapsed(2 * day + hour), '2-01:00:00')
  assert.equal(times.elapsed(-5), '00:00')
  assert.equal(times.uptimeText(41 * 60 * second), '41 min')
  assert.equal(times.uptimeText(day + 2 * hour), '1 day, 2:00')
})

test('start times are spelt as procps spells them', () => {
  assert.equal(times.startShort(at, { ...at, hour: 23 }), '07:04')
  assert.equal(times.startShort(at, { ...at, day: 3 }), 'Nov02')
  assert.equal(times.startShort(at, { ...at, year: 2027 }), '2026')
  assert.equal(times.startBsd(at, hour), '07:04')
  assert.equal(times.startBsd(at, 2 * day), 'Nov02')
  assert.equal(times.startLong(at, hour), '07:04:05')
  assert.equal(times.startLong(at, 2 * day), '  Nov 02')
  assert.equal(times.startFull(at), 'Mon Nov  2 07:04:05 2026')
})
