/**
 * The closed list of messages, checked before capnweb sees them. It understands much more than this
 * protocol uses (capabilities in arguments, property paths, remote map, pipes, promise pipelining);
 * what is not on the list here cannot be reached by a peer.
 */
import { HolonError } from '../base/errors.ts'

export type Role = 'client' | 'server'

type Check = (message: readonly unknown[]) => boolean

const isId = (value: unknown): boolean => Number.isSafeInteger(value)
const isCallId = (value: unknown): boolean => isId(value) && (value as number) > 0
const isExportId = (value: unknown): boolean => isId(value) && (value as number) < 0
const isTarget = (value: unknown): boolean => isId(value) && (value as number) <= 0

/** `["pipeline", target, [method], [argsJson, ms, callId] | [callId]]` */
function isCall(value: unknown): boolean {
  if (!Array.isArray(value) || value.length !== 4 || value[0] !== 'pipeline') return false
  const [, target, path, args] = value as readonly unknown[]
  if (!isTarget(target) || !Array.isArray(path) || path.length !== 1) return false
  return typeof path[0] === 'string' && Array.isArray(args) && args.every(isScalar)
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number'
}

/** JSON text, nothing, or a capability. */
function isResult(value: unknown): boolean {
  if (typeof value === 'string') return true
  if (!Array.isArray(value)) return false
  return value.length === 1 ? value[0] === 'undefined' : value.length === 2 && isExport(value)
}

function isExport(value: readonly unknown[]): boolean {
  return value[0] === 'export' && isExportId(value[1])
}

/** `["error", name, message, null, {scalars}]`, the last two of them optional. */
function isError(value: unknown): boolean {
  if (!Array.isArray(value) || value[0] !== 'error' || value.length > 5) return false
  const [, name, message, stack, fields] = value as readonly unknown[]
  if (typeof name !== 'string' || typeof message !== 'string') return false
  if (stack !== undefined && stack !== null) return false
  if (fields === undefined) return true
  if (typeof fields !== 'object' || fields === null || Array.isArray(fields)) return false
  return Object.values(fields).every((field) => isScalar(field) || typeof field === 'boolean')
}

const abort: Check = (message) => message.length === 2 && isError(message[1])

/** What each role accepts. */
const checks: Readonly<Record<Role, ReadonlyMap<unknown, Check>>> = {
  server: new Map<unknown, Check>([
    ['stream', (message) => message.length === 2 && isCall(message[1])],
    [
      'release',
      (message) => message.length === 3 && isExportId(message[1]) && isCallId(message[2]),
    ],
    ['abort', abort],
  ]),
  client: new Map<unknown, Check>([
    ['resolve', (message) => message.length === 3 && isCallId(message[1]) && isResult(message[2])],
    ['reject', (message) => message.length === 3 && isCallId(message[1]) && isError(message[2])],
    ['abort', abort],
  ]),
}

/**
 * The message of a line, or throws `invalid_argument`: then the peer does not speak the protocol.
 */
export function parseMessage(role: Role, line: string): readonly unknown[] {
  let message: unknown
  try {
    message = JSON.parse(line)
  } catch (error) {
    throw refusal('is not JSON', line, error)
  }
  if (!Array.isArray(message)) throw refusal('is not an array', line)
  if (checks[role].get(message[0])?.(message) !== true)
    throw refusal('is none of the protocol', line)
  return message
}

function refusal(what: string, line: string, cause?: unknown): HolonError {
  const shown = line.length <= 80 ? line : `${line.slice(0, 80)}…`
  return new HolonError(
    'invalid_argument',
    `a message ${what} (${JSON.stringify(shown)}); the link is closed`,
    { cause },
  )
}
