/** Jobs with a terminal: its size, its keys, its stops, its end. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Client, exec, isAlive, type Job, Nursery, rootOnly, sh, until } from './harness.ts'

const terminal = ['output=stream', 'stdin=stream', 'tty=24 80', 'timeout-stop-ms=100']

async function says(client: Client, pattern: RegExp): Promise<void> {
  await until(String(pattern), () => pattern.test(client.text('O')), client.describe)
}

async function started(nursery: Nursery, script: string): Promise<{ job: Job; client: Client }> {
  const job = await nursery.start('a', [...terminal, ...sh(script)])
  return { job, client: job.attach('io') }
}

test('terminal: all three are it, it is the controlling one, and it has its size', async () => {
  await using nursery = new Nursery()
  const { client } = await started(
    nursery,
    'tty; test -t 0 -a -t 1 -a -t 2 && echo all; stty size; : </dev/tty && echo mine',
  )
  assert.equal(await client.end(), 'code 0')
  assert.match(client.text('O'), /^\/dev\/pts\/\d+\r\nall\r\n24 80\r\nmine\r\n$/)
  assert.equal(client.text('E'), '')
})

test('terminal: Ctrl-C byte interrupts the foreground', async () => {
  await using nursery = new Nursery()
  const { client } = await started(
    nursery,
    "trap 'echo interrupted; exit 5' INT; echo ready; while :; do sleep 0.01; done",
  )
  await says(client, /ready/)
  client.send('I', '\x03')
  assert.equal(await client.end(), 'code 5')
  assert.match(client.text('O'), /\^Cinterrupted/)
})

test('terminal: Ctrl-Z really stops, SIGCONT goes on in the foreground', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...terminal, ...exec('start', ['/bin/cat'])])
  const client = job.attach('io')
  client.send('I', 'one\n')
  await says(client, /one\r\none\r\n/)
  client.send('I', '\x1a')
  await until('the T frame', () => client.all('T').length === 1)
  assert.equal(client.all('T')[0]?.readUInt8(0), 20)
  client.send('S', Buffer.from([18]))
  client.send('I', 'two\n')
  await says(client, /two\r\ntwo\r\n/)
  client.send('I')
  assert.equal(await client.end(), 'code 0')
})

test('terminal: W resizes and the job gets SIGWINCH', async () => {
  await using nursery = new Nursery()
  const { client } = await started(
    nursery,
    "trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done",
  )
  await says(client, /ready/)
  client.send('W', Buffer.from([0, 50, 1, 4]))
  await says(client, /50 260/)
  client.send('S', Buffer.from([9]))
  assert.equal(await client.end(), 'signal 9')
})

test('terminal: an interactive shell has job control', async () => {
  await using nursery = new Nursery()
  const { client } = await started(nursery, 'PS1="$ " exec sh -i')
  await says(client, /\$ $/)
  client.send('I', 'sleep 60\n')
  await says(client, /sleep 60\r\n$/)
  await until('the sleep to be in front', () => {
    client.send('I', '\x1a')
    return /Stopped/.test(client.text('O'))
  })
  assert.equal(client.all('T').length, 0, 'the shell itself runs on')
  client.send('I', 'fg\n')
  await says(client, /fg\r\nsleep 60\r\n$/)
  client.send('I', '\x03')
  await says(client, /\^C\r?\n?.*\$ $/)
  client.send('I', 'exit 7\n')
  assert.equal(await client.end(), 'code 7')
})

test('terminal: the last output is not lost, however much', async () => {
  await using nursery = new Nursery()
  const { client } = await started(nursery, 'seq 1 20000')
  assert.equal(await client.end(), 'code 0')
  const lines = client.text('O').split('\r\n')
  assert.equal(lines.length, 20_001)
  assert.equal(lines.at(-2), '20000')
})

test('terminal: much input is taken as the job reads it', async () => {
  await using nursery = new Nursery()
  const { client } = await started(
    nursery,
    'stty raw -echo; echo ready; head -c 300000 | tr -d x | wc -c',
  )
  await says(client, /ready/)
  for (let i = 0; i < 5; i++) client.send('I', Buffer.alloc(60_000, 'y'))
  assert.equal(await client.end(), 'code 0')
  assert.match(client.text('O'), /300000/)
})

test('terminal: the client going away hangs it up', async () => {
  await using nursery = new Nursery()
  const { job, client } = await started(nursery, 'echo ready; exec sleep 60')
  await says(client, /ready/)
  client.socket.destroy()
  await until('the keeper to end', () => !isAlive(job.keeperPid))
})

test('terminal: another user owns it', { skip: rootOnly }, async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...terminal,
    ...sh('id -u; echo hi > $(tty)'),
    'user=nobody',
    'env=PATH=/usr/bin:/bin',
  ])
  const client = job.attach('io')
  assert.equal(await client.end(), 'code 0')
  assert.equal(client.text('O'), '65534\r\nhi\r\n')
})

test('terminal: with a log, what it says is in the log', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh('echo hello; tty >/dev/null && echo tty'),
    'tty=10 20',
  ])
  assert.equal((await job.over())['code'], '0')
  assert.match(job.read('log'), / stdout F hello\r\n.* stdout F tty\r\n$/)
})
