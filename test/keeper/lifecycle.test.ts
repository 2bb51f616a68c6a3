/** The phases of a job, restarts and their limit, as systemd.service(5) has them. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exec, isRoot, type Job, Nursery, sh, until } from './harness.ts'

test('nursery refuses unknown keys and bad values by name', async () => {
  await using nursery = new Nursery()
  const base = ['id=x', `dir=${nursery.dir}/x`, ...exec('start', ['/bin/true'])]
  assert.equal(await nursery.ask([...base, 'colour=red']), 'error x EINVAL unknown key "colour"')
  assert.equal(
    await nursery.ask([...base, 'restart=maybe']),
    'error x EINVAL bad value "maybe" of key "restart"',
  )
  assert.match(await nursery.ask(base.slice(0, 2)), /^error x EINVAL .*start command/)
  assert.match(await nursery.ask(['id=x', 'dir=/proc/nope', ...base.slice(2)]), /^error x ENOENT /)
  assert.match(await nursery.ask(base), /^ok x \d+$/)
})

test('simple job: runs, is recorded, ends dead', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...sh('exit 0'), 'reason=because of %'])
  const state = await job.over()
  assert.equal(state['phase'], 'dead')
  assert.equal(state['result'], 'success')
  assert.equal(state['code'], '0')
  assert.equal(state['pid'], '0')
  assert.equal(Number(state['seq']), job.events.at(-1)?.seq)
  assert.equal(job.events[0]?.fields['reason'], 'because of %')
  assert.equal(job.story, 'start:start running exit:start:0 stop:main-exit end:dead:success')
})

test('state: main process with its start time while it runs', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', exec('start', ['/bin/sleep', '60']))
  const state = await job.phase('running')
  const stat = readFileSync(`/proc/${state['pid']}/stat`, 'utf8')
  assert.equal(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19], state['ticks'])
  const ended = await job.stop()
  assert.deepEqual([ended['phase'], ended['result'], ended['signal']], ['dead', 'success', '15'])
  assert.ok(Number(ended['maxrss-kb']) > 0)
})

const policies = ['no', 'on-success', 'on-failure', 'on-abnormal', 'on-abort', 'always'] as const
const endings = {
  'exit 0': ['on-success', 'always'],
  'exit 1': ['on-failure', 'always'],
  'kill -TERM $$': ['on-success', 'always'],
  'kill -HUP $$': ['on-success', 'always'],
  'kill -KILL $$': ['on-failure', 'on-abnormal', 'on-abort', 'always'],
  'kill -USR1 $$': ['on-failure', 'on-abnormal', 'on-abort', 'always'],
} as const

for (const [ending, restarting] of Object.entries(endings)) {
  test(`restart= after "${ending}" follows systemd's table`, async () => {
    await using nursery = new Nursery()
    for (const policy of policies) {
      const id = `${policy}`
      // The second life lasts: what matters is whether there is one.
      const script = `[ -e ${nursery.dir}/${id}.mark ] && exec sleep 60; : > ${nursery.dir}/${id}.mark; ${ending}`
      const job = await nursery.start(id, [...sh(script), `restart=${policy}`, 'restart-ms=1'])
      const restarts = (restarting as readonly string[]).includes(policy)
      await until(
        `${policy} after ${ending}`,
        () => (restarts ? job.state['restarts'] === '1' : job.story.includes(' end:')),
        () => job.story,
      )
      assert.equal(job.story.includes('restart:'), restarts, `${policy}: ${job.story}`)
    }
  })
}

test('restart: a timeout counts as abnormal and as failure, not as abort', async () => {
  await using nursery = new Nursery()
  for (const policy of ['on-failure', 'on-abnormal', 'on-abort']) {
    const job = await nursery.start(policy, [
      ...sh('exec sleep 60'),
      `restart=${policy}`,
      'restart-ms=60000',
      'runtime-max-ms=20',
    ])
    const state = await job.phase(policy === 'on-abort' ? 'failed' : 'auto-restart')
    assert.equal(state['result'], 'timeout')
    assert.match(job.story, /stop:runtime-max kill:15/)
    if (policy !== 'on-abort') assert.equal((await job.stop())['phase'], 'dead')
  }
})

test('start limit: so many starts in the window, then failed', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh('exit 1'),
    'restart=always',
    'restart-ms=0',
    'start-limit=3',
    'start-limit-ms=10000',
  ])
  const state = await job.over()
  assert.deepEqual([state['phase'], state['result']], ['failed', 'start-limit-hit'])
  assert.equal(job.events.filter((event) => event.kind === 'start').length, 3)
  assert.match(job.story, /limit end:failed:start-limit-hit$/)
})

test('start limit: 0 disables it', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh('exit 1'),
    'restart=always',
    'restart-ms=0',
    'start-limit=0',
  ])
  await until('20 restarts', () => Number(job.state['restarts']) > 20)
  assert.equal((await job.stop())['phase'] === 'running', false)
})

test('oneshot: start commands run in order, then start-post, stop, stop-post', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    'type=oneshot',
    ...sh('echo pre', 'start-pre'),
    ...sh('echo one'),
    ...sh('echo two'),
    ...sh('echo post', 'start-post'),
    ...sh('echo stop', 'stop'),
    ...sh('echo stop-post $SERVICE_RESULT $EXIT_CODE $EXIT_STATUS', 'stop-post'),
  ])
  assert.equal((await job.over())['phase'], 'dead')
  const texts = job
    .read('log')
    .split('\n')
    .map((line) => line.split(' ').slice(3).join(' '))
  assert.deepEqual(texts, ['pre', 'one', 'two', 'post', 'stop', 'stop-post success exited 0', ''])
})

test('oneshot with remain: up after its end, until stopped', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', ['type=oneshot', 'remain=1', ...sh('exit 0')])
  await job.phase('exited')
  const state = await job.stop()
  assert.deepEqual([state['phase'], state['result']], ['dead', 'success'])
})

test('oneshot: a failed command ends the sequence, flag i does not', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    'type=oneshot',
    ...sh('exit 5', 'start', 'i'),
    ...sh('exit 6'),
    ...sh('echo never'),
  ])
  const state = await job.over()
  assert.deepEqual([state['phase'], state['result'], state['code']], ['failed', 'exit-code', '6'])
  assert.equal(job.read('log'), '')
})

test('start-pre: its failure is the end, stop-post still runs', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh('exit 7', 'start-pre'),
    ...sh('exit 0'),
    ...sh('echo cleaned', 'stop-post'),
    ...sh('echo wrong', 'stop'),
  ])
  assert.equal((await job.over())['result'], 'exit-code')
  assert.equal(
    job.story,
    'start:start-pre exit:start-pre:7 start:stop-post exit:stop-post:0 end:failed:exit-code',
  )
})

test('stop commands run after a clean end and not after a failure, as in systemd', async () => {
  await using nursery = new Nursery()
  const clean = await nursery.start('clean', [...sh('exit 0'), ...sh('exit 0', 'stop')])
  const failed = await nursery.start('failed', [...sh('exit 1'), ...sh('exit 0', 'stop')])
  await clean.over()
  await failed.over()
  assert.match(clean.story, /start:stop exit:stop:0/)
  assert.doesNotMatch(failed.story, /start:stop/)
})

test('stop commands get MAINPID and may end the main process themselves', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...sh('exec sleep 60'), ...sh('kill $MAINPID', 'stop')])
  await job.phase('running')
  const state = await job.stop('enough of it')
  assert.deepEqual([state['phase'], state['result']], ['dead', 'success'])
  assert.ok(job.events.some((e) => e.kind === 'stop' && e.fields['reason'] === 'enough of it'))
})

test('timeout-start: a oneshot that does not end is failed', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    'type=oneshot',
    ...sh('exec sleep 60'),
    'timeout-start-ms=30',
  ])
  assert.equal((await job.over())['result'], 'timeout')
  assert.match(job.story, /stop:timeout-start kill:15/)
})

test('exec failure: type simple runs and exits 203, type exec never runs', async () => {
  await using nursery = new Nursery()
  const simple = await nursery.start('simple', exec('start', ['/nope/program']))
  const exact = await nursery.start('exact', ['type=exec', ...exec('start', ['/nope/program'])])
  const noDir = await nursery.start('dir', [...exec('start', ['/bin/true']), 'cwd=/nope'])
  const optional = await nursery.start('opt', [...exec('start', ['/bin/true']), 'cwd=-/nope'])
  assert.deepEqual([(await simple.over())['code'], (await exact.over())['code']], ['203', '203'])
  assert.equal((await noDir.over())['code'], '200')
  assert.equal((await optional.over())['code'], '0')
  assert.match(simple.story, /exec-failed:start:ENOENT running/)
  assert.doesNotMatch(exact.story, /running/)
  assert.equal(exact.state['result'], 'exit-code')
})

test('env, cwd, umask, arguments and HOLON_JOB reach the command exactly', async () => {
  await using nursery = new Nursery()
  writeFileSync(join(nursery.dir, 'a file'), '')
  const job = await nursery.start('web.service/2', [
    ...sh('env | grep -v ^PWD | sort; pwd; umask; ls; echo "$0|$1"'),
    'arg=zero',
    'arg=a  b\t"c"',
    'env=B=2=3',
    'env=A=',
    'env=HOLON_JOB=forged',
    `cwd=${nursery.dir}`,
    'umask=0027',
  ])
  await job.over()
  const texts = job
    .read('log')
    .split('\n')
    .slice(0, -1)
    .map((line) => line.slice(line.indexOf(' F ') + 3))
  assert.deepEqual(texts.slice(0, 3), ['A=', 'B=2=3', `HOLON_JOB=${job.dir}`])
  assert.deepEqual(texts.slice(3, 5), [nursery.dir, '0027'])
  assert.equal(texts.at(-1), 'zero|a  b\t"c"')
})

test('nice: the keeper and its job have it, in both directions', async () => {
  await using nursery = new Nursery()
  for (const nice of isRoot ? ['19', '-20', '0'] : ['19']) {
    const job = await nursery.start(`at${nice}`, [...sh('nice'), `nice=${nice}`])
    await job.over()
    assert.ok(job.read('log').endsWith(` F ${nice}\n`), job.read('log'))
  }
  // Beside other sessions, where the kernel groups processes by them.
  const grouped = ['/bin/sh', '-c', 'cat /proc/self/autogroup || echo nice 19']
  const job = await nursery.start('grouped', [...exec('start', grouped), 'nice=19'])
  await job.over()
  assert.match(job.read('log'), /nice 19\n$/)
  for (const bad of ['20', '-21', '', '-', '1x']) {
    const refused = await nursery.ask(['id=a', `dir=${nursery.dir}/bad`, `nice=${bad}`, ...sh('')])
    assert.match(refused, /nice/)
  }
})

test('a second keeper for the same directory is refused, after the end it goes on counting', async () => {
  await using nursery = new Nursery()
  const strings = [...exec('start', ['/bin/sleep', '60'])]
  const job = await nursery.start('a', strings)
  assert.match(await nursery.ask(['id=a', `dir=${job.dir}`, ...strings]), /^error a EADDRINUSE /)
  await job.phase('running')
  const before = Number((await job.stop())['seq'])
  const again = await nursery.start('a', exec('start', ['/bin/true']))
  await until(
    'a new end',
    () => again.events.length > before && again.story.endsWith('end:dead:success'),
  )
  assert.deepEqual(
    again.events.map((event) => event.seq),
    again.events.map((_, i) => i + 1),
  )
})

test('many jobs at once', async () => {
  await using nursery = new Nursery()
  const jobs: Job[] = []
  for (let i = 0; i < 30; i++) jobs.push(await nursery.start(`j${i}`, sh(`exit ${i}`)))
  for (const [i, job] of jobs.entries()) assert.equal((await job.over())['code'], String(i))
})
