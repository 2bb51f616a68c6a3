/** `holon run --explain`: where a program goes and why, on stderr. */
import { HolonError } from '../../../base/errors.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { CallOptions, PlacementAnswer, RunSpec } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { missingText } from '../missing.ts'
import { formatTable } from '../table.ts'

/** Asks where `spec` would go. */
export function place(
  system: System,
  spec: RunSpec,
  options: CallOptions,
): Promise<PlacementAnswer> {
  return system.place(spec.require === undefined ? {} : { require: spec.require }, options)
}

/** The table of machines, the chosen one first in words. */
export function explain(context: CliContext, answer: PlacementAnswer): void {
  const { machine, why, candidates, missing } = answer
  const { stderr } = context
  const head = machine === undefined ? `no machine: ${why}` : `on ${machine}: ${why}`
  const rows = candidates.map((candidate) => [
    candidate.machine,
    candidate.score === undefined ? '-' : candidate.score.toFixed(2),
    candidate.why,
  ])
  const width = stderr.isTTY === true ? stderr.columns : undefined
  stderr.write(`holon: ${head}\n${formatTable(['MACHINE', 'SCORE', 'WHY'], rows, { width })}`)
  // A machine that is away may be among the candidates, with that as the reason against it.
  const away = new Set(missing.map((each) => each.machine))
  const answered = candidates.filter((each) => !away.has(each.machine)).length
  const absent = missingText(missing, context.clock.wallMs(), answered)
  if (absent !== undefined) stderr.write(`holon: ${absent}\n`)
}

/** What a run says when it has nowhere to go. */
export function nowhere(answer: PlacementAnswer): HolonError {
  return new HolonError(
    'unavailable',
    `run: no machine fits: ${answer.why}; \`holon run --dry-run\` tells of each`,
  )
}
