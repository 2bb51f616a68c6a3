/**
 * What a leader does about one unit, pure: what is wanted, where its instances belong and what the
 * machines say of them give the changes to make now, each with its reason. At most one change for a
 * slot; what follows from it is decided when it was made.
 */
import { instancesWanted, type PlacementRules } from '../../unit/placement-rules.ts'
import { planMoves } from './plan-moves.ts'
import { planRollout } from './plan-rollout.ts'
import { giveUp, keep, type SlotOutcome, wait } from './plan-slot.ts'
import type { RoundRecord, SpecRecord } from './records.ts'
import { hasEnded, isEarlier, isOver } from './rounds.ts'
import { type PlanContext, type UnitPlanInput, UnitView } from './unit-view.ts'

export type UnitChange =
  | Exclude<SlotOutcome, { readonly kind: 'wait' }>
  | {
      readonly kind: 'spec'
      readonly after: SpecRecord
      /** For those who read decisions: "rollout to 3: done". */
      readonly what: string
      readonly reason: string
    }

type SpecUpdate = Extract<UnitChange, { kind: 'spec' }>

/** A unit is not up any more when too few of it are ready for longer than this. */
const lackingMsMax = 30_000

export interface UnitPlan {
  readonly unit: string
  readonly changes: readonly UnitChange[]
  /** What cannot be done now, and why: by slot. */
  readonly waiting: ReadonlyMap<number, string>
  /** It is up, and fewer of it are ready than may be. */
  readonly isLacking: boolean
}

export function planUnit(input: UnitPlanInput, context: PlanContext): UnitPlan {
  const view = new UnitView(input, context)
  const { unit, spec: stored, rules, slots } = input
  // A text that cannot be read stops nothing.
  if (stored?.record.wanted && rules === undefined) {
    return { unit, changes: [], waiting: new Map(), isLacking: false }
  }
  const { mayNotRun, stopWaits } = input.order
  const all = wantedSlots(view)
  const wanted = mayNotRun === undefined ? all : new Map<number, string | undefined>()
  const outcomes: SlotOutcome[] = []
  for (const [slot, seen] of slots) {
    if (wanted.has(slot)) continue
    const isHeld = stopWaits !== undefined && seen.record.machineId !== ''
    outcomes.push(...some(isHeld ? wait(slot, stopWaits) : giveUp(view, seen)))
  }
  for (const [slot, onlyOn] of wanted) outcomes.push(...some(keep(view, slot, onlyOn)))
  if (outcomes.length === 0 && wanted.size === 0) outcomes.push(...some(nowhere(view)))
  if (mayNotRun !== undefined) {
    for (const slot of all.keys()) if (!slots.has(slot)) outcomes.push(wait(slot, mayNotRun))
  }
  const gentle = notTooManyMoves(view, outcomes)
  const rollout = planRollout(view, new Set(gentle.map(({ slot }) => slot)))
  const spec = rollout.spec ?? planUp(view, [...all.keys()]) ?? endOfRound(view, wanted.keys())
  const others = [...gentle, ...rollout.slots]
  const moves = others.length === 0 && spec === undefined ? planMoves(view) : []
  return collect(view, [...wanted.keys()], [...others, ...moves], spec)
}

function some(outcome: SlotOutcome | undefined): readonly SlotOutcome[] {
  return outcome === undefined ? [] : [outcome]
}

function collect(
  view: UnitView,
  wanted: readonly number[],
  outcomes: readonly SlotOutcome[],
  spec: SpecUpdate | undefined,
): UnitPlan {
  const changes: UnitChange[] = spec === undefined ? [] : [spec]
  const waiting = new Map<number, string>()
  const settled = new Set<number>()
  for (const outcome of outcomes) {
    settled.add(outcome.slot)
    if (outcome.kind === 'wait') waiting.set(outcome.slot, outcome.why)
    else changes.push(outcome)
  }
  // What is not ready is looked at again: that it takes too long is no event.
  for (const slot of wanted) {
    const seen = view.input.slots.get(slot)
    if (seen === undefined || settled.has(slot) || view.isReady(seen)) continue
    waiting.set(slot, `it is not ready yet on ${view.context.nameOf(seen.record.machineId)}`)
  }
  return { unit: view.input.unit, changes, waiting, isLacking: isLacking(view, wanted.length) }
}

/**
 * Whether the unit is up, for those that wait for it or are bound to it. It takes a while until it
 * counts as not up any more: a lost instance is replaced sooner.
 */
function planUp(view: UnitView, wanted: readonly number[]): SpecUpdate | undefined {
  const { order, spec, slots, lackingMs } = view.input
  if (!order.isAwaited || spec === undefined || !spec.record.wanted) return undefined
  const { record } = spec
  if (record.up) {
    if (lackingMs < lackingMsMax) return undefined
    const reason = 'too few of it are ready, for too long'
    return { kind: 'spec', after: { ...record, up: false }, what: 'not up', reason }
  }
  const isUp = wanted.every((slot) => {
    const seen = slots.get(slot)
    if (seen === undefined || seen.record.machineId === '') return false
    return seen.record.wish === 'run' && view.isSettled(seen)
  })
  if (!isUp) return undefined
  const reason = 'all of its instances are ready'
  return { kind: 'spec', after: { ...record, up: true }, what: 'up', reason }
}

/** What is not known of, or is left where it is for a fault of the network, may well be ready. */
function isLacking(view: UnitView, wanted: number): boolean {
  const { context, input } = view
  if (!input.order.isAwaited || input.spec?.record.up !== true) return false
  const maybe = [...input.slots.values()].filter((seen) => {
    const { machineId, ended } = seen.record
    if (ended !== undefined) return true
    const presence = context.presence(machineId)
    if (presence === 'up') return !context.hasReported(machineId) || view.isReady(seen)
    return presence === 'silent' && context.evictionsPaused(machineId) !== undefined
  })
  return maybe.length < Math.min(wanted, Math.max(1, view.floor))
}

/** Second places are made some at a time, as a rollout goes. */
function notTooManyMoves(view: UnitView, outcomes: readonly SlotOutcome[]): readonly SlotOutcome[] {
  let room = view.step
  for (const { record } of view.input.slots.values()) if (record.next !== undefined) room -= 1
  return outcomes.map((outcome) => {
    const isMove =
      outcome.kind === 'slot' && outcome.after?.next !== undefined && !outcome.before?.record.next
    if (!isMove) return outcome
    room -= 1
    return room >= 0 ? outcome : wait(outcome.slot, `${outcome.reason}; others move first`)
  })
}

/** Slots that should be, each with its machine where it is there for that machine. */
function wantedSlots(view: UnitView): ReadonlyMap<number, string | undefined> {
  const { spec, rules, slots } = view.input
  if (spec === undefined || rules === undefined || !spec.record.wanted) return new Map()
  const earlier = new Set<number>()
  const own = new Set<number>()
  const ended = new Set<number>()
  for (const [slot, { record }] of slots) {
    if (isEarlier(record, spec.record)) earlier.add(slot)
    else if (record.ended !== undefined && !hasEnded(record, spec.record)) ended.add(slot)
    else if (record.machineId !== '') own.add(slot)
  }
  // What is over is over: nothing is started for it any more, and nothing taken from it.
  if (isOver(spec.record)) return new Map([...own, ...earlier].map((slot) => [slot, undefined]))
  if (rules.global) return wantedEverywhere(view, rules, earlier)
  const count = instancesWanted(rules, spec.record.scale)
  if (own.size > count) for (const slot of view.context.surplus(own.size - count)) own.delete(slot)
  for (const slot of ended) if (own.size < count) own.add(slot)
  for (let slot = 1; own.size < count; slot++) if (!earlier.has(slot)) own.add(slot)
  const inOrder = [...own, ...earlier].sort((a, b) => a - b)
  return new Map(inOrder.map((slot) => [slot, undefined]))
}

function wantedEverywhere(
  { context, input: { slots } }: UnitView,
  { perNode }: PlacementRules,
  earlier: ReadonlySet<number>,
): ReadonlyMap<number, string> {
  const missing = new Map<string, number>()
  for (const machineId of context.everywhere()) missing.set(machineId, Math.max(1, perNode))
  const wanted = new Map<number, string>()
  for (const [slot, { record }] of slots) {
    if (earlier.has(slot)) wanted.set(slot, record.machineId)
    const left = missing.get(record.machineId) ?? 0
    if (left === 0 || earlier.has(slot)) continue
    missing.set(record.machineId, left - 1)
    wanted.set(slot, record.machineId)
  }
  let slot = 1
  for (const [machineId, left] of missing) {
    for (let i = 0; i < left; i++) {
      while (wanted.has(slot) || slots.has(slot)) slot += 1
      wanted.set(slot, machineId)
    }
  }
  return wanted
}

/** What is to be on every machine, and fits none: that is said of its first instance. */
function nowhere({ context, input: { spec, rules } }: UnitView): SlotOutcome | undefined {
  if (!rules?.global || spec?.record.wanted !== true || isOver(spec.record)) return undefined
  const place = context.place(1, new Set())
  return wait(1, place.kind === 'nowhere' ? place.why : 'machines are asked whether it fits')
}

/** The end of the round, when every instance that is wanted in it has ended. */
function endOfRound(
  { input: { spec, slots }, context }: UnitView,
  wanted: Iterable<number>,
): Extract<UnitChange, { kind: 'spec' }> | undefined {
  if (spec === undefined || !spec.record.wanted || isOver(spec.record)) return undefined
  let count = 0
  for (const slot of wanted) {
    const seen = slots.get(slot)
    if (seen !== undefined && isEarlier(seen.record, spec.record)) continue
    if (seen === undefined || !hasEnded(seen.record, spec.record)) return undefined
    count += 1
  }
  if (count === 0) return undefined
  const { changedAtMs, by } = spec.record
  const begun: RoundRecord = spec.record.round ?? { number: 0, atMs: changedAtMs, by }
  const round = { ...begun, endedAtMs: context.wallMs }
  const reason = `every instance of round ${round.number}, started by ${round.by}, has ended`
  return { kind: 'spec', after: { ...spec.record, round }, what: 'over', reason }
}
