/**
 * What the agent knows of one job, and what every link to a keeper shares: the observer's side, the
 * job's files, and the rules for commands. See link.ts for the promises.
 */
import { HolonError } from '../../base/errors.ts'
import { joinPath, readTextIfThere } from '../../io/files.ts'
import type { CallOptions, ExitStatus } from '../../kernel/types.ts'
import type { LeaseEnd } from '../../unit/job-spec.ts'
import {
  isFinal,
  type JobEvent,
  type JobState,
  parseEvent,
  parseEvents,
  parseState,
} from './records.ts'

export interface JobObserver {
  /** Events up to this number are known already. */
  readonly afterSeq: number
  readonly onState: (state: JobState) => void
  readonly onEvent: (event: JobEvent) => void
}

/**
 * `ended`: the keeper recorded the job's end. `lost`: the keeper is gone without having done so.
 */
export type JobEnd = 'ended' | 'lost'

export interface JobLink extends Disposable {
  readonly dir: string
  /** The last known state; undefined when the keeper was lost before it wrote one. */
  readonly state: JobState | undefined
  /** Lines of the keeper that could not be read. */
  readonly malformed: number
  readonly ended: Promise<JobEnd>
  /** Asks for the job's end, which shows in the state. One that ended is no error. Idempotent. */
  stop(reason: string, options: CallOptions): Promise<void>
  /** `not_found` when the job has ended, `invalid_argument` for an undefined signal. */
  kill(signal: number | undefined, to: 'main' | 'all', options: CallOptions): Promise<void>
  /**
   * Moves the end of the job's lease. `stale` when it is over already, `invalid_argument` for a job
   * without one, `unsupported` where no compiled keeper keeps it. Idempotent.
   */
  lease(until: LeaseEnd, options: CallOptions): Promise<void>
  /** Asks the keeper itself for the state. Idempotent. */
  askState(options: CallOptions): Promise<JobState | undefined>
  /** Lets go of the keeper, which goes on. Once or twice alike. */
  [Symbol.dispose](): void
}

/** What is known of a job, from the keeper's lines and from its files. */
export class JobRecord {
  readonly dir: string
  readonly ended: Promise<JobEnd>
  readonly #observer: JobObserver
  readonly #end = Promise.withResolvers<JobEnd>()
  #state: JobState | undefined
  #seq: number
  #malformed = 0
  #execErrno: string | undefined
  #finished = false

  constructor(dir: string, observer: JobObserver) {
    this.dir = dir
    this.ended = this.#end.promise
    this.#observer = observer
    this.#seq = observer.afterSeq
  }

  get state(): JobState | undefined {
    return this.#state
  }

  get malformed(): number {
    return this.#malformed
  }

  /** The last event that the observer knows. */
  get seq(): number {
    return this.#seq
  }

  /** Whether `ended` has been settled, or nobody listens any more. */
  get finished(): boolean {
    return this.#finished
  }

  /** The observer hears nothing after this. */
  release(): void {
    this.#finished = true
  }

  takeState(line: string): void {
    const parsed = parseState(line)
    if (parsed === undefined) {
      this.#malformed++
      return
    }
    const state = this.#withErrno(parsed)
    const same = JSON.stringify(state) === JSON.stringify(this.#state)
    this.#state = state
    if (!same && !this.#finished) this.#observer.onState(state)
  }

  takeEvent(line: string): void {
    const event = parseEvent(line)
    if (event === undefined) this.#malformed++
    else this.#tell(event)
  }

  /** Brings state and events up to what the keeper has written. */
  readFiles(): void {
    const events = parseEvents(readTextIfThere(joinPath(this.dir, 'events')) ?? '').events
    // After the events: it tells of at least as much as they do.
    const line = readTextIfThere(joinPath(this.dir, 'state'))
    for (const event of events) this.#noteErrno(event)
    if (line !== undefined) this.takeState(line)
    for (const event of events) this.#tell(event)
  }

  /** The keeper is gone: what it wrote last says whether that was the end. */
  finish(): void {
    if (this.#finished) return
    this.readFiles()
    const state = this.#state
    this.#finished = true
    this.#end.resolve(state !== undefined && isFinal(state.phase) ? 'ended' : 'lost')
  }

  #tell(event: JobEvent): void {
    this.#noteErrno(event)
    if (event.seq <= this.#seq || this.#finished) return
    this.#seq = event.seq
    this.#observer.onEvent(event)
    // A state that came before its events lacks the errno.
    const state = this.#state
    if (event.kind === 'exec-failed' && state !== undefined) {
      this.#state = this.#withErrno(state)
      this.#observer.onState(this.#state)
    }
  }

  #noteErrno(event: JobEvent): void {
    const { phase, errno } = event.fields
    if (phase !== 'start') return
    if (event.kind === 'start') this.#execErrno = undefined
    if (event.kind === 'exec-failed') this.#execErrno = errno
  }

  // The state file has only the code that a child gives which could not be executed.
  #withErrno(state: JobState): JobState {
    const execErrno = this.#execErrno
    const code = state.exit?.code
    if (execErrno === undefined || code === undefined || code < execCodeMin) return state
    const exit: ExitStatus = { execErrno }
    return { ...state, exit }
  }
}

/** systemd's exit codes for what failed before the program ran begin here. */
const execCodeMin = 200

/** One line, short enough for a fifo to take in one piece. */
export function commandReason(reason: string): string {
  return reason.replaceAll(/[\0-\x1f\x7f]+/g, ' ').slice(0, 500)
}

/** The error of a command for a job that is no more. */
export function jobIsOver(dir: string): HolonError {
  return new HolonError('not_found', `the job in ${dir} has ended`)
}

export function requireSignal(signal: number | undefined): number {
  if (signal !== undefined && signal > 0 && signal <= 64) return signal
  throw new HolonError('invalid_argument', 'there is no such signal; `holon kill -l` lists them')
}
