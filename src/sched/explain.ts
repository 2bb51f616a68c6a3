/**
 * Why a unit can be placed where it can, and not elsewhere: machines counted by what refuses them,
 * with examples, so that it says as much of ten thousand machines as of ten. It looks at all of
 * them, so it is made when somebody asks, or when there is no place.
 */

import type { Board } from './board.ts'
import type { BoardUnit } from './board-unit.ts'
import { reasonFor, refusal } from './fit.ts'

export interface Explanation {
  /** All machines that are known. */
  readonly machines: number
  /** Those where it could be placed now. */
  readonly fitting: number
  /** What refuses the others, the commonest first; each machine counts once. */
  readonly refusals: readonly Refusal[]
}

export interface Refusal {
  /** "not disk=ssd", "apart from db.service", "cordoned". */
  readonly why: string
  readonly count: number
  /** Some of them, by name. */
  readonly examples: readonly { readonly machine: string; readonly why: string }[]
}

const groupsMax = 12
const examplesMax = 4

export function explain(
  board: Board,
  unit: BoardUnit,
  avoid: ReadonlySet<string> = new Set(),
): Explanation {
  const groups = new Map<string, { count: number; examples: { machine: string; why: string }[] }>()
  let fitting = 0
  for (const machine of board.machines.values()) {
    const filter = refusal(board, unit, machine, avoid)
    if (filter === undefined) {
      fitting += 1
      continue
    }
    const { group, why } = reasonFor(board, unit, machine, filter)
    const known = groups.get(group)
    const example = { machine: machine.name, why }
    if (known === undefined) groups.set(group, { count: 1, examples: [example] })
    else {
      known.count += 1
      if (known.examples.length < examplesMax) known.examples.push(example)
    }
  }
  const refusals = [...groups]
    .map(([why, { count, examples }]) => ({ why, count, examples: examples.sort(byMachine) }))
    .sort((a, b) => b.count - a.count || (a.why < b.why ? -1 : 1))
  return { machines: board.machines.size, fitting, refusals: bounded(refusals) }
}

function byMachine(a: { readonly machine: string }, b: { readonly machine: string }): number {
  return a.machine < b.machine ? -1 : 1
}

function bounded(refusals: readonly Refusal[]): readonly Refusal[] {
  if (refusals.length <= groupsMax) return refusals
  const rest = refusals.slice(groupsMax - 1)
  const count = rest.reduce((sum, each) => sum + each.count, 0)
  const examples = rest.flatMap((each) => each.examples.slice(0, 1)).slice(0, examplesMax)
  return [...refusals.slice(0, groupsMax - 1), { why: 'for other reasons', count, examples }]
}

/** "no machine fits: of 15, 12 cordoned, 3 not mem>=2G (n4: mem is 1.0G, not >=2G)". */
export function summary({ machines, fitting, refusals }: Explanation): string {
  if (machines === 0) return 'there are no machines'
  const parts = refusals.map(({ why, count, examples: [example] }) => {
    const isTelling = example !== undefined && example.why !== why
    return `${count} ${why}${isTelling ? ` (${example.machine}: ${example.why})` : ''}`
  })
  const fit = fitting === 0 ? 'no machine fits' : `${fitting} fit`
  return parts.length === 0 ? `all ${machines} fit` : `${fit}: of ${machines}, ${parts.join(', ')}`
}
