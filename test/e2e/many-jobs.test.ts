/** 500 kept jobs: started, seen, taken over after a kill -9 of the agent, stopped. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TestAgent, unitOf, until } from './harness.ts'

const jobs = 500

test('500 jobs are kept without trouble', async () => {
  await using agent = await TestAgent.up()
  const path = agent.unit(
    'many.service',
    `[Service]\nExecStart=/bin/sleep 100000\n[X-Holon]\nInstances=${jobs}\n`,
  )
  agent.ok(['start', path], { timeoutMs: 120_000 })
  const pids = () => unitOf(agent, 'many').instances.map((instance) => instance.pid)
  const before = pids()
  assert.equal(new Set(before).size, jobs)
  assert.ok(before.every((pid) => pid > 0))
  await agent.killAgent()
  agent.ok(['up'], { timeoutMs: 120_000 })
  await until('all are taken over', () => unitOf(agent, 'many').active === 'active', {
    timeoutMs: 60_000,
  })
  assert.deepEqual(pids(), before)
  agent.ok(['stop', 'many'], { timeoutMs: 120_000 })
  assert.ok(unitOf(agent, 'many').instances.every((instance) => instance.active === 'inactive'))
})
