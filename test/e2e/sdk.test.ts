/** The SDK against a real agent: what a program gets, and what it meets when the agent dies. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { connect, HolonError } from '../../src/doors/sdk/index.ts'
import { TestAgent } from './harness.ts'

let agent: TestAgent
let socketPath: string

before(async () => {
  agent = await TestAgent.up()
  socketPath = join(agent.dir, 'run/user', String(process.getuid?.()), 'agent.sock')
})
after(() => agent[Symbol.asyncDispose]())

test('connect() gives processes, units and status', async () => {
  await using holon = await connect({ socketPath })
  const { processes, missing } = await holon.processes()
  assert.ok(processes.some((p) => p.pid === process.pid))
  assert.deepEqual(missing, [])
  assert.deepEqual(await holon.units(), { units: [], missing: [] })
  assert.equal((await holon.status()).machines.length, 1)
})

test('run() collects output and tells how it ended', async () => {
  await using holon = await connect({ socketPath })
  const result = await holon.run(['sh', '-c', 'echo out; echo err >&2; exit 3'])
  assert.deepEqual(result, { exit: { code: 3 }, stdout: 'out\n', stderr: 'err\n' })
  assert.deepEqual((await holon.run('no-such-program')).exit, { execErrno: 'ENOENT' })
})

test('on() and `machine` choose machines, and say when there is none', async () => {
  await using holon = await connect({ socketPath })
  const [name = ''] = (await holon.machines()).machines.map((machine) => machine.name)
  const here = await holon.on(name)
  assert.equal((await here.run(['echo', 'hi'])).stdout, 'hi\n')
  assert.deepEqual((await here.processes({ pids: [process.pid] })).missing, [])
  const chosen = { machine: `${name},other`, require: 'cpus>=1' }
  assert.equal((await holon.run(['echo', 'hi'], chosen)).stdout, 'hi\n')
  await assert.rejects(holon.on('nowhere'), { code: 'not_found' })
  await assert.rejects(holon.run('true', { machine: 'nowhere' }), { code: 'not_found' })
  await assert.rejects(holon.run('true', { require: 'cpus>=100000' }), { code: 'unavailable' })
})

test('start() streams both ways', async () => {
  await using holon = await connect({ socketPath })
  using handle = await holon.start(['tr', 'a-z', 'A-Z'])
  handle.stdio.stdin.end('shout')
  const chunks: Buffer[] = []
  for await (const chunk of handle.stdio.stdout) chunks.push(chunk)
  assert.equal(Buffer.concat(chunks).toString(), 'SHOUT')
  assert.deepEqual(await handle.exit, { code: 0 })
})

test('a process whose pid now is another is refused as stale', async () => {
  await using holon = await connect({ socketPath })
  const sleeper = spawn('sleep', ['1000'])
  // It may have ended before the answer to the signal is here.
  const exited = once(sleeper, 'exit')
  try {
    const { processes } = await holon.processes({ pids: [sleeper.pid ?? 0] })
    const [seen] = processes
    assert.ok(seen !== undefined)
    using limit = holon.deadline()
    const other = { machine: seen.machine, pid: seen.pid, startTicks: seen.startTicks - 1 }
    const stale = await holon.system.process(other, limit)
    await assert.rejects(stale.signal('SIGKILL', limit), { code: 'stale' })
    const right = await holon.system.process(seen, limit)
    await right.signal('SIGTERM', limit)
    await exited
  } finally {
    sleeper.kill('SIGKILL')
  }
})

test('a killed agent: calls in flight and later ones fail as unavailable, at once', async () => {
  await using holon = await connect({ socketPath })
  const id = agent.ok(['run', '-d', 'sleep', '1000']).trim()
  using limit = holon.deadline()
  const run = await holon.system.findRun(id, limit)
  const waiting = assert.rejects(run.wait(limit), (error) => {
    assert.ok(error instanceof HolonError)
    assert.deepEqual([error.code, error.retryable, error.outcome], ['unavailable', true, 'none'])
    return true
  })
  await agent.killAgent()
  await waiting
  await assert.rejects(holon.status(), { code: 'unavailable' })
  agent.ok(['up'])
  agent.ok(['runs', '--stop', id])
})
