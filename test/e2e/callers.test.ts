/** Who may do what: root everything, others what is theirs. Needs root, to be two users. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isRoot, launcher, type Result, TestAgent } from './harness.ts'

const nobody = 65534
const skip = isRoot ? false : 'needs root'

let agent: TestAgent

before(async () => {
  if (!isRoot) return
  agent = await TestAgent.up()
  chmodSync(agent.dir, 0o755)
})
after(() => agent?.[Symbol.asyncDispose]())

/** `holon ARGS…` as the user nobody. */
function asNobody(...args: string[]): Result {
  const options = ['--reuid', '65534', '--regid', '65534', '--clear-groups', launcher, ...args]
  const { status, stdout, stderr } = spawnSync('setpriv', options, {
    env: agent.env,
    encoding: 'utf8',
    cwd: '/',
    timeout: 30_000,
  })
  return { status: status ?? 255, stdout, stderr }
}

test('a user whom the agent has not met gets a socket in a directory of its own', { skip }, () => {
  assert.match(asNobody('status').stdout, /Holon/)
  const dir = statSync(join(agent.dir, 'run/user', String(nobody)))
  assert.deepEqual([dir.uid, dir.mode & 0o777], [nobody, 0o700])
})

const systemRuns = existsSync('/run/holon/knock') ? 'the system has a Holon of its own' : false

test("a user with somebody else's HOME is told what is the matter", {
  skip: skip || systemRuns,
}, () => {
  const env = { PATH: process.env['PATH'], HOME: join(agent.dir, 'state') }
  const options = ['--reuid', '65534', '--regid', '65534', '--clear-groups', launcher, 'status']
  const { status, stderr } = spawnSync('setpriv', options, { env, encoding: 'utf8', cwd: '/' })
  assert.equal(status, 69, stderr)
  assert.match(stderr, /holon up/)
})

test('others see all processes and units', { skip }, () => {
  agent.ok(['start', agent.unit('seen.service', '[Service]\nExecStart=/bin/sleep 1000\n')])
  assert.match(asNobody('ps', '-ef').stdout, /sleep 1000/)
  assert.match(asNobody('status', 'seen').stdout, /active \(running\)/)
})

test('others may not act on what is not theirs', { skip }, () => {
  const pid = agent.ok(['show', '-p', 'MainPID', '--value', 'seen']).trim()
  const refused = [
    asNobody('stop', 'seen'),
    asNobody('restart', 'seen'),
    asNobody('enable', 'seen'),
    asNobody('logs', 'seen'),
    asNobody('down'),
    asNobody('run', '--user', 'root', 'id'),
  ]
  for (const { status, stderr } of refused) {
    assert.match(stderr, /may/)
    assert.ok(status === 77 || status === 125, `${status}: ${stderr}`)
  }
  assert.equal(asNobody('kill', pid).status, 1)
  assert.equal(agent.ok(['is-active', 'seen']), 'active\n')
})

test('a run of theirs has their rights, and is theirs alone', { skip }, () => {
  assert.equal(asNobody('run', 'id', '-u').stdout, '65534\n')
  const id = agent.ok(['run', '-d', 'sleep', '1000']).trim()
  assert.equal(asNobody('runs', '--stop', id).status, 77)
  assert.doesNotMatch(asNobody('runs').stdout, new RegExp(id))
  agent.ok(['runs', '--stop', id])
})
