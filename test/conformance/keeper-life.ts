/** The life of a job: starting, stopping, restarting, and its log. */
import assert from 'node:assert/strict'
import { readdirSync, writeFileSync } from 'node:fs'
import { test } from 'node:test'
import { realClock } from '../../src/io/clock.ts'
import {
  alive,
  type Bench,
  command,
  eventually,
  jobSpec,
  logLines,
  texts,
} from './keeper-support.ts'

/** Starting, stopping, restarting, logging. */
export function lifeTests(bench: Bench): void {
  const { run, newDir, limit } = bench
  test('a program that succeeds: its events, state and exact log lines', async () => {
    const line = "echo out; echo '  two  \\ back'; echo err >&2; printf 'no end'"
    const spec = jobSpec(newDir(), line)
    const job = await run(spec)
    const state = await job.ended()
    assert.equal(state.phase, 'dead', job.told())
    assert.equal(state.result, 'success')
    assert.deepEqual(state.exit, { code: 0 })
    assert.equal(state.pid, 0)
    assert.ok(Math.abs(state.startedMs - Date.now()) < 60_000, `started ${state.startedMs}`)
    assert.match(job.kinds(), /^start .*exit .*end$/)
    assert.deepEqual(
      job.events.map((event) => event.seq),
      job.events.map((_, index) => index + 1),
    )
    const [first] = job.events
    assert.equal(first?.fields['reason'], 'a test, 100 % "quoted"')
    assert.equal(first?.fields['path'], '/bin/sh')
    const lines = logLines(spec.logDir ?? '')
    assert.deepEqual(
      lines.filter(([stream]) => stream === 'stdout'),
      [
        ['stdout', 'F', 'out'],
        ['stdout', 'F', '  two  \\ back'],
        ['stdout', 'P', 'no end'],
      ],
    )
    assert.deepEqual(
      lines.filter(([stream]) => stream === 'stderr'),
      [['stderr', 'F', 'err']],
    )
  })

  test('status and signal tell how it ended', async () => {
    const failed = await run(jobSpec(newDir(), 'exit 143'))
    const killed = await run(jobSpec(newDir(), 'kill -KILL $$'))
    const one = await failed.ended()
    assert.deepEqual([one.phase, one.result, one.exit], ['failed', 'exit-code', { code: 143 }])
    const two = await killed.ended()
    assert.deepEqual([two.phase, two.result, two.exit], ['failed', 'signal', { signal: 'SIGKILL' }])
  })

  test('a program that is not there', async () => {
    const spec = jobSpec(newDir(), '')
    const path = '/nonexistent/program'
    const missing = { ...command('start', ''), path, argv: [path] }
    const job = await run({ ...spec, commands: [missing] })
    const state = await job.ended()
    assert.equal(state.phase, 'failed')
    assert.deepEqual(state.exit, { execErrno: 'ENOENT' }, job.told())
    const failed = job.events.find((event) => event.kind === 'exec-failed')
    assert.equal(failed?.fields['errno'], 'ENOENT')
    assert.equal(failed?.fields['phase'], 'start')
  })

  test('environment, directory, umask, signals and descriptors are exactly the spec’s', async () => {
    const dir = newDir()
    const strange = 'a\'b"c $x `y` \\z\nnext=ü'
    const lines = [
      '/usr/bin/env',
      'echo "cwd=$(pwd)"',
      'echo "umask=$(umask)"',
      "grep '^SigIgn\\|^SigBlk' /proc/self/status | tr -d '\\t'",
      // A shell cannot close what it was given with a higher number.
      'readlink /proc/self/fd/[0-9]',
    ].join(' && ')
    const env = [
      ['PATH', '/usr/bin:/bin'],
      ['STRANGE', strange],
    ] as const
    const spec = jobSpec(dir, lines, { env, cwd: '/usr', umask: 0o027 })
    const job = await run(spec)
    await job.ended()
    const text = texts(spec).join('\n')
    assert.ok(text.includes(`STRANGE=${strange}`), text)
    assert.ok(text.includes(`HOLON_JOB=${spec.dir}`), text)
    assert.ok(!text.includes('\nHOME='), text)
    assert.match(text, /\ncwd=\/usr\numask=0?027\n/)
    assert.match(text, /SigBlk:0000000000000000\nSigIgn:0000000000000000/)
    const descriptors = text.slice(text.indexOf('SigIgn')).split('\n').slice(1)
    assert.equal(descriptors.length, 3, `stdin, stdout and stderr: ${descriptors}`)
  })

  test('stop ends it, by SIGTERM, with ExecStop= before and ExecStopPost= behind', async () => {
    const spec = jobSpec(newDir(), '', {
      commands: [
        command('start-pre', 'echo pre'),
        command('start', "trap 'echo term; exit 0' TERM; echo up; while :; do sleep 0.05; done"),
        command('start-post', 'echo post'),
        command('stop', 'echo stop $MAINPID'),
        command('stop-post', 'echo after'),
      ],
    })
    const job = await run(spec)
    await job.until(() => job.state.phase === 'running' && texts(spec).includes('up'), 'it runs')
    const { pid } = job.state
    assert.ok(alive(pid), job.told())
    using bound = limit()
    await job.link?.stop('enough', bound)
    await job.link?.stop('enough', bound)
    const state = await job.ended()
    assert.deepEqual([state.phase, state.result, state.exit], ['dead', 'success', { code: 0 }])
    assert.deepEqual(
      // The shell says so of its sleep(1), which gets the signal too.
      texts(spec)
        .filter((text) => text !== 'Terminated')
        .sort(),
      ['pre', 'up', 'post', `stop ${pid}`, 'term', 'after'].sort(),
    )
    assert.ok(!alive(pid))
    const stop = job.events.filter((event) => event.kind === 'stop')
    assert.deepEqual(
      stop.map((event) => event.fields['by']),
      ['agent'],
    )
  })

  test('a lease ends it, unless it is moved; keeper.sh takes none', async () => {
    const in2s = () => ({ bootMs: realClock.nowMs() + 2000, wallMs: Date.now() + 2000 })
    const lease = { until: in2s(), graceMs: 0 }
    const spec = jobSpec(newDir(), 'sleep 3; echo later; exec sleep 1000', { lease })
    if (bench.launcher.kind === 'sh') {
      await assert.rejects(run(spec), { code: 'unsupported' })
      return
    }
    const job = await run(spec)
    using bound = limit()
    const { bootMs, wallMs } = in2s()
    await job.link?.lease({ bootMs: bootMs + 60_000, wallMs: wallMs + 60_000 }, bound)
    await job.until(() => texts(spec).includes('later'), 'it lives on')
    await job.link?.lease(in2s(), bound)
    assert.equal((await job.ended()).result, 'lease', job.told())
    await assert.rejects(async () => job.link?.lease(in2s(), bound), { code: 'not_found' })
    const plain = await run(jobSpec(newDir(), 'exec sleep 1000'))
    await assert.rejects(async () => plain.link?.lease(in2s(), bound), { code: 'invalid_argument' })
  })

  test('a program that ignores SIGTERM is killed in the end', async () => {
    const line = "trap '' TERM; echo up; while :; do sleep 0.05; done"
    const spec = jobSpec(newDir(), line, { timeoutStopMs: 300 })
    const job = await run(spec)
    await job.until(() => texts(spec).includes('up'), 'it runs')
    using bound = limit()
    await job.link?.stop('enough', bound)
    const state = await job.ended()
    assert.deepEqual([state.phase, state.result], ['failed', 'timeout'], job.told())
    assert.deepEqual(state.exit, { signal: 'SIGKILL' })
  })

  test('what it started and left behind is ended too', async () => {
    const line = '(setsid sleep 1000 & echo $!); sleep 1000 & echo $!; echo up; exit 0'
    const spec = jobSpec(newDir(), line)
    const job = await run(spec)
    const state = await job.ended()
    assert.equal(state.phase, 'dead', job.told())
    const pids = texts(spec)
      .filter((text) => /^\d+$/.test(text))
      .map(Number)
    assert.equal(pids.length, 2, texts(spec).join())
    await eventually(
      () => !pids.some(alive),
      () => `still there: ${pids.filter(alive)}\n${job.told()}`,
    )
  })

  test('Restart=on-failure restarts until it succeeds, and counts', async () => {
    const dir = newDir()
    const line = 'echo run; test -e "$F" && exit 0; echo x >"$F"; kill -SEGV $$'
    const env = [
      ['PATH', '/usr/bin:/bin'],
      ['F', `${dir}.flag`],
    ] as const
    const spec = jobSpec(dir, line, { restart: 'on-failure', env })
    const job = await run(spec)
    const state = await job.ended()
    assert.deepEqual([state.phase, state.restarts], ['dead', 1], job.told())
    assert.deepEqual(texts(spec), ['run', 'run'])
    const restart = job.events.find((event) => event.kind === 'restart')
    assert.equal(restart?.fields['in-ms'], '50')
  })

  test('the start limit ends restarting', async () => {
    const spec = jobSpec(newDir(), 'echo run; exit 1', {
      restart: 'always',
      restartMs: 10,
      startLimitBurst: 3,
      startLimitMs: 60_000,
    })
    const job = await run(spec)
    const state = await job.ended()
    assert.deepEqual([state.phase, state.result], ['failed', 'start-limit-hit'], job.told())
    assert.deepEqual(texts(spec), ['run', 'run', 'run'])
    assert.ok(job.kinds().includes('limit end'), job.kinds())
  })

  test('stop while it waits for a restart ends it dead', async () => {
    const spec = jobSpec(newDir(), 'exit 1', { restart: 'always', restartMs: 60_000 })
    const job = await run(spec)
    await job.until(() => job.state.phase === 'auto-restart', 'it waits')
    using bound = limit()
    await job.link?.stop('enough', bound)
    assert.equal((await job.ended()).phase, 'dead')
  })

  test('oneshot runs its commands in turn and stays up with RemainAfterExit=', async () => {
    const spec = jobSpec(newDir(), '', {
      type: 'oneshot',
      remainAfterExit: true,
      commands: [
        command('start', 'echo one'),
        { ...command('start', 'echo two; exit 1'), ignoreFailure: true },
        command('start', 'echo three'),
      ],
    })
    const job = await run(spec)
    await job.until(() => job.state.phase === 'exited', 'it is up')
    using bound = limit()
    await job.link?.stop('enough', bound)
    assert.equal((await job.ended()).phase, 'dead')
    assert.deepEqual(texts(spec), ['one', 'two', 'three'])
  })

  test('TimeoutStartSec= ends a start that takes too long', async () => {
    const spec = jobSpec(newDir(), 'echo main', { timeoutStartMs: 200 })
    const commands = [command('start-pre', 'sleep 1000'), ...spec.commands]
    const job = await run({ ...spec, commands })
    const state = await job.ended()
    assert.deepEqual([state.phase, state.result], ['failed', 'timeout'], job.told())
    assert.deepEqual(texts(spec), [])
  })

  test('RuntimeMaxSec= ends it, result timeout', async () => {
    const job = await run(jobSpec(newDir(), 'exec sleep 1000', { runtimeMaxMs: 200 }))
    const state = await job.ended()
    assert.deepEqual([state.phase, state.result], ['failed', 'timeout'], job.told())
  })

  test('kill sends to the main process, or to all', async () => {
    const line = "trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done"
    const spec = jobSpec(newDir(), line)
    const job = await run(spec)
    await job.until(() => texts(spec).includes('up'), 'it runs')
    using bound = limit()
    await job.link?.kill(10, 'main', bound)
    await job.until(() => texts(spec).includes('usr1'), 'it got the signal')
    await job.link?.kill(9, 'all', bound)
    assert.deepEqual((await job.ended()).exit, { signal: 'SIGKILL' })
  })

  test('KillSignal=SIGINT reaches a program: nothing is ignored that it did not ignore', async () => {
    const spec = jobSpec(newDir(), 'exec sleep 1000', { killSignal: 2 })
    const job = await run(spec)
    await job.until(() => job.state.phase === 'running', 'it runs')
    using bound = limit()
    await job.link?.stop('enough', bound)
    const state = await job.ended()
    assert.deepEqual([state.phase, state.exit], ['dead', { signal: 'SIGINT' }], job.told())
  })

  test('logs: many lines of both streams are all there, in order, over rotated files', async () => {
    const line = 'for i in $(seq 2000); do echo "out $i"; echo "err $i" >&2; done'
    const spec = jobSpec(newDir(), line, { logFileBytes: 64 * 1024, logFiles: 8 })
    const job = await run(spec)
    await job.ended()
    const lines = logLines(spec.logDir ?? '')
    for (const [stream, word] of [
      ['stdout', 'out'],
      ['stderr', 'err'],
    ] as const) {
      const found = lines.filter(([of]) => of === stream).map(([, , text]) => text)
      assert.deepEqual(
        found,
        Array.from({ length: 2000 }, (_, index) => `${word} ${index + 1}`),
      )
    }
    assert.ok(readdirSync(spec.logDir ?? '').includes('log.1'))
  })

  test('logs: a very long line comes in parts that make it whole again', async () => {
    const text = Array.from({ length: 5000 }, (_, index) => `word${index}`).join(' ')
    const dir = newDir()
    writeFileSync(`${dir}.txt`, `${text}\nshort\n`)
    const spec = jobSpec(dir, `cat ${dir}.txt`)
    const job = await run(spec)
    await job.ended()
    const lines = logLines(spec.logDir ?? '')
    assert.ok(lines.every(([, , part]) => part.length <= 16 * 1024))
    assert.deepEqual(lines.at(-1), ['stdout', 'F', 'short'])
    const parts = lines.slice(0, -1)
    assert.equal(parts.map(([, , part]) => part).join(''), text)
    assert.equal(parts.map(([, flag]) => flag).join(''), `${'P'.repeat(parts.length - 1)}F`)
  })
}
