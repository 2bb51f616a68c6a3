/**
 * Where a unit's instances go: the scheduler's answers, where machines that come into question have
 * said that the unit's conditions hold there. Those that have not are asked, and the unit waits for
 * that: a round trip. What runs somewhere is not asked about again: conditions count for starts.
 */
import type { PlacementRules } from '../../unit/placement-rules.ts'
import type { ConditionAnswers } from './condition-answers.ts'
import type { Placer } from './placer.ts'
import type { Place } from './unit-view.ts'

/** An instance's place, as it is known. */
export interface KnownPlace {
  readonly slot: number
  readonly machineId: string
  /** For how long the machine refuses to start it there; undefined where it does not. */
  readonly refusedForMs: number | undefined
}

/** So many machines are asked at once, to begin with and at most. */
const askedMin = 8
const askedMax = 64

const areAsked: Place = {
  kind: 'nowhere',
  why: 'machines are asked whether its conditions hold there',
}

export class Candidates {
  readonly #placer: Placer
  readonly #answers: ConditionAnswers
  /** By unit and slot, machines that were asked last. */
  readonly #rounds = new Map<string, Map<number, readonly string[]>>()

  constructor(placer: Placer, answers: ConditionAnswers) {
    this.#placer = placer
    this.#answers = answers
  }

  /** Before the other questions about the unit, each time. */
  setUnit(
    unit: string,
    rules: PlacementRules | undefined,
    places: readonly KnownPlace[],
    nowMs: number,
  ): void {
    this.#answers.setUnit(unit, rules?.conditions ?? [])
    if (rules === undefined) this.#rounds.delete(unit)
    for (const { machineId, refusedForMs } of places) {
      if (refusedForMs !== undefined) this.#answers.forget(unit, machineId, nowMs - refusedForMs)
    }
    const kept = places.filter(({ refusedForMs }) => refusedForMs === undefined)
    this.#placer.setUnit(unit, rules, places, this.#unfit(unit, kept))
  }

  /** In rounds: the best few are asked, and the best one that said yes is taken. */
  place(unit: string, slot: number, avoid: ReadonlySet<string>): Place {
    const round = this.#rounds.get(unit)?.get(slot)
    if (round?.some((machineId) => this.#answers.isAsking(unit, machineId))) return areAsked
    this.#rounds.get(unit)?.delete(slot)
    const unfit = this.#answers.unfit(unit)
    const willing = (round ?? []).filter((machineId) => {
      return !unfit.has(machineId) && !this.#answers.mustAsk(unit, machineId)
    })
    if (willing.length > 0) {
      const place = this.#placer.place(unit, slot, avoid, willing)
      if (place.kind === 'placed') return place
    }
    const place = this.#placer.place(unit, slot, avoid)
    if (place.kind === 'nowhere' || !this.#answers.mustAsk(unit, place.machineId)) return place
    const wanted = Math.min(askedMax, Math.max(askedMin, unfit.size))
    const others = this.#placer.candidates(unit, slot, avoid, wanted)
    const asked = [...new Set([place.machineId, ...others])]
    const rounds = this.#rounds.get(unit) ?? new Map<number, readonly string[]>()
    this.#rounds.set(unit, rounds.set(slot, asked))
    const unknown = asked.filter((machineId) => this.#answers.mustAsk(unit, machineId))
    this.#answers.ask(unit, unknown)
    return areAsked
  }

  /** Where none has room, and instances of lower priority give way: that machine is asked, too. */
  placeInstead(unit: string, slot: number, avoid: ReadonlySet<string>, why: string): Place {
    const round = this.#rounds.get(unit)?.get(slot)
    if (round?.some((machineId) => this.#answers.isAsking(unit, machineId))) return areAsked
    const way = this.#placer.placeInstead(unit, slot, avoid)
    if (way === undefined) return { kind: 'nowhere', why }
    const { machineId, victims } = way
    if (!this.#answers.mustAsk(unit, machineId)) {
      const names = victims.map((victim) => `${victim.unit}/${victim.slot}`)
      return { kind: 'placed', machineId, why: `instead of ${names.join(', ')}`, victims }
    }
    this.#answers.ask(unit, [machineId])
    return areAsked
  }

  /** Machines that fit a unit with Global=: those that have it, and those that said so. */
  everywhere(unit: string, places: readonly KnownPlace[]): readonly string[] {
    const present = new Set(places.map(({ machineId }) => machineId))
    const asked: string[] = []
    const fitting = this.#placer.everywhere(unit).filter((machineId) => {
      if (present.has(machineId) || !this.#answers.mustAsk(unit, machineId)) return true
      if (asked.length < askedMax) asked.push(machineId)
      return false
    })
    this.#answers.ask(unit, asked)
    return fitting
  }

  surplus(unit: string, count: number): readonly number[] {
    return this.#placer.surplus(unit, count)
  }

  /** What is there stays, whatever its machine would say now. */
  #unfit(unit: string, kept: readonly KnownPlace[]): ReadonlyMap<string, string> | undefined {
    const unfit = this.#answers.unfit(unit)
    if (unfit.size === 0) return undefined
    if (!kept.some(({ machineId }) => unfit.has(machineId))) return unfit
    const without = new Map(unfit)
    for (const { machineId } of kept) without.delete(machineId)
    return without
  }
}
