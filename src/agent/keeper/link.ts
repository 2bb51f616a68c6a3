/**
 * The link to one job: its state as it changes, its events, and the verbs. The compiled keeper and
 * the shell fallback are reached in different ways, and are alike from here on.
 */
import type { CallOptions } from '../../kernel/types.ts'
import type { JobEvent, JobState } from './records.ts'

export interface JobObserver {
  /** Events up to this number are known already and do not come again. */
  readonly afterSeq: number
  readonly onState: (state: JobState) => void
  /** In order, each once. */
  readonly onEvent: (event: JobEvent) => void
}

/** `ended`: the job came to its end and its last state is known. `lost`: its keeper died before. */
export type JobEnd = 'ended' | 'lost'

export interface JobLink extends Disposable {
  readonly state: JobState | undefined
  /** Resolves once, after the last state and event were told; never after disposal. */
  readonly ended: Promise<JobEnd>
  /** Asks for an orderly stop; its end shows as state. Idempotent. */
  stop(reason: string, options: CallOptions): Promise<void>
  /** A signal to the main process or to all. `not_found` when the job has ended. */
  kill(signal: number, to: 'main' | 'all', options: CallOptions): Promise<void>
  /** Lets go of the job without touching it. */
  [Symbol.dispose](): void
}
