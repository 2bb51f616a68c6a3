/** Death in the middle, users and privileges, and what must not leak into jobs. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
} from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exec, isAlive, type Job, Nursery, processesOf, rootOnly, sh, until } from './harness.ts'

function refuses(job: Job): Promise<true> {
  const client = job.connect()
  return until('a refused connection', () => client.closed && client.frames.length === 0)
}

test('kill -9 of the keeper kills its main process, and its directory tells what ran', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...sh('(setsid sleep 60 &); exec sleep 60')])
  const { pid } = await job.phase('running')
  await until('the detached one', () => processesOf(job).length === 2)
  process.kill(job.keeperPid, 'SIGKILL')
  await until('the main process to die', () => !isAlive(Number(pid)))
  await refuses(job)
  assert.deepEqual([job.state['phase'], job.state['pid']], ['running', pid])
  // What is left carries the job's name, and a new keeper may take the directory.
  for (const left of processesOf(job)) process.kill(left, 'SIGKILL')
  const again = await nursery.start('a', exec('start', ['/bin/sleep', '60']))
  const state = await until('the new main process', () => again.state['pid'] !== pid && again.state)
  assert.equal(state['keeper'], String(again.keeperPid))
})

test('kill -9 of the nursery, keepers live on and restart their jobs', async () => {
  await using nursery = new Nursery()
  const strings = [...exec('start', ['/bin/sleep', '60']), 'restart=always', 'restart-ms=0']
  const jobs = [
    await nursery.start('a', strings),
    await nursery.start('b', strings),
    await nursery.start('c', strings),
  ]
  for (const job of jobs) await job.phase('running')
  nursery.child.kill('SIGKILL')
  await until('the nursery to be gone', () => nursery.child.signalCode === 'SIGKILL')
  for (const job of jobs) {
    process.kill(Number(job.state['pid']), 'SIGKILL')
    await until('its restart', () => job.state['restarts'] === '1')
    await job.stop()
  }
})

test('nursery ends with its input, and at a frame that is none', async () => {
  await using first = new Nursery()
  first.child.stdin?.end()
  await until('the end', () => first.child.exitCode === 0)
  await using second = new Nursery()
  second.send(Buffer.from('Z\0\0\0\x01a', 'latin1'))
  await until('the end', () => second.child.exitCode === 2)
})

test('a job has its three descriptors, clean signals, and a session of its own', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', exec('start', ['/bin/sleep', '60']))
  const { pid } = await job.phase('running')
  // The loader, which is part of every program, has files open for a moment.
  const open = () => readdirSync(`/proc/${pid}/fd`).sort().join()
  await until('its three descriptors and no more', () => open() === '0,1,2')
  assert.equal(readlinkSync(`/proc/${pid}/fd/0`), '/dev/null')
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  assert.match(status, /^SigBlk:\s+0+$/m)
  assert.match(status, /^SigIgn:\s+0+$/m)
  const [, , session] =
    readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ').slice(1) ?? []
  assert.equal(session, pid)
})

test('a keeper holds nothing of the agent, names its job, and is small', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('web/3', [...sh('echo hello; exec sleep 60')])
  await until('some log', () => job.read('log') !== '')
  const links = [0, 1, 2].map((fd) => readlinkSync(`/proc/${job.keeperPid}/fd/${fd}`))
  assert.deepEqual(links, ['/dev/null', '/dev/null', '/dev/null'])
  assert.match(readFileSync(`/proc/${job.keeperPid}/cmdline`, 'latin1'), /^holon-keeper web\/3\0/)
  assert.equal(readFileSync(`/proc/${job.keeperPid}/comm`, 'utf8'), 'holon-keeper\n')
  nursery.child.stdin?.end()
  const rollup = readFileSync(`/proc/${job.keeperPid}/smaps_rollup`, 'utf8')
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(rollup)?.[1])
  if (process.env['HOLON_TEST_KEEPER'] === undefined) {
    assert.ok(kib('Private_Clean') + kib('Private_Dirty') <= 300, rollup)
  }
})

test('user, group, home, login-env, flag p', { skip: rootOnly }, async () => {
  await using nursery = new Nursery()
  chmodSync(nursery.dir, 0o755)
  const job = await nursery.start('a', [
    ...sh('id -u', 'start-pre', 'p'),
    ...sh('id -u; id -g; id -G; echo $USER $HOME $SHELL; echo via-dev > /dev/stdout; pwd'),
    'user=nobody',
    'login-env=1',
    'env=PATH=/usr/bin:/bin',
    'env=SHELL=/bin/mine',
    'cwd=-~',
  ])
  assert.equal((await job.over())['code'], '0')
  const texts = job
    .read('log')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.split(' F ')[1])
  assert.deepEqual(texts, [
    '0',
    '65534',
    '65534',
    '65534',
    'nobody /nonexistent /bin/mine',
    'via-dev',
    '/',
  ])
  const number = await nursery.start('n', [...sh('id -u; id -g; id -G'), 'user=4321', 'group=99'])
  await number.over()
  assert.deepEqual(number.read('log').match(/F (\d+)/g), ['F 4321', 'F 99', 'F 99'])
  const missing = await nursery.start('m', [...sh('id'), 'user=no-such-user'])
  assert.equal((await missing.over())['code'], '217')
  assert.match(missing.story, /exec-failed:start:ESRCH/)
})

test('as another user the death of the keeper still kills', { skip: rootOnly }, async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...exec('start', ['/bin/sleep', '60']), 'user=nobody'])
  const { pid } = await job.phase('running')
  process.kill(job.keeperPid, 'SIGKILL')
  await until('the main process to die', () => !isAlive(Number(pid)))
})

test('dir: links and directories of others are refused, long paths work', {
  skip: rootOnly,
}, async () => {
  await using nursery = new Nursery()
  const strings = exec('start', ['/bin/sleep', '60'])
  mkdirSync(join(nursery.dir, 'real'))
  symlinkSync(join(nursery.dir, 'real'), join(nursery.dir, 'link'))
  assert.match(
    await nursery.ask(['id=l', `dir=${nursery.dir}/link`, ...strings]),
    /^error l (ELOOP|ENOTDIR) /,
  )
  mkdirSync(join(nursery.dir, 'theirs'))
  execFileSync('chown', ['nobody', join(nursery.dir, 'theirs')])
  assert.match(
    await nursery.ask(['id=t', `dir=${nursery.dir}/theirs`, ...strings]),
    /^error t EPERM /,
  )
  const long = await nursery.start(`${'x'.repeat(60)}/${'y'.repeat(80)}`, strings)
  await long.phase('running')
  assert.ok(existsSync(join(long.dir, 'sock')))
})

test('state of a disk that is full comes later, the job goes on', { skip: rootOnly }, async () => {
  await using nursery = new Nursery()
  const dir = join(nursery.dir, 'a')
  mkdirSync(dir)
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k,mode=0711', 'tmpfs', dir])
  try {
    const job = await nursery.start('a', [
      ...sh(`head -c 100000 /dev/zero > ${dir}/filler; exit 3`),
      'restart=always',
      'restart-ms=50',
      'start-limit=0',
    ])
    await until('a filled disk', () => existsSync(`${dir}/filler`))
    const client = job.attach()
    client.send('Q', '0')
    await until('three lives', () => client.text('V').split('restart in-ms').length > 3)
    execFileSync('mount', ['-o', 'remount,size=4m', dir])
    await job.stop()
    const seqs = job.events.map((event) => event.seq)
    assert.deepEqual(
      seqs,
      [...seqs].sort((a, b) => a - b),
    )
    assert.equal(Number(job.state['seq']), seqs.at(-1))
  } finally {
    execFileSync('umount', ['-l', dir])
  }
})
