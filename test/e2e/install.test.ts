/** `holon install`: the agent's own systemd unit. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { TestAgent } from './harness.ts'

test('install --print shows a unit that leaves jobs alone and that systemd accepts', async () => {
  await using agent = TestAgent.make()
  const unit = agent.ok(['install', '--print'])
  assert.match(unit, /ExecStart=".*holon" up --foreground/)
  assert.match(unit, /KillMode=process/)
  if (!existsSync('/usr/bin/systemd-analyze')) return
  const path = join(agent.dir, 'holon.service')
  writeFileSync(path, unit)
  const { status, stderr } = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' })
  assert.equal(status, 0, stderr)
})

test('install says what to do where systemd does not run', {
  skip: existsSync('/run/systemd/system') ? 'systemd runs here' : false,
}, async () => {
  await using agent = TestAgent.make()
  const { status, stderr } = agent.holon(['install'])
  assert.equal(status, 2)
  assert.match(stderr, /up --foreground/)
})
