/** Ending a job: signals, kill modes, leftovers that detached themselves, control groups. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { isAlive, isRoot, type Job, Nursery, processesOf, sh, until } from './harness.ts'

const unified = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) =>
  existsSync(join(path, 'cgroup.procs')),
)
const memory = ['/sys/fs/cgroup/memory'].find((path) =>
  existsSync(join(path, 'memory.oom_control')),
)
const withUnified = !isRoot ? 'needs root' : unified === undefined ? 'no cgroup v2 here' : false
const withMemory = !isRoot
  ? 'needs root'
  : memory === undefined
    ? 'no v1 memory groups here'
    : false

/** A main process with a child, which ignores SIGTERM and detaches itself if asked to. */
function family(
  nursery: Nursery,
  options: { readonly stubborn?: boolean; readonly daemon?: boolean } = {},
): readonly string[] {
  const file = join(nursery.dir, 'child.sh')
  const trap = options.stubborn ? "trap '' TERM" : ''
  writeFileSync(file, `${trap}\necho child $$\nwhile :; do sleep 1; done\n`)
  const child = options.daemon ? `(setsid sh ${file} &)` : `sh ${file} &`
  return sh(`${child}\necho main $$; exec sleep 60`)
}

function ignoresTerm(pid: number): boolean {
  const mask = /^SigIgn:\s+([0-9a-f]+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return (BigInt(`0x${mask}`) & (1n << 14n)) !== 0n
}

async function familyPids(job: Job): Promise<{ readonly main: number; readonly child: number }> {
  return until('both processes', () => {
    const child = Number(/child (\d+)/.exec(job.read('log'))?.[1])
    const main = Number(/main (\d+)/.exec(job.read('log'))?.[1])
    return child > 0 && main > 0 && { main, child }
  })
}

test('stop: a job that ignores SIGTERM is killed after timeout-stop-ms', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh("trap '' TERM; echo ready; while :; do sleep 1; done"),
    'timeout-stop-ms=50',
  ])
  await until('the trap', () => job.read('log').includes('ready'))
  const state = await job.stop()
  assert.deepEqual([state['phase'], state['result'], state['signal']], ['failed', 'timeout', '9'])
  assert.match(job.story, /stop:agent kill:15:all kill:9:all exit:start:9/)
  assert.deepEqual(processesOf(job), [])
})

test('stop: send-sigkill=0 gives up instead, and kill-signal is used', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh("trap 'echo got usr1' USR1; echo ready; while :; do sleep 0.05; done"),
    'timeout-stop-ms=200',
    'send-sigkill=0',
    'kill-signal=10',
  ])
  await until('the trap', () => job.read('log').includes('ready'))
  const state = await job.stop()
  assert.equal(state['result'], 'timeout')
  assert.match(job.read('log'), /got usr1/)
  assert.doesNotMatch(job.story, /kill:9/)
})

test('stop: a stopped (SIGSTOP) job is continued so that it can end', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', sh('echo ready; kill -STOP $$; exec sleep 60'))
  await until('the stop', () => job.read('log').includes('ready'))
  assert.equal((await job.stop())['result'], 'success')
})

test('stop: twice is as once; during auto-restart it ends dead', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...sh('exit 1'), 'restart=always', 'restart-ms=60000'])
  await job.phase('auto-restart')
  assert.equal((await job.stop())['phase'], 'dead')
  const slow = await nursery.start('b', [
    ...sh("trap 'sleep 0.1; exit 0' TERM; echo ready; while :; do sleep 0.01; done"),
  ])
  await until('the trap', () => slow.read('log').includes('ready'))
  const client = slow.connect()
  assert.deepEqual(
    [await client.command('stop one'), await client.command('stop two')],
    ['ok', 'ok'],
  )
  assert.equal((await slow.over())['result'], 'success')
  assert.equal(slow.events.filter((event) => event.kind === 'stop').length, 1)
})

test('kill-mode control-group: all get the signal', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', family(nursery))
  const { child } = await familyPids(job)
  await job.stop()
  assert.equal(isAlive(child), false)
  assert.match(job.story, /kill:15:all/)
})

test('kill-mode mixed: SIGTERM to main only, SIGKILL to the rest at once', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...family(nursery, { stubborn: true }), 'kill-mode=mixed'])
  const { child } = await familyPids(job)
  const state = await job.stop()
  assert.equal(isAlive(child), false)
  assert.equal(state['result'], 'success')
  assert.match(job.story, /kill:15:main exit:start:15 kill:9:all end/)
})

test('kill-mode process: the rest is left alone', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...family(nursery), 'kill-mode=process'])
  const { child } = await familyPids(job)
  await job.stop()
  assert.equal(isAlive(child), true)
  process.kill(child, 'SIGKILL')
})

test('kill-mode none: nothing is killed', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...family(nursery), 'kill-mode=none'])
  const { main, child } = await familyPids(job)
  await job.stop()
  assert.deepEqual([isAlive(main), isAlive(child)], [true, true])
  process.kill(main, 'SIGKILL')
  process.kill(child, 'SIGKILL')
})

test('daemonized leftovers are found without a control group and ended before a restart', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...family(nursery, { stubborn: true, daemon: true }),
    'restart=always',
    'restart-ms=0',
    'timeout-stop-ms=50',
  ])
  const { main, child } = await familyPids(job)
  process.kill(main, 'SIGKILL')
  await until(
    'a restart',
    () => job.state['restarts'] === '1',
    () => job.story,
  )
  assert.equal(isAlive(child), false)
  await job.stop()
  assert.deepEqual(processesOf(job), [])
})

test('daemonized leftovers in a cgroup v2 are killed with it, and it is removed', {
  skip: withUnified,
}, async () => {
  await using nursery = new Nursery()
  const group = `${unified}/keeper-test-${process.pid}/a`
  const job = await nursery.start('a', [
    ...family(nursery, { stubborn: true, daemon: true }),
    `cgroup=${group}`,
    'timeout-stop-ms=50',
  ])
  const { child, main } = await familyPids(job)
  await until('the child to ignore SIGTERM', () => ignoresTerm(child))
  const inGroup = readFileSync(`${group}/cgroup.procs`, 'utf8').split('\n')
  assert.ok(inGroup.includes(String(main)) && inGroup.includes(String(child)))
  assert.equal(inGroup.includes(String(job.keeperPid)), false)
  await job.stop()
  assert.equal(isAlive(child), false)
  assert.match(job.story, /kill:15:all .*kill:9:all/)
  await until('the group to be removed', () => !existsSync(group))
  rmdirSync(join(group, '..'))
})

test('a group that was removed while the job did not run is made again', {
  skip: withUnified,
}, async () => {
  await using nursery = new Nursery()
  const group = `${unified}/keeper-test-again-${process.pid}`
  const job = await nursery.start('a', [
    ...sh('exit 1'),
    `cgroup=${group}`,
    'restart=always',
    'restart-ms=50',
    'start-limit=0',
  ])
  await job.phase('auto-restart')
  rmdirSync(group)
  await until('a later life', () => Number(job.state['restarts']) > 1)
  assert.ok(existsSync(group))
  assert.equal((await job.stop())['errno'], undefined)
  await until('the group to be removed', () => !existsSync(group))
})

test('oom kill is told as such', { skip: withMemory }, async () => {
  await using nursery = new Nursery()
  const group = `${memory}/keeper-test-${process.pid}`
  mkdirSync(group)
  writeFileSync(`${group}/memory.limit_in_bytes`, String(24 << 20))
  const eat = 'x=$(head -c 200000000 /dev/zero | tr "\\0" x); echo "$x" | wc -c'
  const job = await nursery.start('a', [
    ...sh(`exec sh -c '${eat}'`),
    `cgroup=${group}`,
    'restart=on-failure',
    'restart-ms=60000',
  ])
  const state = await job.phase('auto-restart')
  assert.equal(state['result'], 'oom-kill', job.story)
  assert.ok(job.events.some((event) => event.kind === 'exit' && event.fields['oom'] === '1'))
  assert.ok(isAlive(job.keeperPid), 'the keeper is not what is killed')
  await job.stop()
  await until('the group to be removed', () => !existsSync(group))
})

test('kill command: by number or name, to main or all; refusals are told', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start(
    'a',
    sh("trap 'echo one' USR1; echo ready; while :; do sleep 0.02; done"),
  )
  await until('the trap', () => job.read('log').includes('ready'))
  const client = job.connect()
  assert.equal(await client.command('kill 10 main'), 'ok')
  await until('the signal', () => job.read('log').includes('one'))
  assert.match(await client.command('kill WRONG main'), /^error EINVAL /)
  assert.match(await client.command('kill 9 some'), /^error EINVAL /)
  assert.match(await client.command('dance'), /^error EINVAL /)
  assert.match(await client.command('state'), /^state seq=\d+ phase=running /)
  assert.equal(await client.command('kill KILL all'), 'ok')
  assert.equal(await client.end(), 'signal 9')
  assert.equal((await job.over())['result'], 'signal')
})

test('SIGTERM to the keeper is an orderly stop of its job', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', sh('exec sleep 60'))
  await job.phase('running')
  process.kill(job.keeperPid, 'SIGTERM')
  assert.equal((await job.over())['phase'], 'dead')
  assert.match(job.story, /stop:signal/)
})
