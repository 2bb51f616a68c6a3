/**
 * Whether a unit may be placed on a machine: the filters, in the order in which an operator would
 * want to hear of them. That there is no room comes last, so that a machine refused for it fits
 * otherwise. The answer is a word; sentences are made when somebody asks.
 */

import type { Board } from './board.ts'
import type { BoardMachine } from './board-machine.ts'
import { lacking } from './board-machine.ts'
import type { BoardUnit } from './board-unit.ts'
import { firstUnmet, unmet } from './require.ts'

export type Filter =
  | 'closed'
  | 'avoided'
  | 'unfit'
  | 'require'
  | 'per-node'
  | 'with'
  | 'apart'
  | 'room'

/** The first filter that refuses the machine; undefined where the unit fits. */
export function refusal(
  board: Board,
  unit: BoardUnit,
  machine: BoardMachine,
  avoid: ReadonlySet<string>,
): Filter | undefined {
  const { pool, rules } = unit
  if (!machine.isOpen) return 'closed'
  if (avoid.has(machine.id)) return 'avoided'
  if (unit.unfit.has(machine.id)) return 'unfit'
  if (!pool.has(machine)) return 'require'
  if (firstUnmet(pool.momentary, machine.facts) !== undefined) return 'require'
  if (rules.perNode > 0 && machine.hosted(unit) >= rules.perNode) return 'per-node'
  if (missingCompanion(board, unit, machine) !== undefined) return 'with'
  if (enemy(board, unit, machine) !== undefined) return 'apart'
  const { cpus, memoryBytes } = rules.reserve
  if (cpus === 0 && memoryBytes === 0) return undefined
  return lacking(machine.room, rules.reserve) === undefined ? undefined : 'room'
}

function missingCompanion(board: Board, unit: BoardUnit, machine: BoardMachine) {
  return unit.rules.with.find((name) => {
    const companion = board.units.get(name)
    return companion === undefined || machine.hosted(companion) === 0
  })
}

/** Apart= holds both ways, whichever of the two has the line. */
function enemy(board: Board, unit: BoardUnit, machine: BoardMachine): BoardUnit | undefined {
  if (!board.hasApart) return undefined
  for (const other of machine.units.keys()) {
    if (unit.shuns(other.name) || other.shuns(unit.name)) return other
  }
  return undefined
}

/** What a filter says: to count machines by, and of this machine alone. */
export interface Reason {
  readonly group: string
  readonly why: string
}

/** The filter must be the one that refused it. */
export function reasonFor(
  board: Board,
  unit: BoardUnit,
  machine: BoardMachine,
  filter: Filter,
): Reason {
  const { rules } = unit
  switch (filter) {
    case 'closed':
      return alike(machine.closed ?? '')
    case 'avoided':
      return alike('not again where it is or was')
    case 'unfit':
      return alike(unit.unfit.get(machine.id) ?? '')
    case 'require':
      return requireReason(unit, machine)
    case 'per-node':
      return alike(`with PerNode=${rules.perNode} of it`)
    case 'with':
      return alike(`without ${missingCompanion(board, unit, machine)}`)
    case 'apart':
      return alike(`apart from ${enemy(board, unit, machine)?.name}`)
    case 'room':
      return roomReason(unit, machine)
  }
}

function alike(text: string): Reason {
  return { group: text, why: text }
}

const saidNothing = 'has said nothing of itself yet'

function requireReason({ pool }: BoardUnit, { facts }: BoardMachine): Reason {
  const first = firstUnmet(pool.requirements, facts)
  if (first === undefined) return alike('not open')
  const group = `not ${first.property}${first.comparison}${first.value}`
  const why = unmet([first], facts) ?? ''
  return { group, why: facts.report === undefined ? `${why}, or it ${saidNothing}` : why }
}

function roomReason({ rules }: BoardUnit, machine: BoardMachine): Reason {
  if (machine.facts.report === undefined) return alike(saidNothing)
  const { cpus, memoryBytes } = rules.reserve
  const { room } = machine
  if (lacking(room, rules.reserve) === 'cpus') {
    const left = Math.max(0, room.cpus).toFixed(1)
    return { group: `without room for cpus=${cpus}`, why: `${left} cores are not reserved` }
  }
  const left = gibibytes(Math.max(0, room.memoryBytes))
  const group = `without room for mem=${gibibytes(memoryBytes)}`
  return { group, why: `${left} of memory is not reserved` }
}

function gibibytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.floor(bytes / 2 ** 20)}M` : `${(bytes / 2 ** 30).toFixed(1)}G`
}
