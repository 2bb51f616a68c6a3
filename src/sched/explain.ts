/**
 * Why a unit can be placed where it can, and not elsewhere: machines counted by what refuses them,
 * with examples, so that it says as much of ten thousand machines as of ten. It looks at all of
 * them, so it is made when somebody asks, or when there is no place.
 */
import type { Fitting, Refusal, RefusedMachine } from '../kernel/decisions.ts'
import type { Board } from './board.ts'
import type { BoardUnit } from './board-unit.ts'
import { detailOf, groupOf, refusal } from './fit.ts'

const groupsMax = 12
const examplesMax = 4

export function explain(
  board: Board,
  unit: BoardUnit,
  avoid: ReadonlySet<string> = new Set(),
): Fitting {
  const groups = new Map<string, { count: number; readonly examples: RefusedMachine[] }>()
  let fitting = 0
  for (const machine of board.machines.values()) {
    const filter = refusal(board, unit, machine, avoid)
    if (filter === undefined) {
      fitting += 1
      continue
    }
    const why = groupOf(board, unit, machine, filter)
    const group = groups.get(why) ?? { count: 0, examples: [] }
    groups.set(why, group)
    group.count += 1
    if (group.examples.length >= examplesMax) continue
    const detail = detailOf(unit, machine, filter)
    group.examples.push({ machine: machine.name, ...(detail === undefined ? {} : { detail }) })
  }
  const refusals = [...groups]
    .map(([why, { count, examples }]) => ({ why, count, examples: examples.sort(byMachine) }))
    .sort((a, b) => b.count - a.count || (a.why < b.why ? -1 : 1))
  return { machines: board.machines.size, fitting, refusals: bounded(refusals) }
}

function byMachine(a: RefusedMachine, b: RefusedMachine): number {
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
export function summary({ machines, fitting, refusals }: Fitting): string {
  if (machines === 0) return 'there are no machines'
  const parts = refusals.map(({ why, count, examples: [example] }) => {
    const { machine, detail } = example ?? {}
    return `${count} ${why}${detail === undefined ? '' : ` (${machine}: ${detail})`}`
  })
  const fit = fitting === 0 ? 'no machine fits' : `${fitting} fit`
  return parts.length === 0 ? `all ${machines} fit` : `${fit}: of ${machines}, ${parts.join(', ')}`
}
