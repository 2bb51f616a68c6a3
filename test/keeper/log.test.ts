/** The job's log: every byte, as CRI lines, rotated and bounded. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exec, type Job, Nursery, rootOnly, sh, until } from './harness.ts'

const headPattern = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) /

/** What the entries of one stream say, put together again, byte for byte. */
function contents(log: Buffer, stream: string): Buffer {
  const parts: Buffer[] = []
  for (let at = 0; at < log.length; ) {
    const end = log.indexOf(10, at)
    assert.notEqual(end, -1, 'every entry ends')
    const head = headPattern.exec(log.toString('latin1', at, Math.min(end, at + 60)))
    assert.ok(head, `an entry: ${log.toString('latin1', at, Math.min(end, at + 60))}`)
    if (head[1] === stream)
      parts.push(log.subarray(at + head[0].length, end + (head[2] === 'F' ? 1 : 0)))
    at = end + 1
  }
  return Buffer.concat(parts)
}

function logOf(job: Job, dir = job.dir): Buffer {
  return readFileSync(join(dir, 'log'))
}

test('log: binary, empty and very long lines come back byte for byte', async () => {
  await using nursery = new Nursery()
  const lines = [
    Buffer.from('plain\n\n\n'),
    Buffer.from(Array.from({ length: 257 }, (_, i) => (i === 256 ? 10 : i))),
    Buffer.alloc(16384, 'x'),
    Buffer.from('\n'),
    Buffer.alloc(16385, 'y'),
    Buffer.from('\n'),
    Buffer.alloc(1_000_003, 'z'),
    Buffer.from('\nno newline at the end'),
  ]
  const bytes = Buffer.concat(lines)
  const file = join(nursery.dir, 'bytes')
  writeFileSync(file, bytes)
  const job = await nursery.start('a', exec('start', ['/bin/cat', file]))
  await job.over()
  const log = logOf(job)
  assert.ok(contents(log, 'stdout').equals(bytes))
  const whole = log
    .toString('latin1')
    .split('\n')
    .find((line) => line.includes('xxx'))
  assert.match(String(whole), / stdout F x{16384}$/)
  assert.match(log.toString('latin1'), / stdout P no newline at the end\n$/)
})

test('log: stdout and stderr are kept apart', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', sh('for i in 1 2 3; do echo out $i; echo err $i >&2; done'))
  await job.over()
  assert.equal(contents(logOf(job), 'stdout').toString(), 'out 1\nout 2\nout 3\n')
  assert.equal(contents(logOf(job), 'stderr').toString(), 'err 1\nerr 2\nerr 3\n')
})

test('log: much output from many writers loses nothing', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh(
      'for i in 1 2 3 4; do (n=0; while [ $n -lt 5000 ]; do echo $i $n; n=$((n+1)); done) & done; wait',
    ),
    'log-file-bytes=1000000000',
  ])
  await job.over()
  const lines = contents(logOf(job), 'stdout').toString().split('\n').slice(0, -1)
  assert.equal(lines.length, 20_000)
  assert.equal(new Set(lines).size, 20_000)
})

test('log: an unfinished line is written after a second, its rest follows', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', sh('printf begin; sleep 1.5; echo -end'))
  await until('the part', () => / stdout P begin\n/.test(job.read('log')))
  await job.over()
  assert.match(job.read('log'), / stdout P begin\n\S+ stdout F -end\n$/)
})

test('log: rotation keeps log-files files of at most log-file-bytes', async () => {
  await using nursery = new Nursery()
  const logDir = join(nursery.dir, 'deep/logs')
  const job = await nursery.start('a', [
    ...exec('start', ['/usr/bin/seq', '1', '20000']),
    `log-dir=${logDir}`,
    'log-file-bytes=100000',
    'log-files=3',
  ])
  await job.over()
  const files = ['log.2', 'log.1', 'log'].map((name) => join(logDir, name))
  for (const file of files) assert.ok(statSync(file).size <= 100_000)
  assert.equal(existsSync(join(logDir, 'log.3')), false)
  const numbers = files
    .map((file) => contents(readFileSync(file), 'stdout').toString())
    .join('')
    .split('\n')
    .slice(0, -1)
    .map(Number)
  const first = numbers[0] ?? 0
  assert.deepEqual(
    numbers,
    Array.from({ length: 20_001 - first }, (_, i) => first + i),
  )
  assert.equal(statSync(logDir).mode & 0o777, 0o750)
})

test('log: a full disk loses lines, says how many, and never stops the job', {
  skip: rootOnly,
}, async () => {
  await using nursery = new Nursery()
  const logDir = join(nursery.dir, 'small')
  mkdirSync(logDir, { mode: 0o750 })
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k,mode=0750', 'tmpfs', logDir])
  try {
    const go = join(nursery.dir, 'go')
    const job = await nursery.start('a', [
      ...sh(`seq 1 5000; until [ -e ${go} ]; do sleep 0.01; done; echo after`),
      `log-dir=${logDir}`,
    ])
    const filled = () => statSync(join(logDir, 'log'), { throwIfNoEntry: false })
    await until('a full disk', () => (filled()?.size ?? 0) > 50_000)
    execFileSync('mount', ['-o', 'remount,size=4m', logDir])
    writeFileSync(go, '')
    assert.equal((await job.over())['code'], '0')
    const log = logOf(job, logDir)
    const kept = contents(log, 'stdout').toString().split('\n').slice(0, -1)
    const lost = Number(/stderr F holon: (\d+) lines lost, disk full\n/.exec(log.toString())?.[1])
    assert.equal(kept.at(-1), 'after')
    assert.equal(kept.length + lost, 5001)
  } finally {
    execFileSync('umount', ['-l', logDir])
  }
})

test('log: an attached client gets a copy, and one that does not read is dropped', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    // In portions: the reader, which shares two cores with everything else, shall keep up.
    ...sh(
      'read line; echo first $line; ' +
        'for i in $(seq 40); do seq 1 10000; sleep 0.02; done; echo done >&2',
    ),
    'stdin=stream',
    'log-file-bytes=100000000',
  ])
  const reader = job.attach('io')
  const sleeper = job.attach('o')
  sleeper.socket.pause()
  await until('both to be in', () => job.state['phase'] === 'running')
  assert.match(await reader.command('state'), /phase=running/)
  reader.send('I', 'go\n')
  await job.over()
  assert.equal(await reader.end(), 'code 0')
  assert.match(reader.text('O'), /^first go\n1\n/)
  assert.equal(reader.text('O').length, contents(logOf(job), 'stdout').length)
  assert.equal(reader.text('E'), 'done\n')
  sleeper.socket.resume()
  await until('the sleeper to see its end', () => sleeper.closed)
  assert.equal(sleeper.text('X'), '')
})

test('events: subscribers get the state, what they missed, and each new one', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', sh('read line', 'start'))
  await job.phase('failed', 'dead')
  const slow = await nursery.start('b', sh('exec sleep 60'))
  await slow.phase('running')
  const client = slow.connect(Buffer.concat([Buffer.from('Q\0\0\0\x011', 'latin1')]))
  await until('the first lines', () => client.all('V').length >= 2)
  assert.match(String(client.all('V')[0]), /^state seq=2 phase=running /)
  assert.match(String(client.all('V')[1]), /^2 \d+ \d+ running pid=/)
  await slow.stop()
  assert.equal(await client.end(), 'signal 15')
  const lines = client.all('V').map(String)
  const told = lines.filter((line) => !line.startsWith('state '))
  assert.deepEqual(told, slow.read('events').trim().split('\n').slice(1))
  assert.match(String(lines.findLast((line) => line.startsWith('state '))), /phase=dead/)
})

test('events: past 256 KiB the older half is dropped, numbers go on', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh('exit 1'),
    'restart=always',
    'restart-ms=0',
    'start-limit=0',
  ])
  await until('a dropped half', () => {
    const text = job.read('events')
    assert.ok(text.length <= 256 * 1024 + 1000)
    return Number(text.split(' ')[0]) > 1
  })
  await job.stop()
  const seqs = job.events.map((event) => event.seq)
  const first = seqs[0] ?? 0
  assert.ok(first > 1)
  assert.deepEqual(
    seqs,
    seqs.map((_, i) => first + i),
  )
})
