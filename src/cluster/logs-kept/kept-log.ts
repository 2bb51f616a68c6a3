/**
 * Logs kept on a peer: what travels. A machine has the end of each of its instances' logs copied to
 * one other machine, its log keeper, so that it can be read when the machine is gone.
 *
 * A position (file, offset) says what is copied, never a time: a keeper tells where its copy ends,
 * and takes what follows exactly there; what leaves something out says so and is kept as a gap. So
 * nothing is copied twice, and a repeated piece changes nothing.
 *
 * | fails | then |
 * |---|---|
 * | the machine | its copies answer for it; at most what it wrote in its last second or two lacks |
 * | its agent | nothing is copied; the next one asks where the copies end and goes on there |
 * | the keeper | it is asked every 10 s at least; another one gets the last part of every log |
 * | both at once | the lines that only they had are lost; `missing` names the machine |
 * | the keeper's disk is full | it refuses, and another machine is taken |
 * | the link, an answer is lost | where the copies end is asked anew |
 * | clocks differ | lines are put in order by the clock of the machine that wrote them, as ever |
 * | a log rotates while it is copied | a file is known by inode and first line, whatever its name |
 * | a log is cut off, or grows too fast | its last part is copied, and the gap is told |
 */
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { CallOptions } from '../../kernel/types.ts'

/** A place in a log: which of its files (inode and first time), and where. Plain JSON. */
export type LogPosition = readonly [ino: number, offset: number, firstTime: string]

/** Whole lines of a log, as they lie in its file. */
export interface LogPiece {
  /** "web.service/2" */
  readonly instance: string
  /** Where the copy ends that this follows; null: what is between is left out. */
  readonly after: LogPosition | null
  /** Where it begins. */
  readonly at: LogPosition
  /** Base64. Empty: where the copy ends is all that is asked. */
  readonly bytes: string
}

/** Where the copies end, piece for piece; null: there is none. */
export type KeptEnds = readonly (LogPosition | null)[]

/** The copies on this machine. */
export interface LogStore {
  /**
   * A piece that does not follow its copy is not taken. `exhausted` when there is no room. Copies
   * of `members` stay however old they are.
   */
  keep(
    pieces: readonly LogPiece[],
    machineId: string,
    members: { readonly byId: (machineId: string) => { readonly name: string } | undefined },
  ): KeptEnds
}

/** Where a machine's logs are copied to. */
export interface LogKeeping {
  /** Rejects with `not_found` when there is no other machine. Idempotent. */
  keep(pieces: readonly LogPiece[], options: CallOptions): Promise<KeptAt>
}

export interface KeptAt {
  /** Who has them: another one than before begins with nothing. */
  readonly keeper: string
  readonly ends: KeptEnds
}

/** A machine's copy of a unit's logs; or its own, of what it had earlier. */
export interface KeptLog {
  /** Absent: the answering machine's own. */
  readonly machineId?: string
  /** Its name when it was last heard of. */
  readonly machine: string
  /** Time of the last line, by the clock of the machine that wrote it. */
  readonly endsAtMs: number
}

export interface KeptLogQuery {
  readonly unit: string
  readonly instances?: readonly number[] | undefined
}

/** What a machine can tell of others' logs, and of its own while it has nothing of the unit. */
export interface KeptLogs {
  /** `permission_denied` for whom the logs of units are refused, too. Idempotent. */
  keptLogs(query: KeptLogQuery, options: CallOptions): Promise<readonly KeptLog[]>
  /** The cursors are those of the log itself. Likewise. */
  keptLogPage(
    of: { readonly machineId?: string; readonly unit: string },
    query: LogQuery,
    options: CallOptions,
  ): Promise<LogPage>
}

export function samePosition(a: LogPosition | null, b: LogPosition | null): boolean {
  if (a === null || b === null) return a === b
  return a[0] === b[0] && a[1] === b[1] && a[2] === b[2]
}
