/**
 * The one error class for operations that failed, and its closed list of codes.
 *
 * Code never decides by an error's text: it branches on `code`, retries only what is `retryable`,
 * and treats `outcome: 'unknown'` as "it may have happened and may still happen". All four survive
 * the wire (see rpc/). A bug is not one of these: it is an `assert` (base/assert.ts).
 */

export const errorCodes = [
  'invalid_argument',
  'not_found',
  'already_exists',
  'conflict',
  'stale',
  'permission_denied',
  'exhausted',
  'unavailable',
  'deadline_exceeded',
  'cancelled',
  'unsupported',
  'internal',
] as const

export type ErrorCode = (typeof errorCodes)[number]

/** `none`: it certainly did not happen. `unknown`: it may have happened, and may still. */
export type Outcome = 'none' | 'unknown'

export interface HolonErrorOptions {
  /** Whether the same call may succeed later without anything else changing. Default: by code. */
  readonly retryable?: boolean
  /** Default `none`. */
  readonly outcome?: Outcome
  /** Facts for programs: plain JSON. Never secrets. */
  readonly details?: Readonly<Record<string, unknown>>
  readonly cause?: unknown
}

const retryableByDefault: ReadonlySet<ErrorCode> = new Set(['unavailable', 'deadline_exceeded'])

/** An operation failed. The message names the action, quotes values, and says what to do next. */
export class HolonError extends Error {
  readonly code: ErrorCode
  readonly retryable: boolean
  readonly outcome: Outcome
  readonly details: Readonly<Record<string, unknown>>

  constructor(code: ErrorCode, message: string, options: HolonErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'HolonError'
    this.code = code
    this.retryable = options.retryable ?? retryableByDefault.has(code)
    this.outcome = options.outcome ?? 'none'
    this.details = options.details ?? {}
  }
}

/** Whether `value` names one of the closed codes. */
export function isErrorCode(value: unknown): value is ErrorCode {
  return typeof value === 'string' && (errorCodes as readonly string[]).includes(value)
}

const codeByErrno: Readonly<Record<string, ErrorCode>> = {
  EACCES: 'permission_denied',
  EPERM: 'permission_denied',
  ENOENT: 'not_found',
  ESRCH: 'not_found',
  EEXIST: 'already_exists',
  EINVAL: 'invalid_argument',
  ENAMETOOLONG: 'invalid_argument',
  ENOTDIR: 'invalid_argument',
  EISDIR: 'invalid_argument',
  ENOSPC: 'exhausted',
  EDQUOT: 'exhausted',
  EMFILE: 'exhausted',
  ENFILE: 'exhausted',
  EAGAIN: 'exhausted',
  ENOMEM: 'exhausted',
  EROFS: 'unavailable',
  ECONNREFUSED: 'unavailable',
  ECONNRESET: 'unavailable',
  EPIPE: 'unavailable',
  ETIMEDOUT: 'deadline_exceeded',
  ENOTSUP: 'unsupported',
  ENOSYS: 'unsupported',
}

/** The errno name of a failed system call ("ENOENT"), or undefined when `error` is not one. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

/**
 * Any thrown value as a HolonError: one already is itself, an errno by the table, the rest
 * `internal`. `action` begins the message: "read the unit file".
 */
export function asHolonError(error: unknown, action?: string): HolonError {
  if (error instanceof HolonError) return error
  const text = error instanceof Error ? error.message : String(error)
  const errno = errnoOf(error)
  const code = (errno === undefined ? undefined : codeByErrno[errno]) ?? 'internal'
  const message = action === undefined ? text : `${action}: ${text}`
  return new HolonError(code, message, {
    cause: error,
    details: errno === undefined ? {} : { errno },
  })
}
