/**
 * What every keeper promises (docs/keeper.md), as one suite over a JobLauncher: real programs, real
 * directories, no agent around it.
 */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import {
  type JobLauncher,
  type LauncherOptions,
  openLauncher,
} from '../../src/agent/keeper/launcher.ts'
import type { JobLink } from '../../src/agent/keeper/link.ts'
import type { JobEvent, JobState } from '../../src/agent/keeper/records.ts'
import { deadline, withSignal } from '../../src/base/clock.ts'
import { HolonError } from '../../src/base/errors.ts'
import { cgroupPids, jobCgroups, openCgroups, removeCgroups } from '../../src/io/cgroups.ts'
import { realClock } from '../../src/io/clock.ts'
import { openStdio } from '../../src/rpc/stdio.ts'
import type { JobCommand, JobSpec } from '../../src/unit/job-spec.ts'

export type KeeperUnderTest = LauncherOptions

const stepMs = 15_000

/** `command('start', 'exit 3')`: a line of shell as a command of the job. */
export function command(phase: JobCommand['phase'], line: string): JobCommand {
  const argv = ['/bin/sh', '-c', line]
  return { phase, ignoreFailure: false, fullPrivileges: false, path: '/bin/sh', argv }
}

export function jobSpec(dir: string, line: string, rest: Partial<JobSpec> = {}): JobSpec {
  return {
    id: `test/${dir.split('/').at(-1)}`,
    dir,
    ownerUid: process.getuid?.() ?? 0,
    output: 'log',
    stdin: 'null',
    logDir: join(dir, 'logs'),
    type: 'simple',
    remainAfterExit: false,
    commands: [command('start', line)],
    env: [['PATH', '/usr/bin:/bin']],
    cwd: '/',
    loginEnv: false,
    umask: 0o022,
    restart: 'no',
    restartMs: 50,
    startLimitBurst: 0,
    startLimitMs: 0,
    timeoutStartMs: 5_000,
    timeoutStopMs: 5_000,
    runtimeMaxMs: 0,
    killMode: 'control-group',
    killSignal: 15,
    sendSigkill: true,
    cgroups: [],
    reason: 'a test, 100 % "quoted"',
    ...rest,
  }
}

/** A started job and everything that was heard of it. */
export class Watched {
  readonly states: JobState[] = []
  readonly events: JobEvent[] = []
  link: JobLink | undefined

  observer(afterSeq = 0) {
    return {
      afterSeq,
      onState: (state: JobState) => void this.states.push(state),
      onEvent: (event: JobEvent) => void this.events.push(event),
    }
  }

  get state(): JobState {
    assert.ok(this.link?.state !== undefined, 'the keeper told a state')
    return this.link.state
  }

  kinds(): string {
    return this.events.map((event) => event.kind).join(' ')
  }

  async until(look: () => boolean, what: string): Promise<void> {
    await eventually(look, () => `${what}; ${this.told()}`)
  }

  async ended(): Promise<JobState> {
    const { link } = this
    assert.ok(link !== undefined)
    let end: string | undefined
    void link.ended.then((how) => {
      end = how
    })
    await this.until(() => end !== undefined, 'the job has ended')
    assert.equal(end, 'ended', this.told())
    return this.state
  }

  told(): string {
    const events = this.events.map((e) => `${e.seq} ${e.kind} ${JSON.stringify(e.fields)}`)
    return `state ${JSON.stringify(this.link?.state)}, events:\n${events.join('\n')}`
  }
}

/** Looks again until it holds; the message is made when it did not. */
export async function eventually(look: () => boolean, message: () => string, ms = stepMs) {
  const end = realClock.nowMs() + ms
  while (!look()) {
    if (realClock.nowMs() > end) assert.fail(message())
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

export async function start(launcher: JobLauncher, spec: JobSpec): Promise<Watched> {
  const watched = new Watched()
  using limit = deadline(realClock, stepMs)
  watched.link = await launcher.start(spec, watched.observer(), limit)
  return watched
}

/** `[stream, flag, text]` of every line, oldest first. */
export function logLines(logDir: string): readonly (readonly [string, string, string])[] {
  const number = (name: string) => Number(name.split('.')[1] ?? 0)
  const names = readdirSync(logDir).filter((name) => /^log(\.\d+)?$/.test(name))
  return names
    .sort((a, b) => number(b) - number(a))
    .flatMap((name) => readFileSync(join(logDir, name), 'utf8').split('\n'))
    .filter((line) => line !== '')
    .map((line) => {
      const match = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([FP]) (.*)$/s.exec(
        line,
      )
      assert.ok(match !== null, `a log line: ${JSON.stringify(line)}`)
      return [match[1] ?? '', match[2] ?? '', match[3] ?? '']
    })
}

const texts = (spec: JobSpec) => logLines(spec.logDir ?? '').map(([, , text]) => text)

export function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/\) [ZX]/.test(stat)
  } catch {
    return false
  }
}

/** Every process of the job's keeper, by the command line it shows. */
function keeperPids(spec: JobSpec): readonly number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0')
        const isSh = args.includes(spec.dir) && args.some((arg) => arg.endsWith('/keeper.sh'))
        return isSh || args.join(' ').trim() === `holon-keeper ${spec.id}`
      } catch {
        return false
      }
    })
    .map(Number)
}

const isRoot = process.getuid?.() === 0
const needsRoot = isRoot ? false : 'needs root'

export function keeperConformance(name: string, options: KeeperUnderTest): void {
  describe(`keeper ${name}`, () => {
    const root = mkdtempSync(join(tmpdir(), 'holon-keeper-'))
    const started: Watched[] = []
    let launcher: JobLauncher
    let count = 0
    const newDir = () => join(root, `job${++count}`)
    const run = async (spec: JobSpec) => {
      const watched = await start(launcher, spec)
      started.push(watched)
      return watched
    }
    const limit = () => deadline(realClock, stepMs)
    before(async () => {
      const report = (message: string) => console.error(message)
      launcher = await openLauncher({ clock: realClock, report }, options)
    })
    after(async () => {
      for (const { link } of started) {
        if (link?.state === undefined) continue
        using bound = limit()
        await link.stop('the test is over', bound).catch(() => {})
        await withSignal(link.ended, bound.signal).catch(() => {})
        link[Symbol.dispose]()
      }
      await launcher[Symbol.asyncDispose]()
      rmSync(root, { recursive: true, force: true })
    })

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
      assert.deepEqual(
        [two.phase, two.result, two.exit],
        ['failed', 'signal', { signal: 'SIGKILL' }],
      )
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
      assert.ok(text.includes(`HOLON_JOB=${spec.id}`), text)
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
      next.link = await launcher.open(spec.dir, next.observer(1), bound)
      started.push(next)
      assert.equal(next.state.phase, 'running')
      await next.until(() => next.events.length > 0, 'it hears what it missed')
      assert.equal(next.events[0]?.seq, 2)
      await next.link.stop('enough', bound)
      await next.ended()
      const last = new Watched()
      last.link = await launcher.open(spec.dir, last.observer(0), bound)
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
      job.link = await launcher.open(dir, job.observer(), bound)
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
      next.link = await launcher.open(spec.dir, next.observer(), bound)
      assert.equal(await next.link.ended, 'lost')
      if (alive(pid)) {
        const environ = readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')
        assert.ok(environ.includes(`HOLON_JOB=${spec.id}`))
        process.kill(pid, 'SIGKILL')
      }
    })

    test('a job in control groups: it is in them, and all of it is killed by them', {
      skip: needsRoot || openCgroups('holon-test').unified === undefined ? 'no cgroup v2' : false,
    }, async () => {
      const roots = openCgroups('holon-test')
      const cgroups = jobCgroups(roots, `keeper-test-${process.pid}-${++count}`)
      const line = 'setsid env -i /bin/sleep 1000 & echo up; exec sleep 1000'
      const spec = jobSpec(newDir(), line, { cgroups })
      const job = await run(spec)
      await job.until(
        () => cgroupPids(cgroups).length >= 2 && texts(spec).includes('up'),
        'it runs',
      )
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
      const logDir = join(root, `full${count}`)
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

    test('a byte stream job: stdin, both outputs, exit status; nothing is left of it', async () => {
      const line = 'read x; echo "got $x"; echo err >&2; echo "$HOLON_JOB"; exit 7'
      const spec = jobSpec(newDir(), line, { output: 'stream', stdin: 'stream' })
      using bound = limit()
      const { socketPath } = await launcher.startStream(spec, bound)
      const stdio = await openStdio({ runId: 'x', socketPath }, { stdin: true }, bound)
      stdio.stdin.end('hello\n')
      const collect = async (stream: AsyncIterable<Buffer>) => {
        let text = ''
        for await (const chunk of stream) text += chunk.toString()
        return text
      }
      const [exit, out, err] = await Promise.all([
        stdio.exit,
        collect(stdio.stdout),
        collect(stdio.stderr),
      ])
      assert.deepEqual([exit, out, err], [{ code: 7 }, `got hello\n${spec.id}\n`, 'err\n'])
      await eventually(
        () => !readdirSync(root).includes(spec.dir.split('/').at(-1) ?? ''),
        () => 'the directory is still there',
      )
    })

    test('a byte stream job ends with its client', async () => {
      const spec = jobSpec(newDir(), 'echo $$; exec sleep 1000', {
        output: 'stream',
        timeoutStopMs: 500,
      })
      using bound = limit()
      const { socketPath } = await launcher.startStream(spec, bound)
      const stdio = await openStdio({ runId: 'x', socketPath }, { stdin: false }, bound)
      let text = ''
      for await (const chunk of stdio.stdout) {
        text += chunk.toString()
        if (text.includes('\n')) break
      }
      const pid = Number(text)
      assert.ok(alive(pid))
      stdio[Symbol.dispose]()
      await eventually(
        () => !alive(pid),
        () => `process ${pid} is still there`,
      )
    })

    test('a byte stream job: a closed output is SIGPIPE, signals arrive, a slow reader is waited for', async () => {
      const attach = async (line: string, stdin = false) => {
        const stream = { output: 'stream', stdin: stdin ? 'stream' : 'null' } as const
        using bound = limit()
        const { socketPath } = await launcher.startStream(jobSpec(newDir(), line, stream), bound)
        return await openStdio({ runId: 'x', socketPath }, { stdin }, bound)
      }
      const endless = await attach('exec yes')
      for await (const chunk of endless.stdout) {
        assert.equal(chunk.toString().slice(0, 2), 'y\n')
        break
      }
      assert.deepEqual(await endless.exit, { signal: 'SIGPIPE' })

      const asleep = await attach("trap 'exit 9' USR1; echo up; while :; do sleep 0.02; done")
      for await (const _ of asleep.stdout) {
        asleep.signal(10)
        break
      }
      assert.deepEqual(await asleep.exit, { code: 9 })

      const size = 20 * 1024 * 1024
      const echo = await attach('exec cat', true)
      void (async () => {
        const block = Buffer.alloc(64 * 1024, 'b')
        for (let sent = 0; sent < size; sent += block.length) {
          if (!echo.stdin.write(block)) {
            await new Promise((resolve) => echo.stdin.once('drain', resolve))
          }
        }
        echo.stdin.end()
      })()
      let got = 0
      for await (const chunk of echo.stdout) got += chunk.length
      assert.equal(got, size)
      assert.deepEqual(await echo.exit, { code: 0 })
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
      await assert.rejects(launcher.start(spec, observer, bound), (error: HolonError) => {
        assert.ok(error instanceof HolonError)
        assert.match(error.message, new RegExp(`^start ${spec.id}`))
        return true
      })
      const watched = await run({ ...spec, logDir: join(spec.dir, 'logs') })
      assert.equal((await watched.ended()).phase, 'dead')
    })

    test('a byte stream job whose program is not there', async () => {
      const path = '/nonexistent'
      const missing = { ...command('start', ''), path, argv: [path] }
      const spec = { ...jobSpec(newDir(), '', { output: 'stream' }), commands: [missing] }
      using bound = limit()
      const { socketPath } = await launcher.startStream(spec, bound)
      const stdio = await openStdio({ runId: 'x', socketPath }, { stdin: false }, bound)
      assert.deepEqual(await stdio.exit, { execErrno: 'ENOENT' })
    })
  })
}
