/**
 * What a leader does about one slot, pure: one outcome, or nothing to do.
 *
 * Where an instance must not run twice (`at-most`), a slot is taken from a machine only when it was
 * never claimed, was given back, or the lease behind its claim was broken first. Anything else may
 * run in two places for a while, and does so on purpose: a second place is ready before the first
 * one is given up.
 */
import type { Victim } from '../../sched/make-room.ts'
import type { ObservedLease } from '../lease/observer.ts'
import type { SeenSlot } from './control-view.ts'
import type { NextPlace, SlotEnd, SlotRecord } from './records.ts'
import { hasEnded } from './rounds.ts'
import type { Place, UnitView } from './unit-view.ts'

export interface SlotChange {
  readonly kind: 'slot'
  readonly slot: number
  readonly before: SeenSlot | undefined
  readonly after: SlotRecord | undefined
  /** The lease that must still be as it was seen: a claim is void only while it is. */
  readonly lease?: { readonly machineId: string; readonly revision: number }
  /** Instances of lower priority that give way to this one, in the same txn. */
  readonly victims?: readonly Victim[]
  readonly reason: string
}

export type SlotOutcome =
  | SlotChange
  | {
      readonly kind: 'break'
      readonly slot: number
      readonly machineId: string
      readonly lease: ObservedLease
    }
  | { readonly kind: 'wait'; readonly slot: number; readonly why: string }

/** A slot that should not be. */
export function giveUp(view: UnitView, seen: SeenSlot): SlotOutcome | undefined {
  const { record } = seen
  const reason = view.input.spec?.record.wanted
    ? (view.input.order.mayNotRun ?? 'there are more instances than wanted')
    : 'the unit is not wanted any more'
  if (!record.exclusive) return change(view, seen, undefined, reason)
  if (record.machineId === '') return undefined
  if (!view.isFree(seen)) return askBack(view, seen, reason)
  // Kept for its generation, which must never fall.
  const { unit, slot, generation, spec, exclusive } = record
  const kept = { unit, slot, generation, spec, exclusive, machineId: '', wish: 'stop' } as const
  return change(view, seen, { ...kept, why: reason, atMs: view.context.wallMs }, reason)
}

/** A slot that should be; `onlyOn` when it is there for that machine. */
export function keep(view: UnitView, slot: number, onlyOn?: string): SlotOutcome | undefined {
  const seen = view.input.slots.get(slot)
  if (seen === undefined || seen.record.machineId === '') {
    const { startWaits } = view.input.order
    if (startWaits !== undefined) return wait(slot, startWaits)
    return assign(view, slot, seen, { onlyOn, reason: 'it is wanted and has no place' })
  }
  const { record } = seen
  if (hasEnded(record, view.input.spec?.record)) return undefined
  if (record.ended !== undefined) return anotherRound(view, seen, onlyOn)
  const end = view.endOf(seen)
  if (end !== undefined) return recordEnd(view, seen, end)
  if (view.context.presence(record.machineId) !== 'up') return replaceLost(view, seen, onlyOn)
  if (record.exclusive) return keepExclusive(view, seen)
  if (record.next !== undefined) return withNext(view, seen, record.next)
  return keepAvailable(view, seen, onlyOn)
}

/** From now on only another round starts it, whatever becomes of its machine. */
function recordEnd(view: UnitView, seen: SeenSlot, ended: SlotEnd): SlotOutcome {
  const { next: _, ...record } = seen.record
  return change(view, seen, { ...record, ended }, ended.why)
}

function anotherRound(view: UnitView, seen: SeenSlot, onlyOn: string | undefined): SlotOutcome {
  const { slot, exclusive } = seen.record
  const { by = 'somebody' } = view.input.spec?.record.round ?? {}
  const reason = `round ${view.round}, started by ${by}`
  if (!exclusive || view.isFree(seen)) {
    return assign(view, slot, seen, { reason, onlyOn, isAnotherRound: true })
  }
  if (view.context.leaseIsOverdue(seen.record.machineId)) return takeFromLost(view, seen, reason)
  return wait(slot, `${reason}; its last machine still has a claim to it`)
}

function keepAvailable(
  view: UnitView,
  seen: SeenSlot,
  onlyOn: string | undefined,
): SlotOutcome | undefined {
  const { slot, machineId } = seen.record
  const failure = view.failureOf(seen, onlyOn !== undefined)
  if (failure !== undefined) return assign(view, slot, seen, { reason: failure, failure, onlyOn })
  if (!view.context.isDraining(machineId)) return undefined
  const reason = `${view.context.nameOf(machineId)} is drained`
  return prepareNext(view, seen, reason, (avoid) => freeOrInstead(view, slot, avoid))
}

function replaceLost(
  view: UnitView,
  seen: SeenSlot,
  onlyOn: string | undefined,
): SlotOutcome | undefined {
  const { slot, machineId, exclusive, next } = seen.record
  const { context } = view
  const isGone = context.presence(machineId) === 'gone'
  const name = context.nameOf(machineId)
  const reason = isGone ? `${name} left the fleet` : `${name} is silent`
  const paused = isGone ? undefined : context.evictionsPaused(machineId)
  if (paused !== undefined) return wait(slot, paused)
  if (exclusive) return takeFromLost(view, seen, reason)
  if (next !== undefined && view.isReady(seen, next.machineId)) {
    return promote(view, seen, next, `${reason}; the second place is ready`)
  }
  if (onlyOn === undefined) return assign(view, slot, seen, { reason })
  return isGone ? change(view, seen, undefined, reason) : wait(slot, reason)
}

function keepExclusive(view: UnitView, seen: SeenSlot): SlotOutcome | undefined {
  const { slot, machineId, claim, wish, why } = seen.record
  const { context } = view
  const name = context.nameOf(machineId)
  if (claim !== undefined && context.leaseIsOverdue(machineId)) {
    return takeFromLost(view, seen, `the lease of ${name} was not renewed`)
  }
  const failure = view.failureOf(seen)
  const leaves = failure !== undefined || context.isDraining(machineId)
  if (wish === 'run' && !leaves) return undefined
  const reason = failure ?? (leaves ? `${name} is drained` : why)
  if (view.isFree(seen)) return assign(view, slot, seen, { reason, failure })
  const obstacle = wish === 'run' ? reasonToStay(view, seen) : undefined
  if (obstacle !== undefined) return wait(slot, `${reason}; ${obstacle}`)
  return askBack(view, seen, reason, failure)
}

/** It can only be stopped first and started elsewhere then: not for nothing, and not too many. */
function reasonToStay(view: UnitView, seen: SeenSlot): string | undefined {
  const { slot, machineId } = seen.record
  const place = freeOrInstead(view, slot, new Set([machineId]))
  if (place.kind === 'nowhere' && view.failureOf(seen, true) === undefined) return place.why
  return view.mayEnd(seen) ? undefined : 'there would be fewer than MinInstances='
}

function takeFromLost(view: UnitView, seen: SeenSlot, reason: string): SlotOutcome {
  const { slot, machineId } = seen.record
  if (view.isFree(seen)) return assign(view, slot, seen, { reason })
  const lease = view.context.lease(machineId)
  if (lease !== undefined && view.context.leaseIsOverdue(machineId)) {
    return { kind: 'break', slot, machineId, lease }
  }
  return wait(slot, `${reason}; it may run there until its lease is over`)
}

function askBack(view: UnitView, seen: SeenSlot, reason: string, failure?: string): SlotOutcome {
  const { record } = seen
  if (view.context.leaseIsOverdue(record.machineId)) return takeFromLost(view, seen, reason)
  if (record.wish === 'stop') return wait(record.slot, `${reason}; it is being stopped`)
  const failures = view.failures(seen, failure)
  const after = failures.length === 0 ? record : { ...record, failures }
  return change(view, seen, { ...after, wish: 'stop', why: reason }, reason)
}

interface Assignment {
  readonly reason: string
  readonly onlyOn?: string | undefined
  /** Set when it failed where it is. */
  readonly failure?: string | undefined
  readonly isAnotherRound?: boolean
}

function assign(
  view: UnitView,
  slot: number,
  seen: SeenSlot | undefined,
  { reason, onlyOn, failure, isAnotherRound = false }: Assignment,
): SlotOutcome {
  const { input, context } = view
  const { spec, rules } = input
  if (spec === undefined || rules === undefined) return wait(slot, 'its text cannot be read')
  const goesOn = seen !== undefined && seen.record.machineId !== '' && !isAnotherRound
  const failures = goesOn ? view.failures(seen, failure) : []
  const known = isAnotherRound ? undefined : seen
  const place = onlyOn === undefined ? findPlace(view, slot, known, failure) : only(onlyOn)
  const round = goesOn ? (seen.record.round ?? 0) : view.round
  if (place.kind === 'nowhere') return wait(slot, place.why)
  const after: SlotRecord = {
    unit: input.unit,
    slot,
    machineId: place.machineId,
    generation: nextGeneration(view, seen),
    // A rollout decides when it gets another text, not the loss of a machine.
    spec: goesOn ? seen.record.spec : spec.record.spec,
    exclusive: rules.partition === 'at-most',
    wish: 'run',
    why: `${reason}; ${place.why}`,
    atMs: context.wallMs,
    ...(round === 0 ? {} : { round }),
    ...(failures.length === 0 ? {} : { failures }),
  }
  const made = change(view, seen, after, after.why)
  return place.victims === undefined ? made : { ...made, victims: place.victims }
}

/**
 * A slot that may run twice is forgotten with its generation when it is given up. What its machine
 * still says of that one must not be taken for this one: so it begins with the time.
 */
function nextGeneration({ input, context }: UnitView, seen: SeenSlot | undefined): number {
  if (seen !== undefined) return seen.record.generation + 1
  return input.rules?.partition === 'at-most' ? 1 : Math.floor(context.wallMs)
}

/** Better where it failed before than nowhere; where it is now, after a longer while. */
function findPlace(
  view: UnitView,
  slot: number,
  seen: SeenSlot | undefined,
  failure: string | undefined,
): Place {
  const avoid = new Set(view.failures(seen, failure).map(({ machineId }) => machineId))
  const place = freeOrInstead(view, slot, avoid)
  if (place.kind === 'placed' || seen === undefined || avoid.size === 0) return place
  if (failure === undefined) return view.context.place(slot, new Set())
  const { machineId } = seen.record
  const stays = view.failureOf(seen, true) === undefined || view.context.isDraining(machineId)
  return stays ? place : { kind: 'placed', machineId, why: `${place.why}; it is tried again here` }
}

/** What has to be somewhere is there instead of others, where nothing else is left. */
function freeOrInstead({ context }: UnitView, slot: number, avoid: ReadonlySet<string>): Place {
  const free = context.place(slot, avoid)
  return free.kind === 'placed' ? free : context.placeInstead(slot, avoid, free.why)
}

function only(machineId: string): Place {
  return { kind: 'placed', machineId, why: 'it runs on every machine' }
}

/** Starts it with the wanted text in another place, before it ends where it is. */
export function prepareNext(
  view: UnitView,
  seen: SeenSlot,
  reason: string,
  find = (avoid: ReadonlySet<string>) => view.context.place(seen.record.slot, avoid),
): SlotOutcome {
  const { machineId } = seen.record
  const failed = view.failures(seen).map((failure) => failure.machineId)
  const good = find(new Set([machineId, ...failed]))
  const place = good.kind === 'placed' || failed.length === 0 ? good : find(new Set([machineId]))
  if (place.kind === 'nowhere') return wait(seen.record.slot, `${reason}; ${place.why}`)
  return moveTo(view, seen, place, `${reason}; ${place.why}`)
}

/** Starts it there, with the wanted text; it ends where it is once it is ready there. */
export function moveTo(
  view: UnitView,
  seen: SeenSlot,
  { machineId, victims }: { readonly machineId: string; readonly victims?: readonly Victim[] },
  reason: string,
): SlotChange {
  const { record } = seen
  const spec = view.input.spec?.record.spec ?? record.spec
  const next = { machineId, generation: record.generation + 1, spec }
  const made = change(view, seen, { ...record, next }, reason)
  return victims === undefined ? made : { ...made, victims }
}

function withNext(view: UnitView, seen: SeenSlot, next: NextPlace): SlotOutcome {
  const { context } = view
  const name = context.nameOf(next.machineId)
  if (view.isSettled(seen, next.machineId)) {
    return promote(view, seen, next, `it is ready on ${name}`)
  }
  const hosted = view.hosted(seen, next.machineId)
  const isBad = hosted?.phase === 'failed' || hosted?.phase === 'refused'
  const isLost = context.presence(next.machineId) !== 'up' || context.isDraining(next.machineId)
  if (!isBad && !isLost) return wait(seen.record.slot, `it is being started on ${name}`)
  const { next: _, ...alone } = seen.record
  if (!isBad) return change(view, seen, alone, `${name} is lost`)
  // Not there again soon, if there is another place.
  const failures = view.failures(seen, hosted.why, next.machineId)
  return change(view, seen, { ...alone, failures }, `it did not start on ${name}: ${hosted.why}`)
}

function promote(view: UnitView, seen: SeenSlot, next: NextPlace, reason: string): SlotOutcome {
  const { next: _, ...record } = seen.record
  return change(view, seen, { ...record, ...next, why: reason }, reason)
}

export function wait(slot: number, why: string): SlotOutcome {
  return { kind: 'wait', slot, why }
}

export function change(
  view: UnitView,
  before: SeenSlot | undefined,
  after: SlotRecord | undefined,
  reason: string,
): SlotChange {
  const slot = after?.slot ?? before?.record.slot ?? 0
  const made = { kind: 'slot', slot, before, after: withServes(view, after), reason } as const
  const claim = before?.record.claim
  if (before === undefined || claim === undefined || claim === after?.claim) return made
  const { machineId } = before.record
  const revision = view.context.lease(machineId)?.revision ?? 0
  return { ...made, lease: { machineId, revision } }
}

/** What has the wanted text serves if that says so; what has another one, as it did. */
function withServes({ input }: UnitView, after: SlotRecord | undefined): SlotRecord | undefined {
  const { spec, rules } = input
  if (after === undefined || spec === undefined || rules === undefined) return after
  const { serves: before = false, ...record } = after
  const wanted = spec.record.spec
  const isWanted = record.spec === wanted
  const serves =
    (before && !isWanted) || (rules.serves && (isWanted || record.next?.spec === wanted))
  return serves ? { ...record, serves } : record
}
