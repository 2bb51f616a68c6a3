/** The end of a job's lease: nothing of it runs after that, whoever is dead or frozen. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { exec, isAlive, isRoot, type Job, Nursery, processesOf, sh, until } from './harness.ts'

const unified = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((path) =>
  existsSync(join(path, 'cgroup.procs')),
)
const freezer = '/sys/fs/cgroup/freezer'
const withFreezer = !isRoot ? 'needs root' : existsSync(freezer) ? false : 'no v1 freezer here'
const withUnified = !isRoot ? 'needs root' : unified === undefined ? 'no cgroup v2 here' : false

/** Later than either clock will show. */
const far = 1e14

function bootMs(): number {
  return Math.floor(Number(readFileSync('/proc/uptime', 'utf8').split(' ')[0]) * 1000)
}

/** Ends in so many milliseconds by both clocks. */
function lease(ms: number, graceMs = 0): string {
  return `lease=${bootMs() + ms} ${Date.now() + ms} ${graceMs}`
}

async function move(job: Job, boot: number, wall = far): Promise<string> {
  const client = job.connect()
  const answer = await client.command(`lease ${boot} ${wall}`)
  client.socket.destroy()
  return answer
}

/** Once its processes are there it has `ms` left; returns the end. */
async function shorten(job: Job, ms: number): Promise<number> {
  await until('its processes', () => processesOf(job).length >= 2)
  const endsAt = bootMs() + ms
  assert.equal(await move(job, endsAt), 'ok')
  return endsAt
}

const minute = lease(60_000)

/** The guard is in the keeper's session and none of its descendants. */
function guardOf(job: Job): number {
  const pid = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .find((pid) => {
      try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        const [, , , session] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return stat.includes('(holon-lease)') && session === String(job.keeperPid)
      } catch {
        return false
      }
    })
  return pid ?? 0
}

/** Ignores everything that can be ignored, and has a child that left the session. */
const stubborn = sh(
  "trap '' TERM HUP INT; (setsid sh -c 'trap \"\" TERM; while :; do sleep 1; done' &); echo up; while :; do sleep 1; done",
)

test('lease: at its end everything is killed, nothing is run or restarted any more', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...stubborn,
    ...sh('echo never', 'stop'),
    ...sh('echo never', 'stop-post'),
    'restart=always',
    'restart-ms=0',
    minute,
  ])
  await until('its processes', () => processesOf(job).length >= 2)
  const guard = guardOf(job)
  assert.ok(isAlive(guard))
  await shorten(job, 100)
  const state = await job.over()
  assert.deepEqual([state['phase'], state['result'], state['signal']], ['failed', 'lease', '9'])
  assert.equal(job.story, 'start:start running lease-over kill:9:all exit:start:9 end:failed:lease')
  assert.deepEqual(processesOf(job), [])
  await until('the guard to go', () => !isAlive(guard))
})

test('lease: either clock ends it', async () => {
  await using nursery = new Nursery()
  for (const [id, value] of Object.entries({
    boot: `lease=${bootMs() + 300} ${far} 0`,
    wall: `lease=${far} ${Date.now() + 300} 0`,
    neither: `lease=${far} ${far} 0`,
  })) {
    const job = await nursery.start(id, [...exec('start', ['/bin/sleep', '60']), value])
    if (id !== 'neither') assert.equal((await job.over())['result'], 'lease')
    else assert.equal((await job.stop())['result'], 'success')
  }
})

test('lease: the grace before its end is for an orderly stop', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [
    ...sh("trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.05; done"),
    ...sh('echo asked', 'stop'),
    'restart=always',
    lease(600_000, 60_000),
  ])
  await until('the trap', () => job.read('log').includes(' up\n'))
  assert.equal(await move(job, bootMs() + 50_000), 'ok')
  const state = await job.over()
  assert.deepEqual([state['phase'], state['result']], ['failed', 'lease'])
  assert.match(job.story, /running stop:lease start:stop .*kill:15:all .*end:failed:lease$/)
  assert.match(job.read('log'), /asked\n(.*\n)*.*term/)
  const slow = await nursery.start('b', [...stubborn, lease(60_000, 1000)])
  await shorten(slow, 1500)
  assert.equal((await slow.over())['result'], 'lease')
  assert.match(slow.story, /stop:lease kill:15:all lease-over kill:9:all/)
  assert.deepEqual(processesOf(slow), [])
})

test('lease: moved on it goes on, moved back it ends; over is over', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stubborn, lease(60_000, 500)])
  const endsAt = await shorten(job, 3000)
  assert.equal(await move(job, endsAt + 60_000, Date.now() + 60_000), 'ok')
  await until('the time that it had', () => bootMs() > endsAt + 100)
  assert.equal(job.story, 'start:start running')
  const client = job.connect()
  assert.match(await client.command('lease soon'), /^error EINVAL /)
  assert.equal(await client.command(`lease 0 ${far}`), 'ok')
  assert.equal((await job.over())['result'], 'lease')
  const none = await nursery.start('b', exec('start', ['/bin/sleep', '60']))
  assert.match(await move(none, 1), /^error EINVAL the job has no lease/)
})

test('lease: over before the start, or before a restart: nothing starts', async () => {
  await using nursery = new Nursery()
  const late = await nursery.start('a', [...sh('echo never'), `lease=1 ${far} 0`])
  assert.equal((await late.over())['result'], 'lease')
  assert.equal(late.story, 'lease-over end:failed:lease')
  const waiting = await nursery.start('b', [
    ...sh('exit 1'),
    'restart=always',
    'restart-ms=1500',
    'start-limit=0',
    lease(1000),
  ])
  assert.equal((await waiting.over())['result'], 'lease')
  assert.equal(waiting.events.filter((event) => event.kind === 'start').length, 1)
})

test('lease: what can only end in part is refused', async () => {
  await using nursery = new Nursery()
  const base = ['id=x', `dir=${nursery.dir}/x`, ...exec('start', ['/bin/true']), lease(60_000)]
  for (const more of ['kill-mode=process', 'kill-mode=none', 'send-sigkill=0']) {
    assert.match(await nursery.ask([...base, more]), /^error x EINVAL a lease needs /)
  }
  assert.match(await nursery.ask([...base, 'lease=1 2']), /^error x EINVAL bad value/)
})

test('lease: the nursery is dead, the keeper sees to it alone', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stubborn, minute])
  await shorten(job, 500)
  nursery.child.kill('SIGKILL')
  assert.equal((await job.over())['result'], 'lease')
})

test('lease: a keeper that was stopped kills first when it goes on, its guard before that', async () => {
  await using nursery = new Nursery()
  const job = await nursery.start('a', [...stubborn, 'restart=always', minute])
  const endsAt = await shorten(job, 1500)
  process.kill(job.keeperPid, 'SIGSTOP')
  await until('the guard to kill', () => processesOf(job).length === 0)
  assert.ok(bootMs() >= endsAt)
  assert.equal(job.state['phase'], 'running')
  process.kill(job.keeperPid, 'SIGCONT')
  assert.equal((await job.over())['result'], 'lease')
  assert.doesNotMatch(job.story, /restart/)
  const alone = await nursery.start('b', [...stubborn, 'restart=always', minute])
  const soon = await shorten(alone, 1500)
  process.kill(guardOf(alone), 'SIGKILL')
  for (const pid of [alone.keeperPid, ...processesOf(alone)]) process.kill(pid, 'SIGSTOP')
  await until('the end of its time', () => bootMs() > soon + 100)
  assert.ok(processesOf(alone).length >= 2)
  process.kill(alone.keeperPid, 'SIGCONT')
  assert.equal((await alone.over())['result'], 'lease')
  assert.deepEqual(processesOf(alone), [])
})

function removed(group: string): boolean {
  try {
    rmdirSync(group)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false
    throw error
  }
}

test('lease: a keeper that was killed takes its group with it', { skip: withUnified }, async () => {
  await using nursery = new Nursery()
  const group = `${unified}/keeper-test-lease-${process.pid}`
  const job = await nursery.start('a', [...stubborn, `cgroup=${group}`, minute])
  await until('its processes', () => processesOf(job).length >= 2)
  const guard = guardOf(job)
  process.kill(job.keeperPid, 'SIGKILL')
  await until('nothing to be left', () => processesOf(job).length === 0)
  await until('the guard to go', () => !isAlive(guard))
  // The kernel counts what has ended for another moment.
  await until('the group to be empty', () => removed(group))
})

test('lease: a frozen group is killed in time', { skip: withUnified }, async () => {
  await using nursery = new Nursery()
  const group = `${unified}/keeper-test-frozen-${process.pid}`
  const job = await nursery.start('a', [...stubborn, `cgroup=${group}`, minute])
  await shorten(job, 1500)
  writeFileSync(join(group, 'cgroup.freeze'), '1')
  assert.equal((await job.over())['result'], 'lease')
  assert.deepEqual(processesOf(job), [])
  await until('the group to be removed', () => !existsSync(group))
})

test('lease: frozen together with its keeper and thawed late, it does not run another step', {
  skip: withFreezer,
}, async () => {
  await using nursery = new Nursery()
  const group = `${freezer}/keeper-test-${process.pid}`
  const steps = join(nursery.dir, 'steps')
  const job = await nursery.start('a', [
    ...sh(`(while :; do echo step; done > ${steps}) & wait`),
    `cgroup=${group}`,
    minute,
  ])
  await until('some steps', () => existsSync(steps) && statSync(steps).size > 0)
  const endsAt = await shorten(job, 1500)
  writeFileSync(`${group}/freezer.state`, 'FROZEN')
  await until(
    'all to be frozen',
    () => readFileSync(`${group}/freezer.state`, 'utf8') === 'FROZEN\n',
  )
  await until('the end of its time, and the guard’s look', () => bootMs() > endsAt + 600)
  const { size } = statSync(steps)
  writeFileSync(`${group}/freezer.state`, 'THAWED')
  assert.equal((await job.over())['result'], 'lease')
  assert.equal(statSync(steps).size, size)
})
