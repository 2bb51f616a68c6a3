/**
 * When instances move to better places by themselves (Rebalance=), so that nothing goes to and fro:
 * only in calm, when no machine has come, gone, or kept anybody waiting for a while. Then every
 * unit is looked at, some at a time, until it has no move left to make. After that it is let alone
 * until the machines change; one with Rebalance=load also until its turn comes again.
 *
 * Whether a move is worth it the scheduler decides: only to a place that is better by more than the
 * instance itself, so that no move calls for its reverse.
 */
import type { PlacementRules } from '../../unit/placement-rules.ts'
import { mayMove } from './plan-moves.ts'

/** A machine that is back is believed to stay after this. */
const calmMs = 30_000
/** What was moved shows in loads and reports before more is. */
const roundPauseMs = 10_000
const loadPauseMs = 60_000
const unitsAtOnce = 20
/** In one round: a hundredth of the machines give one away, and a few do in a small fleet. */
const movesMin = 2
const movesShare = 0.01

export interface RebalancingView {
  readonly nowMs: number
  readonly machines: number
  /** No machine is silent that was heard a moment ago. */
  readonly isCalm: boolean
  readonly units: () => readonly string[]
  readonly rulesOf: (unit: string) => PlacementRules | undefined
}

export class Rebalancing {
  /** Units that may have a move to make, the next one first. */
  readonly #left = new Set<string>()
  #turn: ReadonlySet<string> = new Set()
  #movesLeft = 0
  #calmSinceMs: number | undefined
  #isNew = true
  #roundMs = 0
  #loadMs = 0

  /** Machines came, went, or are wanted otherwise: what is where may not be best any more. */
  disturbed(): void {
    this.#isNew = true
    this.#calmSinceMs = undefined
  }

  /** Units to be planned now, which may move. */
  begin({ nowMs, machines, isCalm, units, rulesOf }: RebalancingView): ReadonlySet<string> {
    this.#turn = new Set()
    if (!isCalm) this.#calmSinceMs = undefined
    else this.#calmSinceMs ??= nowMs
    if (this.#calmSinceMs === undefined || nowMs - this.#calmSinceMs < calmMs) return this.#turn
    if (nowMs < this.#roundMs) return this.#turn
    if (this.#isNew || nowMs >= this.#loadMs) {
      for (const unit of units()) {
        const rules = rulesOf(unit)
        if (rules === undefined || !mayMove(rules)) continue
        if (this.#isNew || rules.rebalance === 'load') this.#left.add(unit)
      }
      this.#loadMs = nowMs + loadPauseMs
      this.#isNew = false
    }
    this.#movesLeft = Math.max(movesMin, Math.floor(machines * movesShare))
    this.#turn = new Set([...this.#left].slice(0, unitsAtOnce))
    // Those that cannot move now, for something else is going on, have their turn after the others.
    for (const unit of this.#turn) {
      this.#left.delete(unit)
      this.#left.add(unit)
    }
    return this.#turn
  }

  /** How many instances of the unit may begin to move now. */
  movesMax(unit: string): number {
    return this.#turn.has(unit) ? this.#movesLeft : 0
  }

  /** So many moves of the unit are made. */
  moved(unit: string, moves: number, nowMs: number): void {
    if (moves === 0) this.#left.delete(unit)
    else this.#roundMs = nowMs + roundPauseMs
    this.#movesLeft -= moves
  }
}
