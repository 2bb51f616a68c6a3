/**
 * Which instances to give up, and which to move. A move is made only to a place that is better by
 * more than the instance itself: where two zones have three and two, or two machines, all is well.
 * So each move brings nearer to the end, and where none is left there is none the next time.
 */
import type { Random } from '../base/random.ts'
import type { Board } from './board.ts'
import type { BoardMachine } from './board-machine.ts'
import type { BoardUnit } from './board-unit.ts'
import { DeadEnds } from './dead-ends.ts'
import { choose } from './place.ts'
import { search } from './search.ts'
import { zoneName } from './zones.ts'

export interface Move {
  readonly slot: number
  readonly from: string
  readonly to: string
  readonly why: string
}

// ---- giving up

/**
 * `count` slots to give up, in this order: those that are on no machine, or on one that is silent
 * or closed; then from where there are most, so that what stays is spread; of equals the highest
 * number.
 */
export function surplus(unit: BoardUnit, count: number): readonly number[] {
  const left = new Map(unit.slots)
  const chosen: number[] = []
  try {
    while (chosen.length < count && left.size > 0) {
      const [slot, machines] = [...left].reduce((a, b) => (isWorse(unit, b, a) ? b : a))
      chosen.push(slot)
      left.delete(slot)
      for (const machine of machines) unit.count(machine, -1)
    }
  } finally {
    for (const slot of chosen)
      for (const machine of unit.slots.get(slot) ?? []) unit.count(machine, 1)
  }
  return chosen
}

type PlacedSlot = readonly [number, readonly BoardMachine[]]

function isWorse(
  unit: BoardUnit,
  [slot, machines]: PlacedSlot,
  [than, others]: PlacedSlot,
): boolean {
  // Where it is going, if it is moving.
  const [a, b] = [machines.at(-1), others.at(-1)]
  const order = loss(a) - loss(b) || (a && b ? compareCrowds(unit, a, b) : 0)
  return order > 0 || (order === 0 && slot > than)
}

function loss(machine: BoardMachine | undefined): number {
  if (machine === undefined) return 3
  if (machine.isOpen) return 0
  return machine.closed === 'silent' ? 2 : 1
}

/** Above 0 where `a` is the more crowded place, on the first level that tells. */
function compareCrowds(unit: BoardUnit, a: BoardMachine, b: BoardMachine): number {
  if (a === b) return 0
  for (const [level, zone] of a.leaf.lineage.entries()) {
    const other = b.leaf.lineage[level]
    if (other === undefined) break
    const order = unit.inZone(zone) - unit.inZone(other)
    if (order !== 0) return order
  }
  const order = a.hosted(unit) - b.hosted(unit)
  return order || Number(unit.prefers(b)) - Number(unit.prefers(a))
}

// ---- moving

/** Of loads that differ by less, the lower one may soon be the higher one. */
const loadStep = 0.5

/**
 * At most `movesMax` moves to better places, as Rebalance= allows. Instances that are moving, and
 * those on closed machines, are left to who moves them.
 */
export function rebalance(
  board: Board,
  random: Random,
  unit: BoardUnit,
  movesMax: number,
): readonly Move[] {
  if (unit.rules.rebalance === 'no' || unit.rules.global) return []
  return new Rebalancer(board, random, unit).moves(movesMax)
}

interface Better {
  readonly machine: BoardMachine
  readonly why: string
}

interface PlaceAtRest {
  readonly slot: number
  readonly from: BoardMachine
}

function placesAtRest(unit: BoardUnit): readonly PlaceAtRest[] {
  return [...unit.slots]
    .flatMap(([slot, [from, next]]) => (from?.isOpen && next === undefined ? [{ slot, from }] : []))
    .sort((a, b) => a.slot - b.slot)
}

class Rebalancer {
  readonly #board: Board
  readonly #random: Random
  readonly #unit: BoardUnit
  readonly #moves = new Map<number, { from: BoardMachine; to: BoardMachine; why: string }>()
  /** Machines whose reports do not tell what they will be like. */
  readonly #unsettled = new Set<BoardMachine>()

  constructor(board: Board, random: Random, unit: BoardUnit) {
    this.#board = board
    this.#random = random
    this.#unit = unit
  }

  moves(movesMax: number): readonly Move[] {
    const unit = this.#unit
    // What is moving counts where it is going, and is let alone.
    const left = [...unit.slots.values()].flatMap((machines) => machines.slice(0, -1))
    for (const machine of left) unit.count(machine, -1)
    try {
      const places = placesAtRest(unit)
      while (this.#round(places, movesMax));
      return [...this.#moves]
        .filter(([, { from, to }]) => from !== to)
        .map(([slot, { from, to, why }]) => ({ slot, from: from.id, to: to.id, why }))
    } finally {
      for (const { from, to } of this.#moves.values()) {
        unit.count(to, -1)
        unit.count(from, 1)
      }
      for (const machine of left) unit.count(machine, 1)
    }
  }

  /** Whether anything moved, so that it is worth another look. */
  #round(places: readonly PlaceAtRest[], movesMax: number): boolean {
    let moved = false
    // What holds for one instance on a machine holds for all there.
    const stays = new Set<BoardMachine>()
    for (const { slot, from } of places) {
      const before = this.#moves.get(slot)
      if (before === undefined && this.#moves.size === movesMax) continue
      const at = before?.to ?? from
      if (stays.has(at)) continue
      this.#unit.count(at, -1)
      const better = this.#betterThan(at)
      this.#unit.count(better?.machine ?? at, 1)
      if (better === undefined) stays.add(at)
      else {
        this.#moves.set(slot, { from, to: better.machine, why: better.why })
        stays.clear()
        moved = true
      }
    }
    return moved
  }

  /** The instance does not count as being anywhere. */
  #betterThan(near: BoardMachine): Better | undefined {
    const unit = this.#unit
    const avoid = new Set<string>()
    if (unit.machines < unit.rules.nodes && near.hosted(unit) > 0) {
      const wish = { avoid, deadEnds: new DeadEnds(), unusedOnly: true }
      const machine = search(this.#board, this.#random, unit, wish)
      const why = `Nodes=${unit.rules.nodes} asks for more machines`
      if (machine !== undefined) return { machine, why }
    }
    const machine = choose(this.#board, this.#random, unit, {
      avoid,
      deadEnds: new DeadEnds(),
      near,
    })
    const why = machine === undefined ? undefined : this.#spreads(near, machine)
    if (machine !== undefined && why !== undefined) return { machine, why }
    return unit.rules.rebalance === 'load' ? this.#lessLoaded(near) : undefined
  }

  /** Why `to` is the better place by spread, at the first level where they part; else undefined. */
  #spreads(near: BoardMachine, to: BoardMachine): string | undefined {
    const unit = this.#unit
    for (const [level, zone] of near.leaf.lineage.entries()) {
      const other = to.leaf.lineage[level]
      if (zone === other) continue
      if (other === undefined || unit.inZone(other) >= unit.inZone(zone)) return undefined
      return `${zoneName(zone)} has ${unit.inZone(zone) + 1} of it, ${zoneName(other)} ${unit.inZone(other)}`
    }
    const [here, there] = [near.hosted(unit), to.hosted(unit)]
    return there < here ? `${near.name} has ${here + 1} of it, ${to.name} ${there}` : undefined
  }

  /** A machine in an equally good place with much less to do, by reports that are up to date. */
  #lessLoaded(near: BoardMachine): Better | undefined {
    const unit = this.#unit
    const isKnown = (machine: BoardMachine) => machine.isSettled && !this.#unsettled.has(machine)
    if (!isKnown(near)) return undefined
    const wish = { avoid: new Set([near.id]), deadEnds: new DeadEnds() }
    const machine = choose(this.#board, this.#random, unit, wish)
    if (machine === undefined || !isKnown(machine)) return undefined
    if (compareCrowds(unit, machine, near) > 0) return undefined
    if (near.load - machine.load < loadStep) return undefined
    this.#unsettled.add(near).add(machine)
    return { machine, why: `${near.name} is much busier than ${machine.name}` }
  }
}
