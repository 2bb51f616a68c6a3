/** What machines tell, and what is told on of it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ManualClock } from '../../../test/conformance/manual-clock.ts'
import type { HostedInstance } from './host.ts'
import { Reports } from './reports.ts'

const instance: HostedInstance = {
  ...{ unit: 'web.service', slot: 1, generation: 1, spec: 1 },
  ...{ exclusive: false, phase: 'ready', why: '', forMs: 0 },
}

test('a restart by a keeper is told when the machine does, not by who leads only since then', async () => {
  const clock = new ManualClock()
  const told: string[] = []
  let hosted = instance
  const reports = new Reports({
    clock,
    ask: async () => ({ sequence, instances: [hosted] }),
    changed: () => {},
    restarted: (machineId, { restarted }) => told.push(`${machineId} ${restarted?.times}`),
  })
  let sequence = 0
  const tell = async (times: number, generation = 1) => {
    hosted = { ...instance, generation, restarted: { times, why: 'status 1' } }
    sequence += 1
    reports.heard('n1', sequence)
    await new Promise(setImmediate)
    return told.splice(0)
  }
  assert.deepEqual(await tell(3), [])
  assert.deepEqual(await tell(3), [])
  assert.deepEqual(await tell(4), ['n1 4'])
  // One that does all the time is told of now and then.
  assert.deepEqual(await tell(5), [])
  clock.advance(10_000)
  assert.deepEqual(await tell(6), ['n1 6'])
  assert.deepEqual(await tell(1, 2), ['n1 1'])
})
