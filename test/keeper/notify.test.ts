/** sd_notify(3): readiness, who may speak for a job, its watchdog. */
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  exec,
  isAlive,
  type Job,
  Nursery,
  processesOf,
  rootOnly,
  senderProgram,
  sh,
  until,
} from './harness.ts'

/** A start command that takes these steps (sender.c). */
function says(...steps: readonly string[]): readonly string[] {
  return exec('start', [senderProgram(), ...steps])
}

const notifying = ['type=notify', 'notify=main']

function logged(job: Job, text: string): Promise<true> {
  return until(
    `"${text}" in the log`,
    () => job.read('log').includes(text),
    () => job.read('events'),
  )
}

function withSystemd(): string | false {
  try {
    execFileSync('systemd-notify', ['--version'])
    return false
  } catch {
    return 'systemd-notify is not here'
  }
}

test('type=notify: start until READY=1, then running; its status text is told', async () => {
  await using nursery = new Nursery()
  const waiting = await nursery.start('a', [
    ...notifying,
    ...says('STATUS=100 % warm: käse', 'barrier', 'echo:said', 'pause'),
    ...sh('echo post', 'start-post'),
  ])
  await logged(waiting, 'said')
  await until('the text', () => waiting.state['status'] !== undefined)
  // The file's bytes are read as Latin-1 by the harness.
  const status = Buffer.from(waiting.state['status'] ?? '', 'latin1').toString()
  assert.deepEqual([waiting.state['phase'], status], ['start', '100 % warm: käse'])
  assert.equal(waiting.story, 'start:start')
  const ready = await nursery.start('b', [
    ...notifying,
    ...says('READY=1\nSTATUS=up\nUNKNOWN=x\nnonsense', 'pause'),
    ...sh('echo post', 'start-post'),
  ])
  const state = await ready.phase('running')
  assert.equal(state['status'], 'up')
  assert.equal(ready.story, 'start:start start:start-post exit:start-post:0 running')
  await ready.stop()
  assert.equal(existsSync(join(ready.dir, 'notify')), false)
})

test('type=notify: systemd-notify, from the main process and from one of its children', {
  skip: withSystemd(),
}, async () => {
  await using nursery = new Nursery()
  const script = 'systemd-notify --status="in two words"; systemd-notify --ready; exec sleep 60'
  for (const notify of ['main', 'all']) {
    // As root it speaks in the name of its parent.
    const job = await nursery.start(notify, ['type=notify', `notify=${notify}`, ...sh(script)])
    assert.equal((await job.phase('running'))['status'], 'in two words')
    await job.stop()
  }
})

test('type=notify: another user’s job may write to the socket', { skip: rootOnly }, async () => {
  await using nursery = new Nursery()
  chmodSync(nursery.dir, 0o711)
  const copy = join(nursery.dir, 'sender')
  execFileSync('install', ['-m', '755', senderProgram(), copy])
  const job = await nursery.start('a', [
    ...notifying,
    ...exec('start', [copy, 'READY=1', 'pause']),
    'user=nobody',
  ])
  await job.phase('running')
  await job.stop()
})

test('type=notify: a path too long for a socket becomes an abstract name', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start(`${'x'.repeat(60)}/${'y'.repeat(80)}`, [
    ...notifying,
    ...sh(`echo $NOTIFY_SOCKET; exec ${senderProgram()} READY=1 pause`),
  ])
  await job.phase('running')
  assert.match(job.read('log'), / @[0-9a-f]+\n/)
})

test('type=notify: without READY=1 it is a timeout, or a protocol error when it ends', async () => {
  await using nursery = new Nursery()
  const slow = await nursery.start('slow', [...notifying, ...says('pause'), 'timeout-start-ms=50'])
  const gone = await nursery.start('gone', [...notifying, ...says('STATUS=bye')])
  const bad = await nursery.start('bad', [...notifying, ...sh('exit 3')])
  const state = await slow.over()
  assert.deepEqual([state['phase'], state['result']], ['failed', 'timeout'])
  assert.match(slow.story, /stop:timeout-start kill:15/)
  assert.equal((await gone.over())['result'], 'protocol')
  assert.equal((await bad.over())['result'], 'exit-code')
})

test('type=notify: READY=1 right before the end counts', async () => {
  await using nursery = new Nursery()
  for (let i = 0; i < 10; i++) {
    const job = await nursery.start(`j${i}`, [...notifying, ...says('READY=1')])
    assert.equal((await job.over())['result'], 'success', job.story)
    assert.match(job.story, /^start:start running exit:start:0 /)
  }
})

test('EXTEND_TIMEOUT_USEC: a start takes as long as it says', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...notifying,
    ...sh(
      `${senderProgram()} EXTEND_TIMEOUT_USEC=600000000 barrier; sleep 2.5; echo later; exec sleep 60`,
    ),
    'notify=all',
    'timeout-start-ms=2000',
  ])
  await logged(job, 'later')
  assert.equal(job.state['phase'], 'start')
})

test('RELOADING=1 until READY=1; STOPPING=1 is the beginning of the end', async () => {
  await using nursery = new Nursery()
  const reloading = await nursery.start('a', [
    ...notifying,
    ...says('READY=1', 'RELOADING=1', 'pause'),
  ])
  await reloading.phase('reload-notify')
  assert.equal((await reloading.stop())['result'], 'success')
  const again = await nursery.start('b', [
    ...notifying,
    ...says('READY=1', 'RELOADING=1', 'READY=1', 'ERRNO=5', 'barrier', 'echo:said', 'pause'),
  ])
  await logged(again, 'said')
  assert.equal((await again.phase('running'))['status-errno'], '5')
  const leaving = await nursery.start('c', [
    ...notifying,
    ...sh(`sleep 60 & ${senderProgram()} READY=1 STOPPING=1 barrier; exec sleep 60`),
    'notify=all',
    'timeout-stop-ms=60000',
  ])
  await leaving.phase('stop-sigterm')
  assert.doesNotMatch(leaving.story, /kill/)
  process.kill(Number(leaving.state['pid']), 'SIGKILL')
  await leaving.over()
  assert.match(leaving.story, /stop:notify exit:start:9 kill:15:all end/)
  assert.deepEqual(processesOf(leaving), [])
})

test('MAINPID: a child becomes the main process, and its end the job’s', async () => {
  await using nursery = new Nursery()
  const script = `sleep 60 & ${senderProgram()} MAINPID=$! READY=1 barrier; echo $!; exit 0`
  const job = await nursery.start('a', ['type=notify', 'notify=all', ...sh(script)])
  const { pid } = await until('the new one', () => {
    const { state } = job
    return state['phase'] === 'running' && job.read('log').includes(` ${state['pid']}\n`) && state
  })
  // The first main process is gone, and that is no end.
  assert.equal(job.story, 'start:start main running')
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
  assert.equal(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19], job.state['ticks'])
  process.kill(Number(pid), 'SIGUSR1')
  const state = await job.over()
  assert.deepEqual([state['result'], state['signal']], ['signal', '10'])
})

test('MAINPID: of a process whose parent collects it, the end is noticed all the same', async () => {
  await using nursery = new Nursery()
  const script = `sleep 60 & ${senderProgram()} MAINPID=$! READY=1 barrier; wait; exec sleep 60`
  const job = await nursery.start('a', ['type=notify', 'notify=all', ...sh(script)])
  const { pid } = await job.phase('running')
  process.kill(Number(pid), 'SIGKILL')
  const state = await job.over()
  assert.deepEqual([state['phase'], processesOf(job)], ['dead', []])
  const foreign = await nursery.start('b', [
    ...notifying,
    ...says(`MAINPID=${process.pid}`, 'READY=1', 'pause'),
  ])
  await foreign.phase('running')
  assert.match(foreign.read('events'), /notify-ignored pid=\d+ why=MAINPID=%20names%20no/)
  assert.notEqual(foreign.state['pid'], String(process.pid))
})

test('notify=: who may speak for the job, and others are on record, a few times', async () => {
  await using nursery = new Nursery()
  const child = sh(`${senderProgram()} READY=1 barrier; echo said; exec sleep 60`)
  const stranger = await nursery.start('a', [...notifying, ...child])
  await logged(stranger, 'said')
  assert.equal(stranger.state['phase'], 'start')
  assert.match(stranger.read('events'), /notify-ignored pid=\d+ why=NotifyAccess=/)
  const flood = await nursery.start('b', [
    ...notifying,
    ...sh(
      `i=0; while [ $i -lt 100 ]; do ${senderProgram()} X=1; i=$((i+1)); done; exec ${senderProgram()} READY=1 pause`,
    ),
  ])
  await flood.phase('running')
  assert.equal(flood.events.filter((event) => event.kind === 'notify-ignored').length, 4)
  const control = await nursery.start('c', [
    'notify=exec',
    ...exec('start-post', [senderProgram(), 'STATUS=from start-post', 'barrier']),
    ...sh('exec sleep 60'),
  ])
  assert.equal((await control.phase('running'))['status'], 'from start-post')
  const closed = await nursery.start('d', [
    'notify=main',
    ...sh('echo "<$NOTIFY_SOCKET>"', 'start-pre'),
    ...sh('exec sleep 60'),
  ])
  await logged(closed, ' <>')
  const none = await nursery.start('e', sh('echo "<$NOTIFY_SOCKET>"; exec sleep 60'))
  await logged(none, ' <>')
})

test('BARRIER and FDSTORE: descriptors are closed and none is kept', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...notifying,
    ...says('fd:FDSTORE=1', 'fd:READY=1', 'barrier', 'echo:said', 'pause'),
  ])
  await logged(job, 'said')
  await job.phase('running')
  assert.match(job.read('events'), /notify-ignored pid=\d+ why=FDSTORE=1/)
  const before = readdirSync(`/proc/${job.keeperPid}/fd`).length
  const other = await nursery.start('b', [...notifying, ...says('READY=1', 'pause')])
  await other.phase('running')
  assert.equal(readdirSync(`/proc/${other.keeperPid}/fd`).length, before)
})

test('a job that floods its socket waits, and is stopped as quickly as any', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    'notify=all',
    ...sh(`echo up; while :; do ${senderProgram()} STATUS=1 STATUS=2 STATUS=3 STATUS=4; done`),
  ])
  await logged(job, 'up')
  await until('some text', () => job.state['status'] !== undefined)
  assert.equal((await job.stop())['result'], 'success')
})

test('watchdog: silence is SIGABRT and result watchdog; a fed one lives', async () => {
  await using nursery = new Nursery()
  const silent = await nursery.start('a', [
    'notify=main',
    'watchdog-ms=50',
    ...sh('echo $WATCHDOG_USEC; [ $WATCHDOG_PID = $$ ] && echo own; exec sleep 60'),
  ])
  const state = await silent.over()
  assert.deepEqual([state['phase'], state['result'], state['signal']], ['failed', 'watchdog', '6'])
  assert.match(silent.story, /running stop:watchdog kill:6:all exit:start:6/)
  assert.match(silent.read('log'), / 50000\n.* own\n/s)
  const fed = await nursery.start('b', [
    'notify=all',
    'watchdog-ms=2000',
    ...sh(
      `for i in 1 2 3 4 5 6; do ${senderProgram()} WATCHDOG=1 barrier; sleep 0.5; done; echo later; exec sleep 60`,
    ),
  ])
  await logged(fed, 'later')
  assert.equal(fed.state['phase'], 'running', fed.story)
})

test('watchdog: counts from READY=1, may be changed and triggered; restarts follow', async () => {
  await using nursery = new Nursery()
  const slowly = sh('sleep 0.5; echo later; exec sleep 60')
  const starting = await nursery.start('a', [...notifying, 'watchdog-ms=50', ...slowly])
  await logged(starting, 'later')
  assert.equal(starting.state['phase'], 'start')
  const longer = await nursery.start('b', [
    'type=notify',
    'notify=all',
    'watchdog-ms=200',
    ...sh(
      `${senderProgram()} WATCHDOG_USEC=600000000 READY=1 barrier; sleep 0.5; echo later; exec sleep 60`,
    ),
  ])
  await logged(longer, 'later')
  assert.equal(longer.state['phase'], 'running')
  for (const policy of ['on-watchdog', 'on-abnormal', 'on-failure', 'on-abort']) {
    const job = await nursery.start(policy, [
      ...notifying,
      'watchdog-ms=600000',
      'watchdog-signal=15',
      ...says('READY=1', 'WATCHDOG=trigger', 'pause'),
      `restart=${policy}`,
      'restart-ms=60000',
    ])
    const state = await job.phase(policy === 'on-abort' ? 'failed' : 'auto-restart')
    assert.deepEqual([state['result'], state['signal']], ['watchdog', '15'])
  }
})

test('a restart begins without what was said before', async () => {
  await using nursery = new Nursery()
  const mark = join(nursery.dir, 'mark')
  const job = await nursery.start('a', [
    'notify=all',
    ...sh(
      `[ -e ${mark} ] && exec sleep 60; : > ${mark}; ${senderProgram()} STATUS=old barrier; exit 1`,
    ),
    'restart=always',
    'restart-ms=1',
  ])
  await until(
    'the second life',
    () => job.state['restarts'] === '1' && job.state['phase'] === 'running',
  )
  assert.equal(job.state['status'], undefined)
  assert.ok(isAlive(Number(job.state['pid'])))
})
