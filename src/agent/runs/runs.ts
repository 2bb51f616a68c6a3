/**
 * Runs of this machine. An attached run lives and dies with its client's byte stream, which the
 * keeper serves without us; a detached one keeps its log and its exit status until it is removed or
 * many others have ended after it.
 */
import { type Clock, sleep } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { newId } from '../../base/ids.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import {
  exists,
  joinPath,
  listDir,
  readTextIfThere,
  removeTree,
  writeText,
} from '../../io/files.ts'
import type { CallOptions, ExitStatus, RunInfo, RunSpec } from '../../kernel/types.ts'
import { Changes } from '../emitter.ts'
import type { JobLauncher } from '../keeper/launcher.ts'
import type { JobLink } from '../keeper/link.ts'
import type { JobState } from '../keeper/records.ts'
import type { Caller } from '../users.ts'
import { compileRun } from './run-spec.ts'

export interface RunsDeps {
  readonly clock: Clock
  readonly random: Random
  readonly machine: string
  readonly agentUid: number
  readonly launcher: JobLauncher
  readonly jobsDir: string
  readonly logDir: (job: string) => string
  readonly cgroups: (job: string) => readonly string[]
  readonly cleanUp: (job: string) => Promise<void>
  readonly untilGone: (pid: number) => Promise<void>
  readonly findExecutable: (name: string, path: string) => string | undefined
  readonly report: (message: string) => void
}

/** What is written beside a detached run's job, so that the next agent knows it too. */
interface RunRecord {
  readonly id: string
  readonly argv: readonly string[]
  readonly uid: number
  readonly tty: boolean
  readonly startedAtMs: number
}

export interface ManagedRun {
  readonly record: RunRecord
  readonly job: string
  readonly dir: string
  readonly detached: boolean
  readonly keeperPid: number
  readonly changes: Changes
  link: JobLink | undefined
  state: JobState | undefined
  lost: boolean
}

const idLength = 8
const recordFile = 'run.json'

export class Runs {
  readonly #deps: RunsDeps
  readonly #runs = new Map<string, ManagedRun>()

  constructor(deps: RunsDeps) {
    this.#deps = deps
  }

  /** Oldest first. Attached runs whose keeper has ended are forgotten on the way. */
  list(): readonly ManagedRun[] {
    for (const [id, run] of this.#runs) {
      if (!run.detached && !exists(run.dir)) this.#runs.delete(id)
    }
    return [...this.#runs.values()].sort((a, b) => a.record.startedAtMs - b.record.startedAtMs)
  }

  /** By id, "run/ID", or an unambiguous beginning of it. */
  find(text: string): ManagedRun {
    const id = text.replace(/^run\//, '')
    const exact = this.#runs.get(id)
    if (exact !== undefined) return exact
    const matches = id === '' ? [] : this.list().filter((run) => run.record.id.startsWith(id))
    const [only] = matches
    if (only !== undefined && matches.length === 1) return only
    throw matches.length === 0
      ? new HolonError(
          'not_found',
          `there is no run ${JSON.stringify(id)}; \`holon runs\` lists them`,
        )
      : new HolonError(
          'invalid_argument',
          `${matches.length} runs begin with ${JSON.stringify(id)}`,
        )
  }

  /** `atOnce`: whoever starts it attaches now, so it need not wait for that. */
  async start(
    spec: RunSpec,
    caller: Caller,
    { signal, atOnce = false }: CallOptions & { readonly atOnce?: boolean },
  ): Promise<ManagedRun> {
    const id = newId(this.#deps.random, idLength)
    const job = `run/${id}`
    const dir = joinPath(this.#deps.jobsDir, job)
    const jobSpec = compileRun(spec, caller, {
      id: job,
      dir,
      logDir: this.#deps.logDir(job),
      cgroups: this.#deps.cgroups(job),
      agentUid: this.#deps.agentUid,
      findExecutable: this.#deps.findExecutable,
    })
    const record: RunRecord = {
      id,
      argv: spec.argv,
      uid: caller.uid,
      tty: spec.tty !== undefined,
      startedAtMs: this.#deps.clock.wallMs(),
    }
    const base = { record, job, dir, detached: spec.detached, changes: new Changes(), lost: false }
    if (!spec.detached) {
      const { keeperPid } = await this.#deps.launcher.startStream(
        { ...jobSpec, atOnce },
        { signal },
      )
      const run: ManagedRun = { ...base, keeperPid, link: undefined, state: undefined }
      this.#runs.set(id, run)
      return run
    }
    this.#prune()
    const run: ManagedRun = { ...base, keeperPid: 0, link: undefined, state: undefined }
    await this.#follow(
      run,
      await this.#deps.launcher.start(jobSpec, this.#observer(run), { signal }),
    )
    writeText(joinPath(dir, recordFile), JSON.stringify(record), 0o600)
    this.#runs.set(id, run)
    return run
  }

  /** Takes over the detached runs that an earlier agent left. */
  async open(signal: AbortSignal): Promise<void> {
    for (const id of listDir(joinPath(this.#deps.jobsDir, 'run'))) {
      const job = `run/${id}`
      const dir = joinPath(this.#deps.jobsDir, job)
      const text = readTextIfThere(joinPath(dir, recordFile))
      // Attached runs have no record and end by themselves with their client.
      if (text === undefined) continue
      try {
        const record = JSON.parse(text) as RunRecord
        const base = { record, job, dir, detached: true, keeperPid: 0, changes: new Changes() }
        const run: ManagedRun = { ...base, lost: false, link: undefined, state: undefined }
        await this.#follow(
          run,
          await this.#deps.launcher.open(dir, this.#observer(run), { signal }),
        )
        this.#runs.set(id, run)
      } catch (error) {
        this.#deps.report(asHolonError(error, `run ${id} cannot be taken over`).message)
      }
    }
  }

  info(run: ManagedRun): RunInfo {
    const { record, state } = run
    const ended = hasEnded(run)
    const exit = ended ? exitOf(run) : undefined
    return {
      id: record.id,
      machine: this.#deps.machine,
      argv: record.argv,
      uid: record.uid,
      detached: run.detached,
      tty: record.tty,
      state: run.lost ? 'lost' : ended ? 'ended' : 'running',
      pid: ended ? 0 : (state?.pid ?? 0),
      startedAtMs: record.startedAtMs,
      ...(ended && state !== undefined ? { endedAtMs: state.sinceMs } : {}),
      ...(exit === undefined ? {} : { exit }),
    }
  }

  /** Resolves when the run has ended; `unavailable`, outcome unknown, when its keeper was lost. */
  async wait(run: ManagedRun, signal: AbortSignal): Promise<ExitStatus> {
    while (!run.detached && exists(run.dir)) await sleep(this.#deps.clock, 100, signal)
    if (!run.detached) {
      throw new HolonError(
        'not_found',
        `run ${run.record.id} was attached; its client has its status`,
      )
    }
    return run.changes.until(() => (hasEnded(run) ? exitOf(run) : undefined), signal)
  }

  /** Forgets an ended run with its output. `conflict` while it runs. */
  remove(run: ManagedRun): void {
    if (!hasEnded(run)) {
      throw new HolonError('conflict', `run ${run.record.id} is still running; stop it first`)
    }
    this.#runs.delete(run.record.id)
    removeTree(run.dir)
    removeTree(this.#deps.logDir(run.job))
  }

  /** Stops a detached run and waits for its end; an attached one ends with its client. */
  async stop(run: ManagedRun, signal: AbortSignal): Promise<void> {
    if (!run.detached || hasEnded(run)) return
    await run.link?.stop('asked for', { signal })
    await run.changes.until(() => (hasEnded(run) ? true : undefined), signal)
  }

  close(): void {
    for (const run of this.#runs.values()) run.link?.[Symbol.dispose]()
  }

  #observer(run: ManagedRun) {
    return {
      afterSeq: 0,
      onState: (state: JobState) => {
        run.state = state
        run.changes.notify()
      },
      onEvent: () => {},
    }
  }

  async #follow(run: ManagedRun, link: JobLink): Promise<void> {
    run.link = link
    run.state = link.state
    void link.ended.then(async (end) => {
      if (end === 'lost') {
        await this.#deps.cleanUp(run.job)
        run.lost = true
      } else if (run.state !== undefined) await this.#deps.untilGone(run.state.keeperPid)
      run.link = undefined
      run.changes.notify()
    })
  }

  #prune(): void {
    const ended = this.list().filter((run) => run.detached && hasEnded(run))
    const surplus = ended.slice(0, Math.max(0, ended.length + 1 - limits.finishedRunsMax))
    for (const run of surplus) this.remove(run)
  }
}

function hasEnded(run: ManagedRun): boolean {
  if (!run.detached) return !exists(run.dir)
  return run.lost || (run.link === undefined && run.state !== undefined)
}

function exitOf(run: ManagedRun): ExitStatus {
  if (run.state?.exit !== undefined) return run.state.exit
  throw new HolonError(
    'unavailable',
    `the keeper of run ${run.record.id} died; how the program ended is not known`,
    { outcome: 'unknown', retryable: false },
  )
}
