/** One unit as a leader plans it: what is wanted and known of it, and the questions about that. */
import type { Victim } from '../../sched/make-room.ts'
import type { Move } from '../../sched/rebalance.ts'
import { minInstances, type PlacementRules, rolloutCount } from '../../unit/placement-rules.ts'
import type { ObservedLease } from '../lease/observer.ts'
import { isVoid } from '../lease/record.ts'
import type { SeenSlot } from './control-view.ts'
import type { HostedInstance } from './host.ts'
import type { UnitOrder } from './plan-dependencies.ts'
import type { NextPlace, SlotEnd, SlotFailure, SlotRecord, SpecRecord, Stored } from './records.ts'
import { roundNumber } from './rounds.ts'

/** `silent`: suspected to be dead. `gone`: not in the fleet any more. */
export type Presence = 'up' | 'silent' | 'gone'

export type Place =
  | {
      readonly kind: 'placed'
      readonly machineId: string
      readonly why: string
      /** Instances of lower priority that have to go for it. */
      readonly victims?: readonly Victim[]
    }
  | { readonly kind: 'nowhere'; readonly why: string }

/** What is known of the fleet while a unit is planned. */
export interface PlanContext {
  readonly nowMs: number
  readonly wallMs: number
  presence(machineId: string): Presence
  /** Set where what is silent is left alone, with the reason: too much is silent at once. */
  evictionsPaused(machineId: string): string | undefined
  isDraining(machineId: string): boolean
  nameOf(machineId: string): string
  /** Whether the machine has said what it runs, since this leader listens. */
  hasReported(machineId: string): boolean
  /** What the machine says of it; undefined when it has said nothing of it. */
  hosted(machineId: string, unit: string, slot: number): HostedInstance | undefined
  lease(machineId: string): ObservedLease | undefined
  leaseIsOverdue(machineId: string): boolean
  /** A place for an instance, and it counts as taken. */
  place(slot: number, avoid: ReadonlySet<string>): Place
  /** The same for one that has none, for that reason, where others go for it. */
  placeInstead(slot: number, avoid: ReadonlySet<string>, why: string): Place
  /** Machines that fit a unit that runs on every one of them. */
  everywhere(): readonly string[]
  /** The slots to give up first. */
  surplus(count: number): readonly number[]
  /** Moves to make, which count as made; absent while nothing is to move. */
  readonly betterPlaces?: (movesMax: number) => readonly Move[]
}

export interface UnitPlanInput {
  readonly unit: string
  readonly spec: Stored<SpecRecord> | undefined
  /** Of the text that is wanted now; undefined when it cannot be read. */
  readonly rules: PlacementRules | undefined
  /** A ready instance counts as settled after this. */
  readonly settleMs: number
  /** An instance that is not ready after this is a bad one, to a rollout. */
  readonly readyTimeoutMs: number
  /** An instance that failed is over: nothing asks for another try. */
  readonly failureEnds: boolean
  readonly slots: ReadonlyMap<number, SeenSlot>
  /** What other units mean for it. */
  readonly order: UnitOrder
  /** For how long it is up with fewer ready than may be; 0 when enough are. */
  readonly lackingMs: number
}

/** A failed instance is tried elsewhere after this, and twice as long each time. */
const failedPauseMs = 10_000
/** A machine that is up has so long to take up what it was given. */
const takeUpMs = 15_000
const failuresKeptMs = 600_000
const failuresMax = 8

export class UnitView {
  readonly input: UnitPlanInput
  readonly context: PlanContext
  /** Of the ready ones, how many this plan ends. */
  #ended = 0
  /** Of all its slots, once it was counted: nothing changes while this plans. */
  #ready: number | undefined
  /** What their machines say of them, but for second places. */
  readonly #hosted = new Map<SeenSlot, HostedInstance | undefined>()

  constructor(input: UnitPlanInput, context: PlanContext) {
    this.input = input
    this.context = context
  }

  /** What the machine says of this very instance, not of one before it. */
  hosted(seen: SeenSlot, machineId: string): HostedInstance | undefined {
    const { record } = seen
    if (machineId === record.next?.machineId) return this.#ask(record, record.next)
    if (machineId !== record.machineId) return undefined
    // Asked often, of many.
    if (!this.#hosted.has(seen)) this.#hosted.set(seen, this.#ask(record, record))
    return this.#hosted.get(seen)
  }

  #ask(
    { unit, slot }: SlotRecord,
    { machineId, generation, spec }: NextPlace,
  ): HostedInstance | undefined {
    const hosted = this.context.hosted(machineId, unit, slot)
    return hosted?.generation === generation && hosted.spec === spec ? hosted : undefined
  }

  get round(): number {
    return roundNumber(this.input.spec?.record)
  }

  /** How it has ended, by itself and for good, as its machine says. */
  endOf(seen: SeenSlot): SlotEnd | undefined {
    const hosted = this.hosted(seen, seen.record.machineId)
    const isEnd =
      hosted?.phase === 'ended' || (hosted?.phase === 'failed' && this.input.failureEnds)
    if (hosted === undefined || !isEnd) return undefined
    const result = hosted.phase === 'ended' ? 'success' : 'failed'
    return { result, atMs: this.context.wallMs, why: hosted.why }
  }

  /** One that was over by itself in this round counts as ready: nobody waits for more of it. */
  isReady(seen: SeenSlot, machineId = seen.record.machineId): boolean {
    if (seen.record.ended !== undefined) return this.#isOfRound(seen)
    if (this.context.presence(machineId) !== 'up') return false
    const phase = this.hosted(seen, machineId)?.phase
    return phase === 'ready' || (phase === 'ended' && this.#isOfRound(seen))
  }

  isSettled(seen: SeenSlot, machineId = seen.record.machineId): boolean {
    if (seen.record.ended !== undefined) return this.#isOfRound(seen)
    if (this.context.presence(machineId) !== 'up') return false
    const hosted = this.hosted(seen, machineId)
    if (hosted?.phase === 'ended') return this.#isOfRound(seen)
    return hosted?.phase === 'ready' && hosted.forMs >= this.input.settleMs
  }

  #isOfRound({ record }: SeenSlot): boolean {
    return (record.round ?? 0) === this.round
  }

  /** What is asked to stop counts no more, whatever its machine last said of it. */
  get #readyCount(): number {
    this.#ready ??= [...this.input.slots.values()].filter(
      (seen) => seen.record.wish === 'run' && this.isReady(seen),
    ).length
    return this.#ready
  }

  /**
   * Whether one that is ready may be ended before another one is; it counts as ended then, for all
   * that is decided after it. `orNever`: it cannot be otherwise, and all others are ready.
   */
  mayEnd(seen: SeenSlot, orNever = false): boolean {
    if (!this.isReady(seen)) return true
    const left = this.#readyCount - this.#ended
    const isAll = () => left === placedCount(this.input.slots)
    if (left <= this.floor && !(orNever && isAll())) return false
    this.#ended += 1
    return true
  }

  /** Never fewer ready instances than this by a decision of ours. */
  get floor(): number {
    const { rules, spec } = this.input
    return rules === undefined ? 0 : minInstances(rules, spec?.record.scale)
  }

  /** How many may be under way at once. */
  get step(): number {
    const { rules, slots } = this.input
    return rules === undefined ? 1 : rolloutCount(rules.rollout, Math.max(1, slots.size))
  }

  /** Nobody has a right to run it: it was not claimed, given back, or its claim is void. */
  isFree({ record }: SeenSlot): boolean {
    if (record.claim === undefined) return true
    return isVoid(this.context.lease(record.machineId)?.lease, record.claim)
  }

  /**
   * Why it is to be tried elsewhere, or again where it is when it is bound to that machine, or no
   * other one fits; undefined while it is well, or it is too early.
   */
  failureOf(seen: SeenSlot, isBound = false): string | undefined {
    const { machineId } = seen.record
    const hosted = this.hosted(seen, machineId)
    const isBad = hosted?.phase === 'failed' || hosted?.phase === 'refused'
    if (hosted !== undefined && !isBad && !seen.record.exclusive) return undefined
    const name = this.context.nameOf(machineId)
    if (!isBound && this.#isNotTakenUp(seen)) return `${name} did not take it up`
    if (hosted === undefined || !isBad) return undefined
    const tries = this.failures(seen).length
    const pauseMs = hosted.phase === 'refused' && !isBound ? 0 : failedPauseMs * 2 ** tries
    if (hosted.forMs < pauseMs && (isBound || tries < failuresMax)) return undefined
    return `it ${hosted.phase === 'failed' ? 'failed' : 'was refused'} on ${name}: ${hosted.why}`
  }

  /** Where it failed lately, with one more if there is. */
  failures(
    seen: SeenSlot | undefined,
    why?: string,
    machineId = seen?.record.machineId ?? '',
  ): readonly SlotFailure[] {
    const { wallMs } = this.context
    const kept = (seen?.record.failures ?? []).filter(({ atMs }) => wallMs - atMs < failuresKeptMs)
    if (seen === undefined || why === undefined) return kept
    return [...kept, { machineId, atMs: wallMs, why }].slice(-failuresMax)
  }

  /** The machine is there and does nothing about it: perhaps it cannot reach the state. */
  #isNotTakenUp(seen: SeenSlot): boolean {
    const { context } = this
    const { unit, slot, machineId, exclusive } = seen.record
    if (context.nowMs - seen.firstSeenMs < takeUpMs) return false
    if (exclusive) return this.isFree(seen)
    return context.hasReported(machineId) && context.hosted(machineId, unit, slot) === undefined
  }
}

function placedCount(slots: UnitPlanInput['slots']): number {
  return [...slots.values()].filter(({ record }) => record.machineId !== '').length
}
