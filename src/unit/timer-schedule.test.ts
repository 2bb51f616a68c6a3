import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { limits } from '../base/limits.ts'
import { nextElapse } from './calendar-next.ts'
import { decideTimer, type TimerState, timerDueMs } from './timer-schedule.ts'
import { loadTimer, type TimerUnit } from './timer-unit.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs
const context = { zone: 'UTC', seed: 'fleet' }
const noon = Date.UTC(2026, 5, 1, 12)

function timer(...lines: readonly string[]): TimerUnit {
  const result = loadTimer({ name: 'backup.timer', text: `[Timer]\n${lines.join('\n')}\n` })
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit
}

function decide(unit: TimerUnit, nowMs: number, state: Partial<TimerState> = {}) {
  return decideTimer(unit, { activatedAtMs: noon, unitRunning: false, ...state }, context, nowMs)
}

test('decideTimer() fires a calendar at its moment, and then waits for the next', () => {
  const hourly = timer('OnCalendar=hourly')
  const one = noon + hourMs
  assert.deepEqual(decide(hourly, one - 1), { kind: 'wait', scheduledMs: one, dueMs: one })
  assert.deepEqual(decide(hourly, one), { kind: 'fire', scheduledMs: one })
  const two = one + hourMs
  const waits = { kind: 'wait', scheduledMs: two, dueMs: two }
  assert.deepEqual(decide(hourly, one, { lastScheduledMs: one, lastFiredAtMs: one }), waits)
})

test('decideTimer() fires each moment, up to AccuracySec= late', () => {
  const often = timer('OnCalendar=*:*:0/10', 'AccuracySec=1s')
  const tenth = noon + 10_000
  assert.deepEqual(decide(often, noon + 35_000), { kind: 'fire', scheduledMs: tenth })
  const next = { kind: 'fire', scheduledMs: tenth + 10_000 }
  assert.deepEqual(decide(often, noon + 35_000, { lastScheduledMs: tenth }), next)
  const daily = timer('OnCalendar=daily', 'AccuracySec=1h')
  const midnight = noon + 12 * hourMs
  assert.equal(decide(daily, midnight + hourMs).kind, 'fire')
  assert.equal(decide(daily, midnight + hourMs + 1).kind, 'pass')
})

test('decideTimer() follows OnMissed= where nobody could act', () => {
  const first = noon + hourMs
  const last = noon + 50 * hourMs
  const nowMs = last + 20 * minuteMs
  const skip = timer('OnCalendar=hourly')
  const passed = { kind: 'pass', scheduledMs: last, missedFromMs: first }
  assert.deepEqual(decide(skip, nowMs), passed)
  assert.equal(decide(skip, nowMs, { lastScheduledMs: last }).kind, 'wait')
  // A moment that is not too late yet is fired next.
  const justNow = decide(skip, last + 1)
  assert.deepEqual(justNow, { ...passed, scheduledMs: last - hourMs })
  const then = decide(skip, last + 1, { lastScheduledMs: last - hourMs })
  assert.deepEqual(then, { kind: 'fire', scheduledMs: last })
  const once = timer('OnCalendar=hourly', '[X-Holon]', 'OnMissed=run-once')
  const fired = { kind: 'fire', scheduledMs: last, missedFromMs: first }
  assert.deepEqual(decide(once, nowMs), fired)
  const all = timer('OnCalendar=hourly', '[X-Holon]', 'OnMissed=run-all')
  assert.deepEqual(decide(all, nowMs), { kind: 'fire', scheduledMs: first })
})

test('decideTimer() counts what came while the timer was stopped only with Persistent=', () => {
  const stopped = { lastScheduledMs: noon - 30 * dayMs }
  const nowMs = noon + minuteMs
  assert.equal(decide(timer('OnCalendar=daily'), nowMs, stopped).kind, 'wait')
  const persistent = timer('OnCalendar=daily', 'Persistent=yes')
  assert.deepEqual(decide(persistent, nowMs, stopped), {
    kind: 'fire',
    scheduledMs: noon - dayMs / 2,
    missedFromMs: noon - 29.5 * dayMs,
  })
  // It never elapsed: it counts from its start.
  assert.equal(decide(persistent, nowMs).kind, 'wait')
})

test('decideTimer() finds the last of millions at once', () => {
  const once = timer('OnCalendar=*:*:*', '[X-Holon]', 'OnMissed=run-once')
  const nowMs = noon + 365 * dayMs
  const fired = { kind: 'fire', scheduledMs: nowMs, missedFromMs: noon + 1000 }
  assert.deepEqual(decide(once, nowMs), fired)
})

test('decideTimer() starts a running unit again at its end, once, by Overlap=', () => {
  const run = { lastScheduledMs: noon + minuteMs, unitActiveAtMs: noon + minuteMs }
  const endMs = noon + 5.5 * minuteMs
  const ended = { ...run, unitInactiveAtMs: endMs }
  const queue = timer('OnCalendar=minutely')
  assert.deepEqual(decide(queue, endMs - 1, { ...run, unitRunning: true }), {
    kind: 'wait-for-unit',
  })
  const five = noon + 5 * minuteMs
  assert.deepEqual(decide(queue, endMs, ended), {
    kind: 'fire',
    scheduledMs: five,
    missedFromMs: noon + 2 * minuteMs,
  })
  const six = noon + 6 * minuteMs
  const waits = { kind: 'wait', scheduledMs: six, dueMs: six }
  assert.deepEqual(decide(queue, endMs, { ...ended, lastScheduledMs: five }), waits)
  const skip = timer('OnCalendar=minutely', 'DeferReactivation=yes')
  assert.deepEqual(decide(skip, endMs, ended), waits)
  const allow = timer('OnCalendar=minutely', '[X-Holon]', 'Overlap=allow')
  const two = noon + 2 * minuteMs
  assert.deepEqual(decide(allow, two, { ...run, unitRunning: true }), {
    kind: 'fire',
    scheduledMs: two,
  })
})

test('decideTimer() counts spans from the start of the timer, or from the unit', () => {
  const boot = timer('OnBootSec=15min', 'OnUnitActiveSec=1h')
  const quarter = noon + 15 * minuteMs
  assert.deepEqual(decide(boot, noon), { kind: 'wait', scheduledMs: quarter, dueMs: quarter })
  // They are never too late: a chain of them must not break.
  assert.deepEqual(decide(boot, noon + dayMs), { kind: 'fire', scheduledMs: quarter })
  const firedAt = noon + dayMs
  const fired = { lastScheduledMs: quarter, lastFiredAtMs: firedAt }
  const next = { kind: 'wait', scheduledMs: firedAt + hourMs, dueMs: firedAt + hourMs }
  assert.deepEqual(decide(boot, firedAt, fired), next)
  const byUnit = timer('OnUnitInactiveSec=1h')
  assert.deepEqual(decide(byUnit, noon), { kind: 'wait-for-unit' })
  const endedAt = noon + 5 * minuteMs
  const ran = { unitActiveAtMs: noon, unitInactiveAtMs: endedAt }
  const later = { kind: 'wait', scheduledMs: endedAt + hourMs, dueMs: endedAt + hourMs }
  assert.deepEqual(decide(byUnit, endedAt, ran), later)
})

test('decideTimer() says when a timer will never elapse again', () => {
  assert.deepEqual(decide(timer('OnCalendar=2020-01-01'), noon), { kind: 'elapsed' })
  const once = timer('OnActiveSec=0')
  assert.deepEqual(decide(once, noon), { kind: 'fire', scheduledMs: noon })
  assert.deepEqual(decide(once, noon, { lastScheduledMs: noon }), { kind: 'elapsed' })
})

test('decideTimer() does not lose a span to a calendar that has something to pass over', () => {
  const both = timer('OnCalendar=hourly', 'OnActiveSec=10min')
  const nowMs = noon + 5.5 * hourMs
  const ten = noon + 10 * minuteMs
  assert.deepEqual(decide(both, nowMs), { kind: 'fire', scheduledMs: ten })
  assert.equal(decide(both, nowMs, { lastScheduledMs: ten }).kind, 'pass')
})

test('decideTimer() bears clocks that differ, and one that was put back', () => {
  const hourly = timer('OnCalendar=hourly')
  const one = noon + hourMs
  // Fired by a machine whose clock is ahead.
  const ahead = decide(hourly, one - 2000, { lastScheduledMs: one, lastFiredAtMs: one })
  assert.equal(ahead.kind === 'wait' && ahead.scheduledMs, one + hourMs)
  const back = decide(hourly, one - 1, { lastScheduledMs: one + dayMs })
  assert.equal(back.kind === 'wait' && back.scheduledMs, one)
})

test('timerDueMs() delays by name and moment, evenly, the same everywhere', () => {
  const random = timer('OnCalendar=daily', 'RandomizedDelaySec=1h')
  const delays = Array.from({ length: 1000 }, (_, day) => {
    const scheduledMs = noon + day * dayMs
    assert.equal(timerDueMs(random, 's', scheduledMs), timerDueMs(random, 's', scheduledMs))
    return timerDueMs(random, 's', scheduledMs) - scheduledMs
  })
  assert.ok(Math.min(...delays) >= 0 && Math.max(...delays) < hourMs)
  const quarters = delays.map((delay) => Math.floor(delay / (hourMs / 4)))
  for (const quarter of [0, 1, 2, 3]) {
    const count = quarters.filter((found) => found === quarter).length
    assert.ok(count > 200 && count < 300, `${count} of 1000 in quarter ${quarter}`)
  }
  const fixed = timer('OnCalendar=daily', 'RandomizedDelaySec=1h', 'FixedRandomDelay=yes')
  const delay = timerDueMs(fixed, 's', noon) - noon
  assert.equal(timerDueMs(fixed, 's', noon + dayMs) - noon - dayMs, delay)
  assert.notEqual(timerDueMs(fixed, 'other', noon) - noon, delay)
})

const calendars = ['*:*:0/10', 'minutely', '*:0/7', 'hourly', '0/5:30', 'Mon *-*-* 2:30']
const delays = ['0', '5s', '40min']

/** Asks at random times, as leaders that come and go would, and records what is given. */
function play(unit: TimerUnit, waits: readonly number[]) {
  let state: TimerState = { activatedAtMs: noon, unitRunning: false }
  const given: { readonly kind: 'fire' | 'pass'; readonly atMs: number; readonly ms: number }[] = []
  let nowMs = noon
  for (const waitMs of waits) {
    nowMs += waitMs
    for (let turn = 0; turn < 200; turn++) {
      const decision = decideTimer(unit, state, context, nowMs)
      if (decision.kind !== 'fire' && decision.kind !== 'pass') break
      // A leader that lost its record asks again and gets the same.
      assert.deepEqual(decideTimer(unit, state, context, nowMs), decision)
      given.push({ kind: decision.kind, atMs: nowMs, ms: decision.scheduledMs })
      state = { ...state, lastScheduledMs: decision.scheduledMs, lastFiredAtMs: nowMs }
    }
  }
  return { given, nowMs, state }
}

const waits = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 20_000 }),
    fc.integer({ min: 0, max: 3 * minuteMs }),
    fc.integer({ min: 0, max: 5 * hourMs }),
  ),
  { maxLength: 60 },
)
const units = (policy: string) =>
  fc
    .tuple(fc.constantFrom(...calendars), fc.constantFrom(...delays), fc.boolean())
    .map(([calendar, delay, fixed]) =>
      timer(
        `OnCalendar=${calendar}`,
        `RandomizedDelaySec=${delay}`,
        `FixedRandomDelay=${fixed}`,
        '[X-Holon]',
        `OnMissed=${policy}`,
      ),
    )

test('decideTimer() gives no moment twice and none that is none, at no time too early', () => {
  const anyUnit = fc.constantFrom('run-once', 'skip', 'run-all').chain(units)
  fc.assert(
    fc.property(anyUnit, waits, (unit, times) => {
      const [spec] = unit.calendars
      let lastMs = noon
      for (const { ms, atMs } of play(unit, times).given) {
        assert.ok(ms > lastMs)
        assert.equal(spec && nextElapse(spec, ms - 1, 'UTC'), ms)
        assert.ok(timerDueMs(unit, context.seed, ms) <= atMs)
        lastMs = ms
      }
    }),
    { numRuns: 300 },
  )
})

test('decideTimer() with OnMissed=run-all gives every moment, however late', () => {
  fc.assert(
    fc.property(units('run-all'), waits, (unit, times) => {
      const { given, nowMs } = play(unit, times)
      const [spec] = unit.calendars
      let expected = spec && nextElapse(spec, noon, 'UTC')
      for (const { ms, kind } of given) {
        assert.deepEqual([kind, ms], ['fire', expected])
        expected = spec && nextElapse(spec, timerDueMs(unit, context.seed, ms), 'UTC')
      }
      // A play stops at 200 in one go.
      if (given.length < 200 && expected !== undefined) {
        assert.ok(timerDueMs(unit, context.seed, expected) > nowMs)
      }
    }),
    { numRuns: 200 },
  )
})

test('decideTimer() leaves out no moment that somebody could act on in time', () => {
  const shortWaits = fc.array(fc.integer({ min: 0, max: limits.timerLateMsMin }), {
    maxLength: 300,
  })
  const policies = fc.constantFrom('run-once', 'skip').chain(units)
  fc.assert(
    fc.property(policies, shortWaits, (unit, times) => {
      const { given, nowMs } = play(unit, times)
      const all = play({ ...unit, onMissed: 'run-all' }, [nowMs - noon]).given
      // A play stops at 200 in one go.
      const count = Math.min(given.length, 200)
      assert.equal(Math.min(all.length, 200), count)
      assert.deepEqual(
        given.slice(0, count).map(({ ms, kind }) => [kind, ms]),
        all.slice(0, count).map(({ ms }) => ['fire', ms]),
      )
    }),
    { numRuns: 200 },
  )
})

test('decideTimer() makes up for missed moments once, or not at all', () => {
  fc.assert(
    fc.property(fc.constantFrom('run-once', 'skip').chain(units), waits, (unit, times) => {
      const { given } = play(unit, times)
      for (const { ms, atMs, kind } of given) {
        const lateMs = atMs - timerDueMs(unit, context.seed, ms)
        if (unit.onMissed === 'skip') assert.equal(kind, lateMs > minuteMs ? 'pass' : 'fire')
        else assert.equal(kind, 'fire')
      }
      // No two of those that were late are made up for in one go.
      const late = given.filter(({ ms, atMs }) => atMs - timerDueMs(unit, 'fleet', ms) > minuteMs)
      if (unit.onMissed === 'run-once') {
        assert.equal(new Set(late.map(({ atMs }) => atMs)).size, late.length)
      }
    }),
    { numRuns: 200 },
  )
})
