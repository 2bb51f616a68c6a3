/**
 * The scheduler as its caller sees it: it is told what there is, and answers where instances go. It
 * keeps what it was told on a board, so that telling it again what it knows costs little. What it
 * answers is a proposal: whoever asks writes it down, or does not, and says so by `setUnit`.
 */

import { assert } from '../base/assert.ts'
import type { Random } from '../base/random.ts'
import type { Fitting } from '../kernel/decisions.ts'
import type { PlacementRules } from '../unit/placement-rules.ts'
import { Board } from './board.ts'
import type { MachineFacts } from './board-machine.ts'
import type { BoardUnit, Unfit } from './board-unit.ts'
import { explain } from './explain.ts'
import { refusal } from './fit.ts'
import type { MakingRoom } from './make-room.ts'
import { type Place, place, placeInstead } from './place.ts'
import { type Move, rebalance, surplus } from './rebalance.ts'

/** An instance and its machine; a slot that is moving has two. */
export interface PlacedInstance {
  readonly slot: number
  readonly machineId: string
}

const nothing: ReadonlySet<string> = new Set()

export class Scheduler {
  readonly #random: Random
  readonly #board = new Board()

  constructor(random: Random) {
    this.#random = random
  }

  /** All machines, as they are now. */
  setMachines(machines: readonly MachineFacts[]): void {
    const known = new Set<string>()
    for (const machine of machines) {
      known.add(machine.machineId)
      this.#board.setMachine(machine)
    }
    if (known.size === this.#board.machines.size) return
    for (const machineId of [...this.#board.machines.keys()]) {
      if (!known.has(machineId)) this.#board.removeMachine(machineId)
    }
  }

  /**
   * A unit's rules and where all its instances are. Without rules they stay what they were.
   * `unfit`: machines where it cannot be for what only they know, like a Condition…= that does not
   * hold.
   */
  setUnit(
    name: string,
    rules: PlacementRules | undefined,
    places: readonly PlacedInstance[],
    unfit?: Unfit,
  ): void {
    const board = this.#board
    const known = board.units.get(name)
    if (rules === undefined && places.length === 0) {
      if (known !== undefined) board.removeUnit(known)
      return
    }
    const unit = rules === undefined ? board.unit(name) : board.setUnit(name, rules, unfit)
    const bySlot = new Map<number, Set<string>>()
    for (const { slot, machineId } of places) {
      const machines = bySlot.get(slot)
      if (machines === undefined) bySlot.set(slot, new Set([machineId]))
      else machines.add(machineId)
    }
    for (const [slot, machines] of [...unit.slots]) {
      const wanted = bySlot.get(slot)
      for (const machine of machines) if (!wanted?.has(machine.id)) board.take(unit, slot, machine)
      if (wanted === undefined) unit.slots.delete(slot)
    }
    for (const [slot, wanted] of bySlot) this.#putAll(unit, slot, wanted)
  }

  #putAll(unit: BoardUnit, slot: number, machineIds: ReadonlySet<string>): void {
    // The slot is known even where its machine is not any more.
    if (!unit.slots.has(slot)) unit.slots.set(slot, [])
    for (const machineId of machineIds) {
      const machine = this.#board.machines.get(machineId)
      if (machine !== undefined) this.#board.put(unit, slot, machine)
    }
  }

  /**
   * A place for the slot's instance, on none of the machines that `avoid` names; on one of `among`,
   * where that is given. The place counts as taken, beside the one that the slot may have, until
   * `setUnit` says otherwise.
   */
  place(
    name: string,
    slot: number,
    avoid: ReadonlySet<string> = nothing,
    among?: readonly string[],
  ): Place {
    const unit = this.#unit(name)
    const answer = place(this.#board, this.#random, unit, slot, avoid, among)
    if (answer.kind === 'placed') this.#putAll(unit, slot, new Set([answer.machineId]))
    return answer
  }

  /**
   * For a slot that has no place: where it has one if instances of lower priority go, no more of
   * them than needed. The place counts as taken, beside theirs, until `setUnit` says otherwise.
   */
  placeInstead(
    name: string,
    slot: number,
    avoid: ReadonlySet<string> = nothing,
  ): MakingRoom | undefined {
    const unit = this.#unit(name)
    const answer = placeInstead(this.#board, unit, slot, avoid)
    if (answer !== undefined) this.#putAll(unit, slot, new Set([answer.machineId]))
    return answer
  }

  /** Machines that `place` would take, one after the other, at most `countMax`; none is taken. */
  candidates(
    name: string,
    slot: number,
    avoid: ReadonlySet<string>,
    countMax: number,
  ): readonly string[] {
    const unit = this.#unit(name)
    const found = new Set<string>()
    while (found.size < countMax) {
      const answer = place(this.#board, this.#random, unit, slot, avoid.union(found))
      if (answer.kind === 'nowhere') break
      found.add(answer.machineId)
    }
    return [...found]
  }

  /**
   * Machines, by name, for a unit with Global=: all that fit; and those where it is that are closed
   * or full now, but for the ones that are drained.
   */
  everywhere(name: string): readonly string[] {
    const unit = this.#unit(name)
    return [...this.#board.machines.values()]
      .filter((machine) => {
        const filter = refusal(this.#board, unit, machine, nothing)
        if (filter === undefined) return true
        if (machine.hosted(unit) === 0 || machine.closed === 'draining') return false
        return filter === 'closed' || filter === 'per-node' || filter === 'room'
      })
      .sort((a, b) => (a.name < b.name ? -1 : 1))
      .map(({ id }) => id)
  }

  /** The slots to give up first, for `count` fewer. */
  surplus(name: string, count: number): readonly number[] {
    return surplus(this.#unit(name), count)
  }

  /**
   * Moves to better places that Rebalance= allows, at most `movesMax`. The new places count as
   * taken, beside the old ones, until `setUnit` says otherwise.
   */
  rebalance(name: string, movesMax: number): readonly Move[] {
    const unit = this.#unit(name)
    const moves = rebalance(this.#board, this.#random, unit, movesMax)
    for (const { slot, to } of moves) this.#putAll(unit, slot, new Set([to]))
    return moves
  }

  /** Which machines would have one more; undefined of a unit that is not placed anywhere. */
  fitting(name: string): Fitting | undefined {
    const unit = this.#board.units.get(name)
    return unit === undefined ? undefined : explain(this.#board, unit, nothing)
  }

  #unit(name: string): BoardUnit {
    const unit = this.#board.units.get(name)
    assert(unit !== undefined, `setUnit() comes before questions about ${name}`)
    return unit
  }
}
