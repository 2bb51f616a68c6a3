/**
 * What can go wrong with the files below the embedded engine, sorted into the few kinds that need
 * different answers. Damage is never repaired in passing: it is named, with the way back.
 */
import { asHolonError, HolonError } from '../base/errors.ts'

/** How the messages name what a person types; the door that has the commands sets it. */
export interface WayBack {
  readonly restore: string
  readonly stop: string
}

export const defaultWayBack: WayBack = {
  restore: 'holon state restore',
  stop: 'holon down',
}

/** Thrown inside the engine when stored bytes are not what was written; `what` is for people. */
export class Damage extends Error {
  override readonly name = 'Damage'
}

/** What is stored is not what was written. `details`: kind 'state_damaged', path, what. */
export function damageError(path: string, what: string, wayBack: WayBack): HolonError {
  return new HolonError(
    'internal',
    `the state in "${path}" is damaged: ${what}. Nothing was changed. ` +
      `Go back to the last backup with "${wayBack.restore}"; the damaged files are kept`,
    { details: { kind: 'state_damaged', path, what } },
  )
}

export function isDamageError(error: unknown): error is HolonError {
  return error instanceof HolonError && error.details['kind'] === 'state_damaged'
}

export type FaultKind =
  /** No room: certainly not written. */
  | 'full'
  /** Another process has the database. */
  | 'busy'
  /** Refused or failed while writing, before the commit mark: certainly not written. */
  | 'not-written'
  /** Failed while making durable: may or may not be there after a restart. */
  | 'unsure'
  | 'damage'

const notWritten = new Set([
  8, // READONLY
  778, // IOERR_WRITE
  3082, // IOERR_NOMEM
])

/** Sorts an error of SQLite; undefined when `error` is none. */
export function sqliteFault(error: unknown): FaultKind | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { code, errcode } = error as { code?: unknown; errcode?: unknown }
  // An integer that no number can hold was never written by us.
  if (code === 'ERR_OUT_OF_RANGE') return 'damage'
  if (code !== 'ERR_SQLITE_ERROR' || typeof errcode !== 'number') return undefined
  const primary = errcode & 0xff
  if (notWritten.has(errcode) || primary === 8) return 'not-written'
  if (primary === 13) return 'full'
  if (primary === 5 || primary === 6) return 'busy'
  // Reads that fail or come short, and everything that says "malformed".
  if (primary === 11 || primary === 26 || errcode === 266 || errcode === 522) return 'damage'
  if (primary === 10 || primary === 7) return 'unsure'
  // "no such table" and the like: the schema is ours, so it was changed behind our back.
  return 'damage'
}

/** The error of opening or replacing a store; `action` begins its message. */
export function openError(
  error: unknown,
  action: string,
  path: string,
  wayBack: WayBack,
): HolonError {
  const fault = error instanceof Damage ? 'damage' : sqliteFault(error)
  const text = error instanceof Error ? error.message : String(error)
  if (fault === 'damage') return damageError(path, text, wayBack)
  if (fault !== 'full') return asHolonError(error, action)
  return new HolonError('exhausted', `${action}: no room on the disk; make room and try again`, {
    cause: error,
    details: { path },
  })
}
