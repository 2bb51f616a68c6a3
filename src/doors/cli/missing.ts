/** Says which machines did not answer: a shorter list is never printed as if it were complete. */
import { type Deadline, remainingMs } from '../../base/clock.ts'
import type { ErrorCode } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { localTime } from '../../io/proc-time.ts'
import type { MissingMachine, UnitListing } from '../../kernel/types.ts'
import type { CliContext } from './context.ts'
import { clockText } from './ps/durations.ts'
import { isoTime, sinceText } from './time.ts'

/** The exit status of an answer that lacks machines. */
export const missingExitStatus = 4

/**
 * The deadline of a question to all machines, and how long each has to answer it, so that the
 * answer of the others is here before our own patience ends.
 */
export function fanOutLimit(context: CliContext, wishMs?: number): Deadline & { fanOutMs: number } {
  const wantedMs = wishMs ?? limits.fanOutMs
  const limit = context.deadline(Math.max(limits.callTimeoutMs, wantedMs + answerMarginMs))
  const leftMs = remainingMs(limit.signal) ?? Number.POSITIVE_INFINITY
  return { ...limit, fanOutMs: Math.min(wantedMs, answerShare * leftMs) }
}

/** For the way to the agent and back. */
const answerMarginMs = 5_000
const answerShare = 0.8
const dayMs = 86_400_000

/** In a sentence after the machine's name; others show their code. */
const words: Partial<Record<ErrorCode, string>> = {
  unavailable: 'unreachable',
  deadline_exceeded: 'silent',
  permission_denied: 'refused it',
}

/** "n4 unreachable (last seen 14:02:11, 12 s ago)"; how long ago only with `nowMs`. */
export function missingMachineText(missing: MissingMachine, nowMs?: number): string {
  const { machine, code, lastSeenAtMs } = missing
  const what = `${machine} ${words[code] ?? `failed (${code})`}`
  if (lastSeenAtMs === undefined) return what
  if (nowMs === undefined) return `${what} (last seen ${clockText(localTime(lastSeenAtMs))})`
  const elapsedMs = Math.max(0, nowMs - lastSeenAtMs)
  const at = elapsedMs < dayMs ? clockText(localTime(lastSeenAtMs)) : isoTime(lastSeenAtMs)
  return `${what} (last seen ${at}, ${sinceText(elapsedMs)})`
}

/**
 * "3 of 4 machines answered; n4 unreachable (last seen 14:02:11, 12 s ago)"; undefined if all did.
 * `answered` is left out where nobody knows how many did.
 */
export function missingText(
  missing: readonly MissingMachine[],
  nowMs: number,
  answered?: number,
): string | undefined {
  if (missing.length === 0) return undefined
  const each = missing.map((machine) => missingMachineText(machine, nowMs)).join(', ')
  const count = missing.length
  const head =
    answered === undefined
      ? `${count} ${count === 1 ? 'machine' : 'machines'} did not answer`
      : `${answered} of ${answered + count} machines answered`
  return `${head}; ${each}`
}

/** On stderr, with the exit status for it; nothing when every machine answered. */
export function reportMissing(
  context: CliContext,
  missing: readonly MissingMachine[],
  answered?: number,
): void {
  const text = missingText(missing, context.clock.wallMs(), answered)
  if (text === undefined) return
  context.stderr.write(`holon: ${text}\n`)
  context.setExit(missingExitStatus)
}

/** The same for units: of some only the fleet's state knows. */
export function reportIncomplete(
  context: CliContext,
  { missing, stateUnavailable }: UnitListing,
): void {
  reportMissing(context, missing)
  if (stateUnavailable === undefined) return
  context.stderr.write(`holon: ${stateUnavailable}\n`)
  context.setExit(missingExitStatus)
}
