/**
 * Where a byte stream leads: the payload of the frame `R` that comes first on a connection to the
 * relay (from a program here) and on a stream between machines (from its relay).
 */
import { HolonError } from '../../base/errors.ts'
import { isJsonObject, stringField } from '../fields.ts'

/** From a program to the relay of its own machine. */
export interface Route {
  readonly machineId: string
  readonly run: string
}

/** From a relay to the machine where the run is. */
export interface StreamRequest {
  readonly run: string
  /** The user on whose behalf; absent: who runs the agent. */
  readonly user?: string
}

export function encodeRoute(route: Route): string {
  return JSON.stringify(route)
}

/** Throws `invalid_argument`. */
export function parseRoute(text: string): Route {
  const value = parse(text)
  const machineId = stringField(value, 'machineId')
  const run = stringField(value, 'run')
  if (machineId === undefined || run === undefined) throw invalid(text)
  return { machineId, run }
}

export function encodeStreamRequest(request: StreamRequest): string {
  return JSON.stringify(request)
}

/** Throws `invalid_argument`. */
export function parseStreamRequest(text: string): StreamRequest {
  const value = parse(text)
  const run = stringField(value, 'run')
  const user = stringField(value, 'user')
  if (run === undefined || (user === undefined && value['user'] !== undefined)) throw invalid(text)
  return user === undefined ? { run } : { run, user }
}

function parse(text: string) {
  try {
    const value: unknown = JSON.parse(text)
    if (isJsonObject(value)) return value
  } catch {
    // Said below.
  }
  throw invalid(text)
}

function invalid(text: string): HolonError {
  return new HolonError(
    'invalid_argument',
    `${JSON.stringify(text.slice(0, 80))} does not say where a byte stream leads`,
  )
}
