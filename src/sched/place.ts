/**
 * Where an instance goes: the filters of fit.ts, the order of search.ts. Where nothing has room for
 * it, another question names instances of lower priority that would have to go. Changes nothing on
 * the board.
 */
import type { Random } from '../base/random.ts'
import type { Board } from './board.ts'
import type { BoardMachine } from './board-machine.ts'
import type { BoardUnit } from './board-unit.ts'
import { DeadEnds } from './dead-ends.ts'
import { explain, summary } from './explain.ts'
import { type MakingRoom, makeRoom } from './make-room.ts'
import { search, type Wish } from './search.ts'
import { zoneName } from './zones.ts'

export type Place =
  | { readonly kind: 'placed'; readonly machineId: string; readonly why: string }
  | { readonly kind: 'nowhere'; readonly why: string }

/**
 * A place for the instance of `slot`, which may have one and is to leave it: it does not count as
 * being there. Never on a machine that `avoid` names; on one of `among`, where that is given.
 */
export function place(
  board: Board,
  random: Random,
  unit: BoardUnit,
  slot: number,
  avoid: ReadonlySet<string>,
  among?: readonly string[],
): Place {
  return asIfItLeft(unit, slot, (leaving) => {
    const isUsual = among === undefined && isAsEver(board, leaving, avoid)
    const deadEnds = isUsual ? knownDeadEnds(board, unit) : new DeadEnds()
    const machine = choose(board, random, unit, { avoid, among, deadEnds })
    if (machine !== undefined) {
      return { kind: 'placed', machineId: machine.id, why: whyHere(unit, machine) }
    }
    deadEnds.nowhere ??= summary(explain(board, unit, avoid))
    return { kind: 'nowhere', why: deadEnds.nowhere }
  })
}

/** For a slot that has no place: where it would have one, and who would have to go. */
export function placeInstead(
  board: Board,
  unit: BoardUnit,
  slot: number,
  avoid: ReadonlySet<string>,
): MakingRoom | undefined {
  return asIfItLeft(unit, slot, (leaving) => {
    const isUsual = isAsEver(board, leaving, avoid)
    const deadEnds = isUsual ? knownDeadEnds(board, unit) : new DeadEnds()
    if (deadEnds.isHopeless) return undefined
    const makingRoom = makeRoom(board, unit, avoid)
    deadEnds.isHopeless = makingRoom === undefined
    return makingRoom
  })
}

/** The slot's instance, if it has a place, does not count as being there. */
function asIfItLeft<T>(
  unit: BoardUnit,
  slot: number,
  ask: (leaving: readonly BoardMachine[]) => T,
): T {
  const leaving = unit.slots.get(slot) ?? []
  for (const machine of leaving) unit.count(machine, -1)
  try {
    return ask(leaving)
  } finally {
    for (const machine of leaving) unit.count(machine, 1)
  }
}

/** Nothing but the board decides. Machines that are closed anyway need no avoiding. */
function isAsEver(
  board: Board,
  leaving: readonly BoardMachine[],
  avoid: ReadonlySet<string>,
): boolean {
  const isShut = (machineId: string) => board.machines.get(machineId)?.isOpen !== true
  return [...avoid].every(isShut) && leaving.every(({ isOpen }) => !isOpen)
}

/** With requirements of the moment, or other units, any change may loosen it. */
function knownDeadEnds(board: Board, { deadEnds, pool, rules }: BoardUnit): DeadEnds {
  const isSteady = pool.momentary.length === 0 && rules.with.length === 0
  return deadEnds.asOf(isSteady ? board.loosened : board.version)
}

/** Nodes= comes before all else: machines without an instance, while there are too few with one. */
export function choose(
  board: Board,
  random: Random,
  unit: BoardUnit,
  wish: Wish,
): BoardMachine | undefined {
  const unused =
    unit.machines < unit.rules.nodes
      ? search(board, random, unit, { ...wish, unusedOnly: true })
      : undefined
  return unused ?? search(board, random, unit, wish)
}

function whyHere(unit: BoardUnit, machine: BoardMachine): string {
  const { facts, leaf, name } = machine
  const others = `${machine.hosted(unit)} of it`
  const zone = facts.zone === '' ? '' : `, ${zoneName(leaf)} ${unit.inZone(leaf)}`
  const preferred = unit.prefers(machine) ? ', as preferred' : ''
  const { report } = facts
  const load =
    report === undefined ? '' : `; load ${report.load1.toFixed(2)} of ${report.cpuCount} cores`
  return `${name} has ${others}${zone}${preferred}${load}`
}
