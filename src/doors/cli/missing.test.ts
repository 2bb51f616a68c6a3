import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { realClock } from '../../io/clock.ts'
import type { System } from '../../kernel/kernel.ts'
import { fanOutLimit, missingText } from './missing.ts'
import { testContext } from './ps/test-system.ts'

const day = 86_400_000

test('missingText() names each machine, why, and when it was last seen', () => {
  const nowMs = 100 * day
  assert.equal(missingText([], nowMs, 3), undefined)
  const n4 = { machine: 'n4', code: 'unavailable' as const, lastSeenAtMs: nowMs - 12_000 }
  assert.match(
    missingText([n4], nowMs, 3) ?? '',
    /^3 of 4 machines answered; n4 unreachable \(last seen \d\d:\d\d:\d\d, 12 s ago\)$/,
  )
  const old = { ...n4, lastSeenAtMs: nowMs - 3 * day }
  assert.match(missingText([old], nowMs) ?? '', /last seen 1970-04-\d\d .*, 3 d ago\)$/)
  const others = [
    { machine: 'n5', code: 'deadline_exceeded' as const },
    { machine: 'n6', code: 'internal' as const },
  ]
  assert.equal(
    missingText(others, nowMs),
    '2 machines did not answer; n5 silent, n6 failed (internal)',
  )
  // A clock that was set back does not show as time to come.
  const ahead = { ...n4, lastSeenAtMs: nowMs + 5_000 }
  assert.match(missingText([ahead], nowMs) ?? '', /, 0 s ago\)$/)
})

test('fanOutLimit() leaves time for the answer within --timeout', () => {
  const { context } = testContext({} as System)
  const within = (ms: number) => ({ ...context, deadline: () => deadline(realClock, ms) })
  using plain = fanOutLimit(within(30_000))
  assert.equal(plain.fanOutMs, 2_000)
  using short = fanOutLimit(within(1_000))
  assert.ok(short.fanOutMs > 700 && short.fanOutMs <= 800, `${short.fanOutMs}`)
  using long = fanOutLimit(within(60_000), 20_000)
  assert.equal(long.fanOutMs, 20_000)
})
