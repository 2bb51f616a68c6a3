/**
 * One instance of a unit on this machine: the job that keeps it, or what is left of it.
 *
 * Invariants: at most one job at a time has this instance's directory; what a keeper recorded is
 * told to the journal exactly once; an instance whose keeper died is cleaned of every process
 * before another is started.
 */
import type { Clock } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { exists, removeTree } from '../../io/files.ts'
import type { JobSpec, LeaseEnd } from '../../unit/job-spec.ts'
import type { JobLauncher } from '../keeper/launcher.ts'
import type { JobLink } from '../keeper/link.ts'
import type { JobEvent, JobState } from '../keeper/records.ts'
import { readServedPort, type ServedPort, writeServedPort } from '../ports/served-port.ts'
import type { Serving } from '../ports/serving.ts'
import type { InstanceCondition } from './plan.ts'

export interface InstanceDeps {
  readonly clock: Clock
  readonly launcher: JobLauncher
  /** Ends every process of the job that is left, and resolves when none is or time is up. */
  readonly cleanUp: (job: string) => Promise<void>
  /**
   * Resolves when that process is gone: an ended job's keeper has its directory a moment longer.
   */
  readonly untilGone: (pid: number) => Promise<void>
  /** The job is over: it needs its credentials no more. */
  readonly removeCredentials: (job: string) => void
  /** Where it is told of, if it answers on a public port. */
  readonly serving: Serving
  /** Something changed: state, condition. */
  readonly changed: () => void
  readonly event: (instance: Instance, event: JobEvent) => void
  /** The last event number that is recorded already. */
  readonly seen: (job: string) => number
}

/** What is about to be started. */
export interface PreparedJob {
  readonly spec: JobSpec
  readonly served?: ServedPort
}

// A job that is over has its keeper for a moment longer: until that is gone, it is not ended.
const stopPhases: ReadonlySet<string> = new Set([
  'dead',
  'failed',
  'stop',
  'stop-sigterm',
  'stop-sigkill',
  'stop-post',
  'final-sigkill',
])

export class Instance {
  readonly unit: string
  readonly number: number
  /** The job's id and its directory's path below the jobs directory. */
  readonly job: string
  readonly dir: string
  readonly #deps: InstanceDeps
  #link: JobLink | undefined
  #state: JobState | undefined
  #lost = false
  /** While the job is being changed; resolves when that is over. */
  #work: Promise<void> | undefined

  constructor(deps: InstanceDeps, unit: string, number: number, dir: string) {
    this.#deps = deps
    this.unit = unit
    this.number = number
    this.job = `unit/${unit}/${number}`
    this.dir = dir
  }

  /** "web.service/2". */
  get name(): string {
    return `${this.unit}/${this.number}`
  }

  /** The last known state of the job; undefined when there is none. */
  get state(): JobState | undefined {
    return this.#state
  }

  /**
   * The phase of the job; `unready` and `unhealthy` for one that runs and does not answer on its
   * port, yet or any more.
   */
  get phase(): string | undefined {
    const phase = this.#state?.phase
    if (phase !== 'running') return phase
    const readiness = this.#deps.serving.readiness(this)?.is ?? 'ready'
    return readiness === 'ready' ? phase : readiness
  }

  /** Why it does not answer on its port; undefined while it does, or has none. */
  get unready(): string | undefined {
    return this.#deps.serving.readiness(this)?.why || undefined
  }

  /** Its own, `$PORT`. */
  get port(): number | undefined {
    return this.#deps.serving.portOf(this)
  }

  get lost(): boolean {
    return this.#lost
  }

  /** Undefined: there is no job and nothing left of one. */
  condition(): InstanceCondition | undefined {
    if (this.#work !== undefined) return 'busy'
    if (this.#lost) return 'lost'
    const state = this.#state
    if (state === undefined) return undefined
    if (this.#link === undefined) return 'ended'
    return stopPhases.has(state.phase) ? 'stopping' : 'up'
  }

  /** Takes over the job in this instance's directory, if there is one. */
  async adopt(signal: AbortSignal): Promise<void> {
    if (!exists(this.dir)) return
    const served = readServedPort(this.dir)
    if (served !== undefined) {
      this.#deps.serving.begin(this, served, this.#deps.changed, true)
    }
    await this.#follow(await this.#deps.launcher.open(this.dir, this.#observer(), { signal }))
  }

  /**
   * Starts a new job in place of what is left of an earlier one. `prepare` makes its spec, and what
   * it needs. Rejects when nothing was started.
   */
  async start(prepare: () => Promise<PreparedJob>, signal: AbortSignal): Promise<void> {
    await this.#exclusively(async () => {
      try {
        const { spec, served } = await prepare()
        this.#discard()
        if (served !== undefined) {
          writeServedPort(this.dir, served)
          this.#deps.serving.begin(this, served, this.#deps.changed)
        }
        await this.#follow(await this.#deps.launcher.start(spec, this.#observer(), { signal }))
      } catch (error) {
        if (asHolonError(error).outcome !== 'unknown') this.#deps.removeCredentials(this.job)
        // A lost job is started again whenever something changes: not one that cannot be.
        if (this.#lost) this.#discard()
        throw error
      }
    })
  }

  /**
   * Asks the keeper to stop the job, once it has finished what came by its public port; its end
   * shows in the state. Nothing to stop is no error.
   */
  async stop(reason: string, signal: AbortSignal): Promise<void> {
    if (this.#link === undefined) return
    await this.#deps.serving.drain(this, signal)
    await this.#link?.stop(reason, { signal })
  }

  /** Moves the end of the job's lease. No job is no error. */
  async lease(until: LeaseEnd, signal: AbortSignal): Promise<void> {
    await this.#link?.lease(until, { signal })
  }

  /** Removes what is left of an ended job. */
  async clear(): Promise<void> {
    await this.#exclusively(async () => {
      this.#discard()
      this.#deps.removeCredentials(this.job)
    })
  }

  /** Lets go of the job without touching it: the agent is ending. */
  release(): void {
    this.#link?.[Symbol.dispose]()
    this.#link = undefined
  }

  async #exclusively(work: () => Promise<void>): Promise<void> {
    if (this.#work !== undefined) {
      throw new HolonError('conflict', `${this.name} is being changed already`)
    }
    const done = Promise.withResolvers<void>()
    this.#work = done.promise
    try {
      await work()
    } finally {
      this.#work = undefined
      done.resolve()
      this.#deps.changed()
    }
  }

  #discard(): void {
    this.release()
    this.#deps.serving.end(this)
    removeTree(this.dir)
    this.#lost = false
    this.#state = undefined
  }

  #observer() {
    return {
      afterSeq: this.#deps.seen(this.job),
      onState: (state: JobState) => {
        this.#state = state
        this.#observePort()
        this.#deps.changed()
      },
      onEvent: (event: JobEvent) => this.#deps.event(this, event),
    }
  }

  async #follow(link: JobLink): Promise<void> {
    this.#link = link
    this.#state = link.state
    this.#observePort()
    void link.ended.then(async (end) => {
      if (end === 'ended' && this.#state !== undefined) {
        await this.#deps.untilGone(this.#state.keeperPid)
      }
      if (this.#link !== link) return
      this.#link = undefined
      this.#deps.serving.end(this)
      if (end === 'ended') this.#deps.removeCredentials(this.job)
      if (end === 'lost') await this.#afterLoss()
      else this.#deps.changed()
    })
  }

  #observePort(): void {
    if (this.#state === undefined) return
    const { pid, phase } = this.#state
    this.#deps.serving.observe(this, pid, phase === 'running' || phase === 'reload-notify')
  }

  /** It may be lost while it is still being started. */
  async #afterLoss(): Promise<void> {
    while (this.#work !== undefined) await this.#work
    if (this.#link !== undefined || this.#state === undefined) return
    await this.#exclusively(async () => {
      await this.#deps.cleanUp(this.job)
      this.#deps.removeCredentials(this.job)
      this.#lost = true
    })
  }
}
