/**
 * Where a byte stream leads: the payload of the frame `R` that comes first on a connection to the
 * relay (from a program here) and on a stream between machines (from its relay).
 */
import { HolonError } from '../../base/errors.ts'
import type { RunSpec } from '../../kernel/types.ts'
import { isJsonObject, type JsonObject, stringField } from '../fields.ts'

/** A run that there is, or one that begins with this byte stream. */
export type Destination = { readonly run: string } | { readonly spec: RunSpec }

/** From a program to the relay of its own machine. */
export type Route = Destination & { readonly machineId: string }

/** From a relay to the machine where the run is. The user on whose behalf; absent: the agent's. */
export type StreamRequest = Destination & { readonly user?: string }

/** The payload of the frame `B`, with which the far side says that it has begun a run. */
export interface Begun {
  readonly runId: string
  readonly machine: string
}

export function encodeRoute(route: Route): string {
  return JSON.stringify(route)
}

/** Throws `invalid_argument`. */
export function parseRoute(text: string): Route {
  const value = parse(text)
  const machineId = stringField(value, 'machineId')
  if (machineId === undefined) throw invalid(text)
  return { machineId, ...destination(value, text) }
}

function destination(value: JsonObject, text: string): Destination {
  const run = stringField(value, 'run')
  if (run !== undefined) return { run }
  // As the spec of System.run: who may send it is a member of the fleet or its own user.
  if (isJsonObject(value['spec'])) return { spec: value['spec'] as unknown as RunSpec }
  throw invalid(text)
}

export function encodeStreamRequest(request: StreamRequest): string {
  return JSON.stringify(request)
}

/** Throws `invalid_argument`. */
export function parseStreamRequest(text: string): StreamRequest {
  const value = parse(text)
  const user = stringField(value, 'user')
  if (user === undefined && value['user'] !== undefined) throw invalid(text)
  const where = destination(value, text)
  return user === undefined ? where : { ...where, user }
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
