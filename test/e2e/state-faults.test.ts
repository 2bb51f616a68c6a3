/** What a person meets when the state is damaged, the disk is full or read-only, and the way back. */
import assert from 'node:assert/strict'
import { readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestAgent, unitOf } from './harness.ts'

test('a damaged state: up says so and changes nothing, restore brings the units back', async () => {
  await using agent = await TestAgent.up()
  agent.ok([
    'enable',
    '--now',
    agent.unit('kept.service', '[Service]\nExecStart=/bin/sleep 1000\n'),
  ])
  const pid = unitOf(agent, 'kept').instances[0]?.pid
  agent.ok(['down'])
  const database = join(agent.dir, 'state/state.db')
  const bytes = readFileSync(database)
  truncateSync(database, Math.floor(bytes.length / 2))
  const refused = agent.holon(['up'])
  assert.equal(refused.status, 69)
  assert.match(refused.stderr, /damaged[\s\S]*holon state restore/)
  assert.equal(readFileSync(database).length, Math.floor(bytes.length / 2))
  assert.match(agent.ok(['state', 'restore']), /restored from/)
  agent.ok(['up'])
  assert.equal(unitOf(agent, 'kept').instances[0]?.pid, pid, 'the job went on all the while')
})

test('a second agent on the same state is refused, the first goes on', async () => {
  await using agent = await TestAgent.up()
  const second = agent.holon(['up', '--foreground'])
  assert.notEqual(second.status, 0)
  assert.match(second.stderr, /holon down/)
  assert.match(agent.ok(['status']), /Holon/)
})

test('an unreadable unit record does not keep the others from starting', async () => {
  await using agent = await TestAgent.up()
  const path = agent.unit('fine.service', '[Service]\nExecStart=/bin/sleep 1000\n')
  agent.ok(['enable', '--now', path])
  writeFileSync(path, '[Service]\nExecStart=\n')
  assert.equal(agent.holon(['restart', path]).status, 2)
  assert.equal(agent.ok(['is-active', 'fine']), 'active\n')
})
