/** What the keeper suites share: specs, jobs that are watched, and looking at what they left. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { JobLauncher, LauncherOptions } from '../../src/agent/keeper/launcher.ts'
import type { JobLink } from '../../src/agent/keeper/link.ts'
import type { JobEvent, JobState } from '../../src/agent/keeper/records.ts'
import { type Deadline, deadline } from '../../src/base/clock.ts'
import { realClock } from '../../src/io/clock.ts'
import type { JobCommand, JobSpec } from '../../src/unit/job-spec.ts'

/** What the tests of a suite are given. */
export interface Bench {
  readonly launcher: JobLauncher
  readonly options: LauncherOptions
  readonly root: string
  /** Jobs that are stopped after the suite. */
  readonly started: Watched[]
  readonly newDir: () => string
  readonly run: (spec: JobSpec) => Promise<Watched>
  readonly limit: () => Deadline
}

export const stepMs = 15_000

/** `command('start', 'exit 3')`: a line of shell as a command of the job. */
export function command(phase: JobCommand['phase'], line: string): JobCommand {
  const argv = ['/bin/sh', '-c', line]
  return { phase, ignoreFailure: false, fullPrivileges: false, path: '/bin/sh', argv }
}

export function jobSpec(dir: string, line: string, rest: Partial<JobSpec> = {}): JobSpec {
  return {
    // Keepers are found by it: suites that run at once have other ones.
    id: `test/${dir.split('/').slice(-2).join('-')}`,
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

export const texts = (spec: JobSpec) => logLines(spec.logDir ?? '').map(([, , text]) => text)

export function alive(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return !/\) [ZX]/.test(stat)
  } catch {
    return false
  }
}

/** Every process of the job's keeper, by the command line it shows. */
export function keeperPids(spec: JobSpec): readonly number[] {
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

/** For the `skip` of a test. */
export const needsRoot = process.getuid?.() === 0 ? false : 'needs root'
