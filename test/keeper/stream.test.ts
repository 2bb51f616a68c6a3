/** Jobs whose output goes to a client: order, back-pressure, ends, and the client's going away. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { encode, exec, isAlive, Nursery, processesOf, rootOnly, sh, until } from './harness.ts'

const stream = ['output=stream', 'timeout-stop-ms=100']

test('stream: starts when the client attaches, gives output and end, leaves nothing', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...sh('echo out; echo err >&2; exit 3')])
  assert.deepEqual(processesOf(job), [])
  const client = job.attach()
  assert.equal(await client.end(), 'code 3')
  assert.deepEqual([client.text('O'), client.text('E')], ['out\n', 'err\n'])
  assert.equal(client.frames.at(-1)?.type, 'X')
  await until('the directory to go', () => !existsSync(job.dir))
  await until('the keeper to go', () => !isAlive(job.keeperPid))
})

test('stream: the end of one output is told while the job goes on', async () => {
  await using nursery = new Nursery()
  const script = 'echo out; exec >&-; read line; echo "$line" >&2'
  const job = await nursery.start('a', [...stream, 'stdin=stream', ...sh(script)])
  const client = job.attach('io')
  await until('the end of stdout', () => client.all('O').at(-1)?.length === 0, client.describe)
  assert.deepEqual([client.all('X'), client.all('E')], [[], []])
  client.send('I', 'more\n')
  assert.equal(await client.end(), 'code 0')
  assert.deepEqual([client.text('O'), client.text('E')], ['out\n', 'more\n'])
})

test('stream: failed exec and signals are told in the X frame', async () => {
  await using nursery = new Nursery()
  const missing = await nursery.start('a', [...stream, ...exec('start', ['/nope/x'])])
  assert.match(await missing.attach().end(), /^failed ENOENT \/nope\/x: No such file/)
  const denied = await nursery.start('b', [...stream, ...exec('start', ['/etc/passwd'])])
  assert.match(await denied.attach().end(), /^failed EACCES /)
  const killed = await nursery.start('c', [...stream, ...sh('kill -SEGV $$'), 'cwd=/tmp'])
  assert.match(await killed.attach().end(), /^signal 11( core)?$/)
})

test('stream: 64 MiB through, byte for byte, with a client that is slow at times', async () => {
  await using nursery = new Nursery()
  const bytes = randomBytes(64 << 20)
  const file = join(nursery.dir, 'bytes')
  writeFileSync(file, bytes)
  const job = await nursery.start('a', [...stream, ...exec('start', ['/bin/cat', file])])
  const client = job.attach()
  client.socket.pause()
  await until('cat to fill the pipe', () => processesOf(job).length === 1)
  client.socket.resume()
  assert.equal(await client.end(), 'code 0')
  const hash = createHash('sha256')
  for (const part of client.all('O')) {
    assert.ok(part.length <= 1 << 20)
    hash.update(part)
  }
  assert.equal(hash.digest('hex'), createHash('sha256').update(bytes).digest('hex'))
})

test('stream: stdin goes to the job with back-pressure, its end too', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, 'stdin=stream', ...sh('sleep 0.1; sha256sum')])
  const bytes = randomBytes(8 << 20)
  const client = job.attach('io')
  for (let at = 0; at < bytes.length; at += 65_536)
    client.send('I', bytes.subarray(at, at + 65_536))
  client.send('I')
  assert.equal(await client.end(), 'code 0')
  assert.equal(client.text('O').slice(0, 64), createHash('sha256').update(bytes).digest('hex'))
})

test('stream: a second connection signals while the first waits for the job to read', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...stream,
    'stdin=stream',
    ...exec('start', ['/bin/sleep', '60']),
  ])
  const client = job.attach('io')
  for (let i = 0; i < 100; i++) client.send('I', Buffer.alloc(65_536))
  await until('the job', () => processesOf(job).length === 1)
  const urgent = job.connect(encode('S', Buffer.from([2])))
  assert.equal(await client.end(), 'signal 2')
  assert.equal(await urgent.end(), 'signal 2')
})

test('stream: a job that closes its stdin does not hold up its end', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, 'stdin=stream', ...sh('exec <&-; echo ok')])
  const client = job.attach('io')
  for (let i = 0; i < 50; i++) client.send('I', Buffer.alloc(65_536))
  assert.equal(await client.end(), 'code 0')
  assert.equal(client.text('O'), 'ok\n')
})

test('stream: the end of stdout comes when the job closes it, not when it ends', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...sh('echo out; exec >&-; exec sleep 60')])
  const client = job.attach()
  await until('the end of stdout', () => client.all('O').at(-1)?.length === 0)
  assert.equal(client.all('X').length, 0)
  client.send('S', Buffer.from([15]))
  assert.equal(await client.end(), 'signal 15')
})

test('stream: at-once starts without a client, and keeps output and end for it', async () => {
  await using nursery = new Nursery()
  const early = ['at-once=1', ...stream]
  const quick = await nursery.start('quick', [...early, ...sh('echo out; echo err >&2; exit 3')])
  const asks = await nursery.start('asks', [...early, 'stdin=stream', ...sh('cat')])
  const large = await nursery.start('large', [...early, ...sh('head -c 1000000 /dev/zero')])
  await until('the quick one has ended', () => processesOf(quick).length === 0)
  const client = quick.attach()
  assert.equal(await client.end(), 'code 3')
  assert.deepEqual([client.text('O'), client.text('E')], ['out\n', 'err\n'])
  await until('cat runs', () => processesOf(asks).length > 0)
  const other = asks.attach('io')
  other.send('I', Buffer.from('hello'))
  other.send('I')
  assert.equal(await other.end(), 'code 0')
  assert.equal(other.text('O'), 'hello')
  const whole = large.attach()
  assert.equal(await whole.end(), 'code 0')
  assert.equal(whole.text('O').length, 1_000_000)
})

test('stream: P makes the job see SIGPIPE', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...exec('start', ['/usr/bin/yes'])])
  const client = job.attach()
  await until('some output', () => client.all('O').length > 0)
  client.send('P', 'O')
  assert.equal(await client.end(), 'signal 13')
})

test('stream: when the client closes, the job is hung up, and killed if it ignores that', async () => {
  await using nursery = new Nursery()
  const mild = await nursery.start('mild', [...stream, ...exec('start', ['/bin/sleep', '60'])])
  const hard = await nursery.start('hard', [
    ...stream,
    ...sh("trap '' HUP; echo ready; while :; do sleep 1; done"),
  ])
  for (const job of [mild, hard]) {
    const client = job.attach()
    await until('the job', () => processesOf(job).length > 0)
    if (job === hard) await until('its trap', () => client.text('O') === 'ready\n')
    client.socket.destroy()
    await until('its end', () => processesOf(job).length === 0)
    await until('the keeper to go', () => !isAlive(job.keeperPid) && !existsSync(job.dir))
  }
})

test('stream: a client that goes while output waits for it does not leave the keeper', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...exec('start', ['/usr/bin/yes'])])
  const client = job.attach()
  client.socket.pause()
  await until('the job', () => processesOf(job).length > 0)
  client.socket.destroy()
  await until('the keeper to go', () => !isAlive(job.keeperPid) && processesOf(job).length === 0)
})

test('stream: a keeper that waits for a slow client costs no time', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...sh('head -c 2400000 /dev/zero')])
  const client = job.attach()
  client.socket.pause()
  // Longer than any of the keeper's own waits at the end.
  const patience = Date.now() + 6000
  await until('that time', () => Date.now() > patience)
  // Where the socket took everything there was nothing to wait for.
  if (isAlive(job.keeperPid)) {
    const stat =
      readFileSync(`/proc/${job.keeperPid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
    assert.ok(Number(stat[11]) + Number(stat[12]) < 10, `ticks of CPU: ${stat[11]} ${stat[12]}`)
  }
  client.socket.resume()
  assert.equal(await client.end(), 'code 0')
  assert.equal(Buffer.concat(client.all('O')).length, 2_400_000)
})

test('stream: a client that goes after the job ended, with output left, leaves nothing', async () => {
  await using nursery = new Nursery()
  // Between what fits into the socket and what fits into socket and pipe, wherever that is.
  for (const bytes of [100_000, 200_000, 300_000, 600_000, 1_200_000, 2_400_000]) {
    const id = `a${bytes}`
    const job = await nursery.start(id, [
      ...stream,
      ...sh(`head -c ${bytes} /dev/zero; echo end >&2`),
    ])
    const client = job.attach()
    client.socket.pause()
    // Time to get as far as it can without a reader: to its end, or to a full pipe.
    const patience = Date.now() + 150
    await until('that time', () => Date.now() > patience)
    client.socket.destroy()
    await until(`the keeper of ${id} to go`, () => !isAlive(job.keeperPid))
    assert.equal(existsSync(job.dir), false)
  }
})

test('stream: what a job leaves behind is ended with it', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...sh('sleep 60 & echo $!')])
  const client = job.attach()
  assert.equal(await client.end(), 'code 0')
  assert.equal(isAlive(Number(client.text('O'))), false)
})

test('stream: a stop by a signal is told, SIGCONT goes on', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stream, ...sh('kill -TSTP $$; echo back')])
  const client = job.attach()
  await until('the T frame', () => client.all('T').length === 1)
  assert.equal(client.all('T')[0]?.readUInt8(0), 20)
  client.send('S', Buffer.from([18]))
  assert.equal(await client.end(), 'code 0')
  assert.equal(client.text('O'), 'back\n')
})

test('frames: too long or unknown ones close the connection and nothing else', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', exec('start', ['/bin/sleep', '60']))
  const wrong = [
    'N\0\0\0\0',
    'I\0\x01\0\x01',
    'Q\x7f\0\0\0',
    '\0\0\0\0\0',
    'S\0\0\0\0',
    'P\0\0\0\x01Z',
  ]
  for (const bytes of wrong) {
    const client = job.connect(Buffer.from(bytes, 'latin1'))
    await until(`the close after ${JSON.stringify(bytes)}`, () => client.closed)
  }
  assert.match(await job.connect().command('state'), /phase=running/)
})

test('sock: only root, the keeper’s own uid and owner may connect', {
  skip: rootOnly,
}, async () => {
  await using nursery = new Nursery()
  mkdirSync(join(nursery.dir, 'open'))
  execFileSync('chmod', ['-R', '755', nursery.dir])
  const job = await nursery.start('a', [...exec('start', ['/bin/sleep', '60']), 'owner=65534'])
  await job.phase('running')
  const probe = `
    const s = require('net').connect('${job.dir}/sock')
    s.on('error', (e) => console.log(e.code)).on('close', () => console.log('closed'))
    s.on('connect', () => s.write(Buffer.from('X\\0\\0\\0\\x05state')))
    s.on('data', (d) => { console.log(d.toString().slice(5, 14)); s.destroy() })`
  const as = (uid: string) =>
    execFileSync('setpriv', ['--reuid', uid, '--clear-groups', process.execPath, '-e', probe])
      .toString()
      .trim()
      .split('\n')[0]
  assert.equal(as('65534'), 'state seq')
  assert.equal(as('12345'), 'EACCES')
  // Even where the file mode would let it in.
  execFileSync('chmod', ['777', join(job.dir, 'sock')])
  assert.match(String(as('12345')), /closed|ECONNRESET|EPIPE/)
})
