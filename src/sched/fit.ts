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

/** By what a refused machine is counted: "not disk=ssd", "cordoned". */
export function groupOf(
  board: Board,
  unit: BoardUnit,
  machine: BoardMachine,
  filter: Filter,
): string {
  const { rules } = unit
  switch (filter) {
    case 'closed':
      return machine.closed ?? ''
    case 'avoided':
      return 'not again where it is or was'
    case 'unfit':
      return unit.unfit.get(machine.id) ?? ''
    case 'require': {
      const first = firstUnmet(unit.pool.requirements, machine.facts)
      return first === undefined ? '' : `not ${first.property}${first.comparison}${first.value}`
    }
    case 'per-node':
      return `with PerNode=${rules.perNode} of it`
    case 'with':
      return `without ${missingCompanion(board, unit, machine)}`
    case 'apart':
      return `apart from ${enemy(board, unit, machine)?.name}`
    case 'room':
      return lacking(machine.room, rules.reserve) === 'cpus'
        ? `without room for cpus=${rules.reserve.cpus}`
        : `without room for mem=${gibibytes(rules.reserve.memoryBytes)}`
  }
}

/** What there is to say of the one machine, beyond its group; undefined for nothing. */
export function detailOf(
  { pool, rules }: BoardUnit,
  machine: BoardMachine,
  filter: Filter,
): string | undefined {
  if (filter !== 'require' && filter !== 'room') return undefined
  const unknown = 'it has said nothing of itself yet'
  const isKnown = machine.facts.report !== undefined
  if (filter === 'require') {
    const why = unmet(pool.requirements, machine.facts)
    return isKnown ? why : `${why}, and ${unknown}`
  }
  if (!isKnown) return unknown
  const { cpus, memoryBytes } = machine.room
  return lacking(machine.room, rules.reserve) === 'cpus'
    ? `${Math.max(0, cpus).toFixed(1)} cores are not reserved`
    : `${gibibytes(Math.max(0, memoryBytes))} of memory is not reserved`
}

function gibibytes(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.floor(bytes / 2 ** 20)}M` : `${(bytes / 2 ** 30).toFixed(1)}G`
}
