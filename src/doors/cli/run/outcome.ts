/** How a run on one of many machines came out, in words, as JSON, and as an exit status. */
import type { HolonError } from '../../../base/errors.ts'
import type { ExitStatus, MissingMachine } from '../../../kernel/types.ts'
import { exitStatusOf, runExit } from '../exit-status.ts'
import { missingExitStatus, missingMachineText } from '../missing.ts'

export type Outcome =
  /** The program ended. */
  | {
      readonly kind: 'ended'
      readonly machine: string
      readonly exit: ExitStatus
      readonly timedOut: boolean
    }
  /** -d: it goes on. */
  | { readonly kind: 'started'; readonly machine: string; readonly id: string }
  /** It ran, or may have; nobody knows how it ended. */
  | { readonly kind: 'lost'; readonly machine: string; readonly error: HolonError }
  /** The machine did not answer; nothing ran. */
  | { readonly kind: 'missing'; readonly machine: string; readonly missing: MissingMachine }
  /** The machine answered, and refused. */
  | { readonly kind: 'refused'; readonly machine: string; readonly error: HolonError }
  /** A signal came before its turn. */
  | { readonly kind: 'not-started'; readonly machine: string; readonly signal: number }

/** The exit status of one; undefined for a machine that did not answer. */
export function outcomeStatus(outcome: Outcome): number | undefined {
  switch (outcome.kind) {
    case 'ended':
      return outcome.timedOut ? runExit.timedOut : exitStatusOf(outcome.exit)
    case 'started':
      return 0
    case 'lost':
      return runExit.lost
    case 'missing':
      return undefined
    case 'refused':
      return runExit.holonFailed
    case 'not-started':
      return 128 + outcome.signal
  }
}

/** The largest of all; 4 when nothing is wrong but that machines did not answer. */
export function overallStatus(outcomes: readonly Outcome[]): number {
  const statuses = outcomes.map(outcomeStatus)
  const largest = Math.max(0, ...statuses.map((status) => status ?? 0))
  return largest === 0 && statuses.includes(undefined) ? missingExitStatus : largest
}

/** "3 of 4 machines: exit 0; n3: exit 2". */
export function summary(outcomes: readonly Outcome[], nowMs: number): string {
  const good = outcomes.filter((outcome) => outcomeStatus(outcome) === 0)
  const word = outcomes.every(({ kind }) => kind === 'started') ? 'started' : 'exit 0'
  const parts = [`${good.length} of ${outcomes.length} machines: ${word}`]
  const groups = new Map<string, string[]>()
  for (const outcome of outcomes) {
    if (outcome.kind === 'missing') parts.push(missingMachineText(outcome.missing, nowMs))
    else if (!good.includes(outcome)) {
      const text = describe(outcome)
      groups.set(text, [...(groups.get(text) ?? []), outcome.machine])
    }
  }
  parts.splice(1, 0, ...[...groups].map(([text, names]) => `${names.join(', ')}: ${text}`))
  return parts.join('; ')
}

function describe(outcome: Exclude<Outcome, { kind: 'missing' }>): string {
  switch (outcome.kind) {
    case 'ended': {
      const { exit, timedOut } = outcome
      if (timedOut) return 'stopped after --timeout'
      if (exit.execErrno !== undefined) return `cannot be executed (${exit.execErrno})`
      return exit.signal ?? `exit ${exit.code ?? 0}`
    }
    case 'started':
      return 'started'
    case 'lost':
      return 'lost, how it ended is not known'
    case 'refused':
      return outcome.error.message
    case 'not-started':
      return 'not started'
  }
}

/** For --json; `status` is null for a machine that did not answer. */
export function outcomeJson(outcome: Outcome): Readonly<Record<string, unknown>> {
  const { kind, machine } = outcome
  return {
    machine,
    outcome: kind,
    status: outcomeStatus(outcome) ?? null,
    ...(kind === 'ended' ? { exit: outcome.exit } : {}),
    ...(kind === 'started' ? { id: outcome.id } : {}),
    ...(kind === 'missing' ? { code: outcome.missing.code } : {}),
    ...(kind === 'lost' || kind === 'refused'
      ? { code: outcome.error.code, message: outcome.error.message }
      : {}),
  }
}
