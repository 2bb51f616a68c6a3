/** Names of units of one machine: by the command, by DNS, and by the SDK as they change. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect } from '../../src/doors/sdk/index.ts'
import type { Resolution } from '../../src/kernel/names.ts'
import { TestAgent, until } from './harness.ts'

let agent: TestAgent
let port: number

before(async () => {
  const free = createSocket('udp4')
  free.bind(0, '127.0.0.1')
  await once(free, 'listening')
  port = free.address().port
  free.close()
  agent = TestAgent.make()
  agent.ok(['up', '--dns', `127.0.0.1:${port}`])
  const unit = '[Service]\nExecStart=/bin/sleep 1000\n[X-Holon]\nInstances=2\n'
  agent.ok(['start', agent.unit('my_app.service', unit)])
})
after(() => agent[Symbol.asyncDispose]())

function resolver(): Resolver {
  const made = new Resolver({ timeout: 2_000, tries: 2 })
  made.setServers([`127.0.0.1:${port}`])
  return made
}

test('resolve shows instances, as a table and as JSON', () => {
  const { stdout } = agent.holon(['resolve', 'my_app'])
  assert.match(stdout, /^NAME +MACHINE +ADDRESS +PORT +STATE\n1\.my-app\.holon .* 127\.0\.0\.1 /)
  const { stdout: json } = agent.holon(['resolve', '2.my-app', '--json'])
  const { kind, name, places, isStale } = JSON.parse(json) as Resolution
  assert.deepEqual([kind, name, isStale], ['instance', '2.my-app.holon', false])
  assert.deepEqual([places[0]?.unit, places[0]?.state], ['my_app.service', 'ready'])
})

test('resolve of what is not there fails, and says what to do', () => {
  const { status, stderr } = agent.holon(['resolve', 'nothing'])
  assert.equal(status, 4)
  assert.match(stderr, /no name "nothing"; `holon list-units`/)
  assert.equal(agent.holon(['resolve', 'no/thing']).status, 2)
})

test('DNS answers while the unit runs, and has nothing for it once it is stopped', async () => {
  const at = resolver()
  await until('DNS answers', () =>
    at.resolve4('my-app.holon').then(
      (addresses) => addresses.join() === '127.0.0.1',
      () => false,
    ),
  )
  assert.deepEqual(await at.resolve4('2.MY_APP.holon'), ['127.0.0.1'])
  await assert.rejects(at.resolve4('3.my-app.holon'), { code: 'ENOTFOUND' })
  agent.ok(['stop', 'my_app'])
  await assert.rejects(at.resolve4('my-app.holon'), { code: 'ENODATA' })
  const { status, stderr } = agent.holon(['resolve', 'my_app'])
  assert.equal(status, 1)
  assert.match(stderr, /no instance of my-app\.holon runs now/)
})

const noDig = spawnSync('dig', ['-v']).error === undefined ? false : 'there is no dig here'

test('dig has the same answers', { skip: noDig }, () => {
  agent.ok(['start', 'my_app'])
  const dig = (...args: readonly string[]) =>
    spawnSync('dig', ['@127.0.0.1', '-p', String(port), '+tries=1', ...args], { encoding: 'utf8' })
  assert.equal(dig('+short', 'my-app.holon').stdout, '127.0.0.1\n')
  assert.match(dig('example.com').stdout, /status: REFUSED/)
  assert.match(dig('nope.holon').stdout, /status: NXDOMAIN[\s\S]*SOA/)
  assert.match(dig('my-app.holon').stdout, /flags: qr aa rd;[\s\S]*EDNS: version: 0/)
})

test('the SDK resolves, and tells of changes', async () => {
  agent.ok(['start', 'my_app'])
  const socketPath = join(agent.dir, 'run/user', String(process.getuid?.()), 'agent.sock')
  await using holon = await connect({ socketPath })
  assert.equal((await holon.resolve('my_app')).places.length, 2)
  using limit = holon.deadline(20_000)
  const seen = new Set<string>()
  for await (const change of holon.names.watch('my_app', limit)) {
    for (const { name } of change.added) seen.add(`added ${name}`)
    for (const { name } of change.removed) seen.add(`removed ${name}`)
    if (seen.size === 2) agent.ok(['stop', 'my_app'])
    if (change.resolution?.places.length === 0) break
  }
  assert.deepEqual([...seen].sort(), [
    'added 1.my-app.holon',
    'added 2.my-app.holon',
    'removed 1.my-app.holon',
    'removed 2.my-app.holon',
  ])
})
