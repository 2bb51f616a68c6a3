/** A keeper in trouble: agents and keepers that die, disks that fill, rights and control groups. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolonError } from '../../src/base/errors.ts'
import { cgroupPids, jobCgroups, openCgroups, removeCgroups } from '../../src/io/cgroups.ts'
import {
  alive,
  type Bench,
  command,
  eventually,
  jobSpec,
  keeperPids,
  needsRoot,
  texts,
  Watched,
} from './keeper-support.ts'

/** Agents and keepers that die, disks that fill, rights and groups. */
export function faultTests(bench: Bench): void {
  const { run, newDir, limit, options, started } = bench
  test('a second link hears everything from the number on that it names', async () => {
    const spec = jobSpec(newDir(), 'exec sleep 1000')
    const job = await run(spec)
    await job.until(
      () => job.kinds().includes('running') && job.state.phase === 'running',
      'it runs',
    )
    // The first agent dies: its link goes, the job stays.
    job.link?.[Symbol.dispose]()
    job.link = undefined
    const next = new Watched()
    using bound = limit()
    next.link = await bench.launcher.open(spec.dir, next.observer(1), bound)
    started.push(next)
    assert.equal(next.state.phase, 'running')
    await next.until(() => next.events.length > 0, 'it hears what it missed')
    assert.equal(next.events[0]?.seq, 2)
    await next.link.stop('enough', bound)
    await next.ended()
    const last = new Watched()
    last.link = await bench.launcher.open(spec.dir, last.observer(0), bound)
    assert.equal((await last.ended()).phase, 'dead')
    assert.equal(last.events.at(-1)?.kind, 'end')
    await last.link.stop('again', bound)
    await assert.rejects(last.link.kill(15, 'main', bound), { code: 'not_found' })
  })

  test('kill -9 of the agent changes nothing: restarts go on, every line is logged', async () => {
    const dir = newDir()
    const line = 'echo "run $$"; for i in $(seq 20); do echo "line $i"; sleep 0.02; done; exit 1'
    const spec = jobSpec(dir, line, { restart: 'always', restartMs: 50 })
    const script = new URL('keeper-agent.ts', import.meta.url).pathname
    const agent = spawn(process.execPath, [script, JSON.stringify({ options, spec })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await new Promise((resolve) => agent.stdout.once('data', resolve))
    agent.kill('SIGKILL')
    await new Promise((resolve) => agent.once('exit', resolve))
    // Nobody watches while it is restarted.
    await eventually(
      () => texts(spec).filter((text) => text.startsWith('run ')).length >= 3,
      () => `it was not restarted:\n${texts(spec).join('\n')}`,
    )
    const job = new Watched()
    started.push(job)
    using bound = limit()
    job.link = await bench.launcher.open(dir, job.observer(), bound)
    assert.ok(job.state.restarts >= 2, job.told())
    await job.until(() => job.events.length >= 9, 'it hears all that happened')
    assert.equal(job.events[0]?.seq, 1)
    await job.link.stop('enough', bound)
    await job.ended()
    const runs = texts(spec)
      .join('\n')
      .split(/^run \d+$/m)
      .slice(1, -1)
    const whole = `\n${Array.from({ length: 20 }, (_, i) => `line ${i + 1}`).join('\n')}\n`
    for (const run of runs) assert.equal(run, whole)
  })

  test('a keeper that is killed is noticed: the job is lost, and what it ran can be found', async () => {
    const spec = jobSpec(newDir(), 'echo up; exec sleep 1000')
    const job = await run(spec)
    await job.until(() => job.state.phase === 'running' && texts(spec).includes('up'), 'it runs')
    const { pid } = job.state
    for (const keeper of keeperPids(spec)) process.kill(keeper, 'SIGKILL')
    let end: string | undefined
    void job.link?.ended.then((how) => {
      end = how
    })
    await job.until(() => end !== undefined, 'the loss is noticed')
    assert.equal(end, 'lost')
    assert.equal(job.state.pid, pid)
    job.link = undefined
    const next = new Watched()
    using bound = limit()
    next.link = await bench.launcher.open(spec.dir, next.observer(), bound)
    assert.equal(await next.link.ended, 'lost')
    if (alive(pid)) {
      const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
      assert.ok(environ.includes(`HOLON_JOB=${spec.dir}`))
      process.kill(pid, 'SIGKILL')
    }
  })

  test('a job in control groups: it is in them, and all of it is killed by them', {
    skip: needsRoot || openCgroups('holon-test').unified === undefined ? 'no cgroup v2' : false,
  }, async () => {
    const roots = openCgroups('holon-test')
    const cgroups = jobCgroups(roots, `keeper-test-${process.pid}`)
    const line = 'setsid env -i /bin/sleep 1000 & echo up; exec sleep 1000'
    const spec = jobSpec(newDir(), line, { cgroups })
    const job = await run(spec)
    await job.until(() => cgroupPids(cgroups).length >= 2 && texts(spec).includes('up'), 'it runs')
    const pids = cgroupPids(cgroups)
    assert.ok(pids.includes(job.state.pid))
    using bound = limit()
    await job.link?.stop('enough', bound)
    await job.ended()
    await eventually(
      () => !pids.some(alive),
      () => `still there: ${pids.filter(alive)}`,
    )
    removeCgroups(cgroups)
    assert.ok(!cgroups.some((path) => existsSync(path)))
    removeCgroups(Object.values(roots))
  })

  test('User= runs as that user, with its groups; a command with + does not', {
    skip: needsRoot,
  }, async () => {
    const dir = newDir()
    const privileged = { ...command('start-pre', 'id -u'), fullPrivileges: true }
    const commands = [privileged, command('start', 'id -un; id -gn; echo "$HOME"')]
    const spec = jobSpec(dir, '', { user: 'daemon', loginEnv: true, commands })
    const job = await run(spec)
    assert.equal((await job.ended()).result, 'success', job.told())
    assert.deepEqual(texts(spec), ['0', 'daemon', 'daemon', '/usr/sbin'])
    const unknown = await run(jobSpec(newDir(), 'true', { user: 'no-such-user' }))
    assert.equal((await unknown.ended()).phase, 'failed')
  })

  test('a full disk stops no job; afterwards the log says how much is missing', {
    skip: needsRoot,
  }, async () => {
    const dir = newDir()
    const logDir = `${dir}.full`
    mkdirSync(logDir)
    const mount = ['-t', 'tmpfs', '-o', 'size=64k,mode=0750', 'tmpfs', logDir]
    const mounted = spawnSync('mount', mount)
    assert.equal(mounted.status, 0, mounted.stderr.toString())
    try {
      writeFileSync(join(logDir, 'filler'), 'x'.repeat(32 * 1024))
      const text = 'x'.repeat(500)
      const line =
        `for i in $(seq 400); do echo "line $i ${text}"; done; sleep 0.5; ` +
        `rm ${logDir}/filler; echo one; echo two; exit 7`
      const spec = jobSpec(dir, line, { logDir })
      const job = await run(spec)
      const state = await job.ended()
      assert.deepEqual(state.exit, { code: 7 }, job.told())
      // Every line is there or counted; a torn one may be left where the disk was full.
      const lines = readFileSync(join(logDir, 'log'), 'utf8').split('\n')
      const whole = lines.filter((l) => /^\S+ stdout F line \d+ x{500}$/.test(l)).length
      const told = lines.map((l) => /^\S+ stderr F holon: (\d+) lines? lost, disk full$/.exec(l))
      const lost = told.reduce((sum, match) => sum + Number(match?.[1] ?? 0), 0)
      assert.ok(lost > 200, `lost ${lost}`)
      assert.equal(whole + lost, 400, lines.map((l) => l.slice(0, 80)).join('\n'))
      assert.match(lines.at(-3) ?? '', / stdout F one$/)
      assert.match(lines.at(-2) ?? '', / stdout F two$/)
    } finally {
      spawnSync('umount', [logDir])
    }
  })

  test('askState() is the keeper’s own answer', async () => {
    const job = await run(jobSpec(newDir(), 'exec sleep 1000'))
    await job.until(() => job.state.phase === 'running', 'it runs')
    using bound = limit()
    const state = await job.link?.askState(bound)
    assert.deepEqual([state?.phase, state?.pid], ['running', job.state.pid])
    await job.link?.stop('enough', bound)
    await job.ended()
  })

  test('what cannot be started is an error, and nothing is left of it', async () => {
    using bound = limit()
    const spec = jobSpec(newDir(), 'true', { logDir: '/proc/nowhere' })
    const observer = new Watched().observer()
    await assert.rejects(bench.launcher.start(spec, observer, bound), (error: HolonError) => {
      assert.ok(error instanceof HolonError)
      assert.match(error.message, new RegExp(`^start ${spec.id}`))
      return true
    })
    const watched = await run({ ...spec, logDir: join(spec.dir, 'logs') })
    assert.equal((await watched.ended()).phase, 'dead')
  })
}
