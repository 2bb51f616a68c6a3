import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Clock } from '../base/clock.ts'
import { Liveness } from './liveness.ts'

/** Time that passes when told to. */
function manualClock() {
  let nowMs = 0
  const timers = new Set<{ readonly atMs: number; readonly fire: () => void }>()
  const clock: Clock = {
    nowMs: () => nowMs,
    wallMs: () => nowMs,
    timer(delayMs, fire) {
      const timer = { atMs: nowMs + delayMs, fire }
      timers.add(timer)
      return { [Symbol.dispose]: () => void timers.delete(timer) }
    },
  }
  const pass = (ms: number) => {
    nowMs += ms
    for (const timer of [...timers]) {
      if (timer.atMs > nowMs) continue
      timers.delete(timer)
      timer.fire()
    }
  }
  return { clock, pass, timers }
}

function watched() {
  const { clock, pass, timers } = manualClock()
  const seen: string[] = []
  const state = { busy: true }
  const liveness = new Liveness(
    clock,
    {
      busy: () => state.busy,
      ping: () => seen.push('ping'),
      dead: (silentMs) => seen.push(`dead after ${silentMs}`),
    },
    { heartbeatIntervalMs: 5, heartbeatTimeoutMs: 20 },
  )
  return { liveness, pass, timers, seen, state }
}

test('Liveness runs no timer until work begins, and none after it is done', () => {
  const { liveness, pass, timers, seen, state } = watched()
  assert.equal(timers.size, 0)
  liveness.wake()
  liveness.wake()
  assert.equal(timers.size, 1)
  state.busy = false
  pass(5)
  assert.equal(timers.size, 0)
  assert.deepEqual(seen, [])
})

test('Liveness pings a silent peer and gives it up after the timeout', () => {
  const { liveness, pass, timers, seen } = watched()
  liveness.wake()
  for (let i = 0; i < 4; i++) pass(5)
  assert.deepEqual(seen, ['ping', 'ping', 'ping', 'dead after 20'])
  assert.equal(timers.size, 0)
})

test('Liveness begins anew with every byte', () => {
  const { liveness, pass, seen } = watched()
  liveness.wake()
  for (let i = 0; i < 20; i++) {
    pass(5)
    if (i % 3 === 2) liveness.heard()
  }
  assert(!seen.some((event) => event.startsWith('dead')), seen.join())
})

test('Liveness does not take its own sleep for silence of the peer', () => {
  const { liveness, pass, seen } = watched()
  liveness.wake()
  pass(60_000)
  assert.deepEqual(seen, ['ping'])
})

test('Liveness ends with dispose', () => {
  const { liveness, timers } = watched()
  liveness.wake()
  liveness[Symbol.dispose]()
  liveness[Symbol.dispose]()
  liveness.wake()
  assert.equal(timers.size, 0)
})
