/** Values of logs: what is asked of them, and what comes. */
import type { MissingMachine } from './types.ts'

export interface LogEntry {
  readonly atMs: number
  readonly machine: string
  /** "web.service/2" or "run/ID". */
  readonly instance: string
  readonly stream: 'stdout' | 'stderr'
  /**
   * The line without its newline. Bytes that are no UTF-8 come as U+FFFD here, exact in `base64`.
   */
  readonly text: string
  /** Set when the line is no valid UTF-8. */
  readonly base64?: string
  /** False when the line goes on in the next entry of the same stream. */
  readonly complete: boolean
}

export interface LogQuery {
  /** Only the last so many entries. Default: all. */
  readonly tail?: number
  readonly sinceMs?: number
  readonly untilMs?: number
  readonly instances?: readonly number[]
  readonly stream?: 'stdout' | 'stderr'
  /** Continue after this position, from an earlier page. */
  readonly cursor?: string
  /** Wait until there is something, up to the call's deadline; an empty page then is no error. */
  readonly waitMs?: number
}

/** At most about 1 MiB of entries, in order of time; pass `cursor` on to get the next. */
export interface LogPage {
  readonly entries: readonly LogEntry[]
  readonly cursor: string
  /** No more entries now (with `waitMs`: none came). */
  readonly atEnd: boolean
  /** Machines whose part of this log is not in here. */
  readonly missing: readonly MissingMachine[]
  /** Machines that did not answer, whose lines are from a copy. Left out where there is none. */
  readonly copies?: readonly LogCopy[]
}

/** The last part of what a machine logged, as another machine has it. */
export interface LogCopy {
  readonly machine: string
  /** Time of its last line, by the clock of the machine that wrote it. */
  readonly endsAtMs: number
}

export interface LogUsage {
  readonly bytes: number
  readonly files: number
  readonly missing: readonly MissingMachine[]
}
