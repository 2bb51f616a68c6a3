import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ControlledMachine } from './controlled.ts'
import { MachineSight } from './machine-sight.ts'

/** Twelve machines of one zone, the first of them silent for so long. */
function zone(silent: number, forMs = 3_000): readonly ControlledMachine[] {
  return Array.from({ length: 12 }, (_, i) => {
    const isSilent = i < silent
    const presence = isSilent ? 'silent' : 'up'
    const machine = { machineId: `m${i}`, name: `m${i}`, zone: 'z1', doubted: false }
    return { ...machine, presence, forMs: isSilent ? forMs : 0 } as unknown as ControlledMachine
  })
}

test('look() tells who falls silent, is back, comes and goes; of old silence a new leader does not', () => {
  const seen: string[] = []
  const sight = new MachineSight({
    report: () => {},
    saw: (machine, what) => seen.push(`${machine} ${what}`),
  })
  const look = (machines: readonly ControlledMachine[]) => {
    sight.look(machines, new Map(), 0)
    return seen.splice(0)
  }
  assert.deepEqual(look(zone(1, 60_000)), [])
  assert.deepEqual(look(zone(2)), ['m1 silent'])
  assert.deepEqual(look(zone(1)), ['m1 back'])
  assert.deepEqual(look(zone(1).slice(0, -1)), ['m11 gone'])
  assert.deepEqual(look(zone(0)), ['m0 back', 'm11 joined'])
  // The one that led died together with this one.
  const other = new MachineSight({ report: () => {}, saw: (...told) => seen.push(told.join()) })
  other.look(zone(1), new Map(), 0)
  assert.deepEqual(seen, ['m0,silent,it is not heard of'])
})

test('look() reports where moving away pauses when that begins and when it ends, once each', () => {
  const reported: string[] = []
  const sight = new MachineSight({ report: (message) => reported.push(message), saw: () => {} })
  const look = (machines: readonly ControlledMachine[]) => sight.look(machines, new Map(), 0)
  look(zone(3))
  assert.deepEqual([reported, sight.pauses], [[], []])
  look(zone(4))
  look(zone(5))
  assert.equal(reported.length, 1)
  assert.match(reported[0] ?? '', /^4 of 12 machines in zone z1 are silent at once: /)
  assert.match(sight.pauses.join(), /^5 of 12 machines .* after 5 min it is believed$/)
  assert.equal(sight.evictionsPaused('m0'), sight.pauses[0])
  look(zone(0))
  assert.match(reported[1] ?? '', /in zone z1 are believed dead again/)
  // What was announced: minutes of silence are believed.
  look(zone(12))
  look(zone(12, 300_001))
  assert.deepEqual([reported.length, sight.pauses], [4, []])
})
