/** `holon run` as a person uses it, against a real agent. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isAlive, isRoot, TestAgent, until } from './harness.ts'

let agent: TestAgent

before(async () => {
  agent = await TestAgent.up()
})
after(() => agent[Symbol.asyncDispose]())

test('run passes stdout, stderr and the exit status through', () => {
  const result = agent.holon(['run', 'sh', '-c', 'echo out; echo err >&2; exit 7'])
  assert.deepEqual(result, { status: 7, stdout: 'out\n', stderr: 'err\n' })
})

test('run exits 128+N for signal N, 127 for what is not there, 126 for what is no program', () => {
  assert.equal(agent.holon(['run', 'sh', '-c', 'kill -TERM $$']).status, 143)
  assert.equal(agent.holon(['run', 'sh', '-c', 'kill -KILL $$']).status, 137)
  const missing = agent.holon(['run', 'no-such-program-here'])
  assert.equal(missing.status, 127)
  assert.match(missing.stderr, /no-such-program-here/)
  assert.equal(agent.holon(['run', '/etc/passwd']).status, 126)
})

test('run takes environment and directory along, and --env, --cwd change them', () => {
  const shown = agent.ok(['run', 'sh', '-c', 'pwd; echo "$FROM_HERE/$ADDED"'], {
    env: { FROM_HERE: 'a b' },
  })
  assert.equal(shown, `${agent.dir}\na b/\n`)
  const changed = agent.ok([
    'run',
    '--cwd',
    '/usr',
    '-e',
    'ADDED=x',
    'sh',
    '-c',
    'pwd; echo $ADDED',
  ])
  assert.equal(changed, '/usr\nx\n')
})

test("run's options end at the command: the program's own need no --", () => {
  assert.equal(agent.ok(['run', 'echo', '-e', '--env', '-t']), '--env -t\n')
  assert.equal(agent.ok(['run', '--', 'printf', '%s|', '-d', '--']), '-d|--|')
})

test('cat big | holon run wc -c', () => {
  const big = Buffer.alloc(32 << 20, 'x')
  assert.equal(agent.ok(['run', 'wc', '-c'], { input: big }).trim(), String(big.length))
})

test('big output arrives whole and in order', () => {
  const path = join(agent.dir, 'big')
  const big = Buffer.from(Array.from({ length: 1 << 20 }, (_, i) => `${i}\n`).join(''))
  writeFileSync(path, big)
  const out = agent.ok(['run', 'cat', path])
  const hash = (data: string | Buffer) => createHash('sha256').update(data).digest('hex')
  assert.equal(hash(out), hash(big))
})

test('holon run yes | head -1 ends at once', () => {
  const result = agent.holon(['run', 'true'])
  assert.equal(result.status, 0)
  const piped = agent.shell('"$HOLON" run yes | head -1')
  assert.equal(piped.stdout, 'y\n')
})

test('a program that closes its stdin does not make run hang', () => {
  assert.equal(
    agent.ok(['run', 'sh', '-c', 'exec <&-; echo done'], { input: Buffer.alloc(1 << 20) }),
    'done\n',
  )
})

test('signals reach the program', async () => {
  const run = agent.start([
    'run',
    'sh',
    '-c',
    'trap "echo got; exit 3" INT; echo ready; while :; do sleep 0.05; done',
  ])
  let out = ''
  run.stdout?.on('data', (chunk) => {
    out += chunk
  })
  await until('the program is ready', () => out.includes('ready'))
  run.kill('SIGINT')
  const [code] = await once(run, 'exit')
  assert.equal(code, 3)
  assert.match(out, /got/)
})

test('killing the client kills the program', async () => {
  const run = agent.start(['run', 'sh', '-c', 'echo $$; exec sleep 1000'])
  let out = ''
  run.stdout?.on('data', (chunk) => {
    out += chunk
  })
  await until('the program told its pid', () => out.includes('\n'))
  const pid = Number(out)
  run.kill('SIGKILL')
  await until(`process ${pid} is gone`, () => !isAlive(pid))
})

test('a run whose keeper is lost ends with a status of its own, at once', async () => {
  const client = agent.start(['run', 'sh', '-c', 'echo $PPID; exec sleep 1000'])
  let out = ''
  let err = ''
  client.stdout?.on('data', (bytes: Buffer) => {
    out += bytes.toString()
  })
  client.stderr?.on('data', (bytes: Buffer) => {
    err += bytes.toString()
  })
  const exited = once(client, 'exit')
  await until('it runs', () => out.endsWith('\n'), { state: () => err })
  process.kill(Number(out), 'SIGKILL')
  assert.deepEqual(await exited, [123, null], err)
  assert.match(err, /how it ended is not known/)
})

test('a directory that is not there is told apart from a program that is not', () => {
  const result = agent.holon(['run', '--cwd', '/no-such-directory', 'true'])
  assert.equal(result.status, 127)
  assert.match(result.stderr, /there is no directory "\/no-such-directory"/)
})

test('run --each prefixes lines, --explain says why, -m names machines', () => {
  const [{ name }] = agent.json<[{ name: string }]>(['machines', '--json'])
  const each = agent.holon(['run', '--each', '-m', name, 'sh', '-c', 'echo a; echo b >&2; exit 3'])
  assert.deepEqual(each, {
    status: 3,
    stdout: `${name} | a\n`,
    stderr: `${name} | b\nholon: 0 of 1 machines: exit 0; ${name}: exit 3\n`,
  })
  const explained = agent.holon(['run', '--explain', 'echo', 'hi'])
  assert.deepEqual([explained.status, explained.stdout], [0, 'hi\n'])
  assert.match(explained.stderr, new RegExp(`^holon: on ${name}: `))
  assert.equal(agent.holon(['-m', 'nowhere', 'run', 'true']).status, 125)
  const piped = agent.shell(
    `"$HOLON" run -m ${name} seq 100000 | "$HOLON" run -m ${name} sort | head -1`,
  )
  assert.deepEqual([piped.status, piped.stdout], [0, '1\n'])
})

test('--timeout ends it with status 124', () => {
  assert.equal(agent.holon(['run', '--timeout', '200ms', 'sleep', '1000']).status, 124)
})

test('-d detaches; runs, logs and wait know it', async () => {
  const id = agent.ok(['run', '-d', 'sh', '-c', 'echo one; echo two >&2; exit 5']).trim()
  assert.equal(agent.holon(['wait', id]).status, 5)
  assert.equal(
    agent
      .ok(['logs', '-o', 'cat', `run/${id}`])
      .split('\n')
      .sort()
      .join(' ')
      .trim(),
    'one two',
  )
  const runs = agent.json<{ id: string; state: string; exit: { code: number } }[]>([
    'runs',
    '--json',
  ])
  const run = runs.find((each) => each.id === id)
  assert.deepEqual([run?.state, run?.exit.code], ['ended', 5])
  agent.ok(['runs', '--rm', id])
  assert.equal(agent.holon(['wait', id]).status, 4)
})

test('a detached run outlives kill -9 of the agent, its status is known afterwards', async () => {
  const id = agent.ok(['run', '-d', 'sh', '-c', 'echo before; sleep 1; echo after; exit 9']).trim()
  await agent.killAgent()
  agent.ok(['up'])
  assert.equal(agent.holon(['wait', id]).status, 9)
  assert.equal(agent.ok(['logs', '-o', 'cat', `run/${id}`]), 'before\nafter\n')
})

test('an attached run goes on while the agent is killed and started again', async () => {
  const run = agent.start(['run', 'sh', '-c', 'echo a; sleep 1; echo b; exit 6'])
  let out = ''
  run.stdout?.on('data', (chunk) => {
    out += chunk
  })
  await until('the program runs', () => out.includes('a\n'))
  await agent.killAgent()
  const [code] = await once(run, 'exit')
  assert.deepEqual([code, out], [6, 'a\nb\n'])
  agent.ok(['up'])
})

test('--user runs as another user', { skip: isRoot ? false : 'needs root' }, () => {
  assert.equal(agent.ok(['run', '--user', 'nobody', '--cwd', '/', 'id', '-un']), 'nobody\n')
})
