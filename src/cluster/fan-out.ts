/**
 * Asking many machines at once. The answer has what came in time and names who did not answer, with
 * the reason; a bug here or a bad question is thrown instead, since every machine would say the
 * same.
 */
import { type Clock, deadline } from '../base/clock.ts'
import { asHolonError, type HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { MissingMachine } from '../kernel/types.ts'

export interface FanOutMachine {
  readonly machineId: string
  readonly name: string
}

export interface FanOutOptions<M extends FanOutMachine> {
  readonly signal: AbortSignal
  /** Default `limits.fanOutMs`. */
  readonly timeoutMs?: number | undefined
  readonly lastSeenAtMs: (machine: M) => number | undefined
}

export interface FanOutAnswer<M extends FanOutMachine, T> {
  /** In the order of the machines asked. */
  readonly answers: readonly { readonly machine: M; readonly value: T }[]
  readonly missing: readonly MissingMachine[]
}

/** Errors that say something of the machine or the way to it, not of the question. */
const ofTheMachine: ReadonlySet<string> = new Set([
  'unavailable',
  'deadline_exceeded',
  'cancelled',
  'exhausted',
  'unsupported',
  'permission_denied',
  'internal',
])

/**
 * Asks every one of `machines`. Rejects with the signal's error when that aborts before the
 * fan-out's own deadline, and with an error that is about the question, such as `invalid_argument`.
 */
export async function fanOut<M extends FanOutMachine, T>(
  clock: Clock,
  machines: readonly M[],
  ask: (machine: M, signal: AbortSignal) => Promise<T>,
  options: FanOutOptions<M>,
): Promise<FanOutAnswer<M, T>> {
  using limit = deadline(clock, options.timeoutMs ?? limits.fanOutMs, options.signal)
  const outcomes = await Promise.all(
    machines.map(async (machine) => {
      try {
        return { machine, value: await ask(machine, limit.signal) }
      } catch (error) {
        return { machine, error: asHolonError(error) }
      }
    }),
  )
  const answers: { machine: M; value: T }[] = []
  const missing: MissingMachine[] = []
  for (const outcome of outcomes) {
    if (outcome.error === undefined) answers.push(outcome)
    else missing.push(missingMachine(outcome.machine, outcome.error, options))
  }
  return { answers, missing }
}

/** What is said of a machine that did not answer. Throws `error` if it is about the question. */
export function missingMachine<M extends FanOutMachine>(
  machine: M,
  error: HolonError,
  options: Pick<FanOutOptions<M>, 'lastSeenAtMs'>,
): MissingMachine {
  if (!ofTheMachine.has(error.code)) throw error
  const lastSeenAtMs = options.lastSeenAtMs(machine)
  return {
    machine: machine.name,
    code: error.code,
    ...(lastSeenAtMs === undefined ? {} : { lastSeenAtMs }),
  }
}
