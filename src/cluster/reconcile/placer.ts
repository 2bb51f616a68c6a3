/** What the leader asks of a scheduler; sched/ decides, this names the questions. */

import type { Fitting } from '../../kernel/decisions.ts'
import type { MachineReport } from '../../kernel/types.ts'
import type { Closed } from '../../sched/board-machine.ts'
import type { MakingRoom } from '../../sched/make-room.ts'
import type { Move } from '../../sched/rebalance.ts'
import type { PlacementRules } from '../../unit/placement-rules.ts'
import type { Place } from './unit-view.ts'

export interface PlacerMachine {
  readonly machineId: string
  readonly name: string
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly report: MachineReport | undefined
  /** Why nothing new is placed there; undefined where it may be. */
  readonly closed: Closed | undefined
}

export interface Placer {
  /** All machines, as they are now. */
  setMachines(machines: readonly PlacerMachine[]): void
  /**
   * Where the unit's instances are, second places included: each by slot. `unfit`: machines where
   * it cannot be for what only they know, each with the reason.
   */
  setUnit(
    unit: string,
    rules: PlacementRules | undefined,
    places: readonly { readonly slot: number; readonly machineId: string }[],
    unfit?: ReadonlyMap<string, string>,
  ): void
  /** On one of `among`, where that is given. The place counts as taken until `setUnit`. */
  place(unit: string, slot: number, avoid: ReadonlySet<string>, among?: readonly string[]): Place
  /**
   * For a slot that has no place: where it has one if these of lower priority go. It counts as
   * taken until `setUnit`.
   */
  placeInstead(unit: string, slot: number, avoid: ReadonlySet<string>): MakingRoom | undefined
  /** Machines that would be taken, the best first, at most `countMax`; none of them is. */
  candidates(
    unit: string,
    slot: number,
    avoid: ReadonlySet<string>,
    countMax: number,
  ): readonly string[]
  /** Machines that fit a unit with Global=. */
  everywhere(unit: string): readonly string[]
  /** Moves to better places as Rebalance= allows; they count as taken until `setUnit`. */
  rebalance(unit: string, movesMax: number): readonly Move[]
  /** Which machines would have one more; undefined of a unit that is not placed anywhere. */
  fitting(unit: string): Fitting | undefined
  /** The slots to give up first, for `count` fewer. */
  surplus(unit: string, count: number): readonly number[]
}
