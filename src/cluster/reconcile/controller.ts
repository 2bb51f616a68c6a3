/**
 * The leader's work: look at what is wanted and what is there, plan unit by unit, and write the
 * plan as txns on exactly what was looked at. Runs when something changed, and now and then.
 *
 * A leader that dies in the middle leaves whole txns behind; its successor plans from what they
 * made of the state. One that was deposed and does not know it yet conflicts, and learns by that.
 */
import { type Clock, deadline, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { MachineReport } from '../../kernel/types.ts'
import type { Closed } from '../../sched/board-machine.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { Condition, Delete, Put, State } from '../../state/port.ts'
import type { PlacementRules } from '../../unit/placement-rules.ts'
import type { UnitDependency } from '../../unit/service-unit.ts'
import { isTimerName, type TimerUnit } from '../../unit/timer-unit.ts'
import { type LeaseRecord, leaseKey } from '../lease/record.ts'
import { Candidates, type KnownPlace } from './candidates.ts'
import { ConditionAnswers, type ConditionAnswersDeps } from './condition-answers.ts'
import type { ControlView } from './control-view.ts'
import { Dependencies } from './dependencies.ts'
import { evictionPause } from './eviction.ts'
import type { Placer } from './placer.ts'
import type { SpecChange } from './plan-dependencies.ts'
import type { SlotChange } from './plan-slot.ts'
import { planUnit, type UnitChange, type UnitPlan } from './plan-unit.ts'
import { machinesOf, slotChange, specKey, textKey } from './records.ts'
import type { Reports } from './reports.ts'
import { isEarlier, roundNumber } from './rounds.ts'
import { Timers } from './timers.ts'
import type { PlanContext, Presence } from './unit-view.ts'

/** A machine of the fleet, as the leader sees it. */
export interface ControlledMachine {
  readonly machineId: string
  readonly name: string
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly presence: Presence
  /** How long it has been so. */
  readonly forMs: number
  /** It was not heard when it should have been: it may be silent soon. */
  readonly doubted: boolean
  readonly report: MachineReport | undefined
}

/** What the text of a unit says that the leader must know. */
export interface UnitFacts {
  readonly rules: PlacementRules
  readonly settleMs: number
  readonly readyTimeoutMs: number
  readonly dependencies: readonly UnitDependency[]
  /** Whether an instance that has failed for good is over, and not tried elsewhere. */
  readonly failureEnds: 'always' | 'by-timer' | 'never'
}

export interface ControllerDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly view: ControlView
  readonly reports: Reports
  readonly placer: Placer
  readonly machines: () => readonly ControlledMachine[]
  /** Rejects when the text cannot be had or read. */
  readonly facts: (unit: string, spec: number, signal: AbortSignal) => Promise<UnitFacts>
  readonly text: (unit: string, spec: number, signal: AbortSignal) => Promise<string>
  /** What a machine says of a unit's conditions. */
  readonly askConditions: ConditionAnswersDeps['ask']
  readonly timer: (name: string, spec: number, signal: AbortSignal) => Promise<TimerUnit>
  /** The same on all machines of one fleet, and of no other. */
  readonly seed: string
  readonly decided: (unit: string, what: string, why: string, slot?: number) => void
  readonly report: (message: string) => void
}

const tickMs = 500
/** What changes together is looked at together. */
const gatherMs = 20
const commitTimeoutMs = 5_000
/** Slots in one txn: each is up to four changes. */
const slotsInTxnMax = 30
const txnsAtOnce = 8

export class Controller implements Disposable {
  readonly #deps: ControllerDeps
  readonly #writer: string
  readonly #life = new AbortController()
  readonly #dirty = new Set<string>()
  /** Units whose text could not be read: tried again with the next tick. */
  readonly #unread = new Set<string>()
  readonly #waiting = new Map<string, ReadonlyMap<number, string>>()
  readonly #facts = new Map<
    string,
    { readonly spec: number; readonly facts: UnitFacts | undefined }
  >()
  readonly #answers: ConditionAnswers
  readonly #candidates: Candidates
  readonly #dependencies: Dependencies
  readonly #timers: Timers
  #presence = new Map<string, string>()
  #leads = false
  #timer: Timer | undefined
  #running = false

  constructor(deps: ControllerDeps, writer: string) {
    this.#deps = deps
    this.#writer = writer
    const { clock, askConditions: ask, placer } = deps
    this.#answers = new ConditionAnswers({ clock, ask, changed: (unit) => this.changed(unit) })
    this.#candidates = new Candidates(placer, this.#answers)
    this.#dependencies = new Dependencies({
      ...deps,
      nameOf: (id) => this.#nameOf(id),
      waiting: (unit) => this.waiting(unit),
    })
    this.#timers = new Timers({
      ...deps,
      commit: (conditions, then) => this.#commit(conditions, then),
      isPlaced: (unit) => this.#isPlaced(unit),
      changed: (unit) => this.changed(unit),
    })
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#timer?.[Symbol.dispose]()
    this.#answers[Symbol.dispose]()
  }

  /** Whether this machine is the one that decides. */
  set leads(leads: boolean) {
    if (leads === this.#leads) return
    this.#leads = leads
    if (leads) this.changed()
  }

  /** Why slots of the unit wait, as of the last look. */
  waiting(unit: string): ReadonlyMap<number, string> {
    return this.#waiting.get(unit) ?? new Map()
  }

  /** Something changed about this unit, or about all. */
  changed(unit?: string): void {
    const units = unit === undefined ? this.#deps.view.units() : unit === '' ? [] : [unit]
    for (const each of units) {
      this.#timers.changed(each)
      if (!isTimerName(each)) this.#dirty.add(each)
    }
    if (this.#leads) this.#wake(gatherMs)
  }

  /** A machine has something new to say, or is seen differently. */
  machineChanged(machineId: string): void {
    for (const unit of this.#deps.view.unitsOn(machineId)) this.#dirty.add(unit)
    if (this.#leads) this.#wake(gatherMs)
  }

  #wake(ms: number): void {
    if (this.#running || this.#life.signal.aborted) return
    this.#timer?.[Symbol.dispose]()
    this.#timer = this.#deps.clock.timer(ms, () => void this.#pass(), { background: true })
  }

  async #pass(): Promise<void> {
    if (this.#running || !this.#leads) return
    this.#running = true
    try {
      await this.#look()
    } catch (error) {
      if (!this.#life.signal.aborted)
        this.#deps.report(`plan the units: ${String(asHolonError(error).stack)}`)
    } finally {
      this.#running = false
      this.#wake(this.#dirty.size > 0 ? gatherMs : Math.max(this.#timers.pauseMs(tickMs), gatherMs))
    }
  }

  async #look(): Promise<void> {
    const machines = this.#deps.machines()
    this.#seeMachines(machines)
    const again = [this.#waiting.keys(), this.#unread, this.#answers.lapsed()]
    for (const units of again) for (const unit of units) this.#dirty.add(unit)
    this.#unread.clear()
    const { view } = this.#deps
    for (const machineId of view.leases.machines()) {
      if (!view.leases.isOverdue(machineId)) continue
      for (const unit of view.unitsOn(machineId)) this.#dirty.add(unit)
    }
    const units = [...this.#dirty].sort()
    this.#dirty.clear()
    await this.#learn(units)
    const context = this.#context(machines)
    const priority = (unit: string) => this.#facts.get(unit)?.facts?.rules.priority ?? 0
    const inOrder = units.toSorted((a, b) => priority(b) - priority(a))
    // What other units are told comes first: they are all planned from it.
    await Promise.all(inOrder.map((unit) => this.#tellOthers(unit, context.wallMs)))
    const plans = inOrder
      .filter((unit) => !this.#isToTell(unit))
      .map((unit) => this.#plan(unit, context))
    await this.#execute(plans)
    await this.#timers.look(this.#life.signal)
  }

  /** Every instance of the unit's last round was given a machine. */
  #isPlaced(unit: string): boolean {
    const spec = this.#deps.view.specs.get(unit)?.record
    const rules = this.#facts.get(unit)?.facts?.rules
    if (spec === undefined || rules === undefined) return false
    const slots = [...this.#deps.view.slots(unit).values()].filter(
      ({ record }) => !isEarlier(record, spec) && (record.round ?? 0) === roundNumber(spec),
    )
    return slots.length >= (rules.global ? 1 : (spec.scale ?? rules.instances))
  }

  /** Units of machines that changed are looked at; a new machine concerns all that wait. */
  #seeMachines(machines: readonly ControlledMachine[]): void {
    const { placer, view } = this.#deps
    const now = new Map<string, string>()
    for (const { machineId, presence } of machines) {
      now.set(machineId, `${presence} ${view.intents.get(machineId)?.wish ?? ''}`)
    }
    for (const machineId of new Set([...now.keys(), ...this.#presence.keys()])) {
      if (now.get(machineId) === this.#presence.get(machineId)) continue
      for (const unit of view.unitsOn(machineId)) this.#dirty.add(unit)
      for (const [unit, { facts }] of this.#facts) if (facts?.rules.global) this.#dirty.add(unit)
    }
    this.#presence = now
    placer.setMachines(machines.map((machine) => ({ ...machine, closed: this.#closed(machine) })))
  }

  #closed({ machineId, presence }: ControlledMachine): Closed | undefined {
    if (presence !== 'up') return 'silent'
    return this.#deps.view.intents.get(machineId)?.wish
  }

  /** The texts of these units, before anything is planned. */
  async #learn(units: readonly string[]): Promise<void> {
    const { clock, facts, report, view } = this.#deps
    using limit = deadline(clock, commitTimeoutMs, this.#life.signal)
    await Promise.all(
      units.map(async (unit) => {
        const spec = view.specs.get(unit)?.record.spec
        if (spec === undefined || this.#facts.get(unit)?.spec === spec) return
        try {
          const read = await facts(unit, spec, limit.signal)
          this.#facts.set(unit, { spec, facts: read })
          for (const each of this.#dependencies.learn(unit, read.dependencies)) {
            this.#dirty.add(each)
          }
        } catch (error) {
          report(`read the text ${spec} of ${unit}: ${asHolonError(error).message}`)
          this.#facts.set(unit, { spec: 0, facts: this.#facts.get(unit)?.facts })
          this.#unread.add(unit)
        }
      }),
    )
  }

  /** It was started or stopped, and those that this concerns do not know yet. */
  #isToTell(unit: string): boolean {
    const record = this.#deps.view.specs.get(unit)?.record
    if (record?.asked === undefined || record.asked === 'restart') return false
    return this.#facts.get(unit)?.spec === record.spec
  }

  #plan(unit: string, context: Omit<PlanContext, 'place' | 'everywhere' | 'surplus'>): UnitPlan {
    const { view } = this.#deps
    const slots = view.slots(unit)
    const spec = view.specs.get(unit)
    const facts = spec === undefined ? undefined : this.#facts.get(unit)?.facts
    const places = this.#places(unit)
    const candidates = this.#candidates
    candidates.setUnit(unit, facts?.rules, places, context.nowMs)
    const { settleMs = 0, readyTimeoutMs = 0, failureEnds: ends = 'never' } = facts ?? {}
    const byTimer = isTimerName(spec?.record.round?.by ?? '')
    const failureEnds = ends === 'always' || (ends === 'by-timer' && byTimer)
    const order = this.#dependencies.orderOf(unit, context.wallMs)
    const lackingMs = this.#dependencies.lackingMs(unit, context.nowMs)
    const input = {
      ...{ unit, spec, rules: facts?.rules, settleMs, readyTimeoutMs, failureEnds },
      ...{ slots, order, lackingMs },
    }
    const plan = planUnit(input, {
      ...context,
      place: (slot, avoid) => candidates.place(unit, slot, avoid),
      everywhere: () => candidates.everywhere(unit, places),
      surplus: (count) => candidates.surplus(unit, count),
    })
    this.#dependencies.sawLacking(unit, plan.isLacking, context.nowMs)
    const isMoving =
      spec?.record.rollout?.status === 'going' ||
      [...slots.values()].some(isUnsettled) ||
      (order.isAwaited && spec?.record.wanted === true && !spec.record.up)
    if (plan.waiting.size > 0 || plan.isLacking || isMoving) this.#waiting.set(unit, plan.waiting)
    else this.#waiting.delete(unit)
    return plan
  }

  /** Where its instances are, second places included. */
  #places(unit: string): readonly KnownPlace[] {
    const { reports, view } = this.#deps
    return [...view.slots(unit).values()].flatMap(({ record }) =>
      // What has ended takes no room.
      machinesOf(record.ended === undefined ? record : undefined).map((machineId) => {
        const hosted = reports.get(machineId, unit, record.slot)
        const refusedForMs = hosted?.phase === 'refused' ? hosted.forMs : undefined
        return { slot: record.slot, machineId, refusedForMs }
      }),
    )
  }

  #context(machines: readonly ControlledMachine[]) {
    const { clock, reports, view } = this.#deps
    const byId = new Map(machines.map((machine) => [machine.machineId, machine]))
    const paused = evictionPause(machines)
    return {
      nowMs: clock.nowMs(),
      wallMs: clock.wallMs(),
      presence: (id: string) => byId.get(id)?.presence ?? 'gone',
      evictionsPaused: (id: string) => paused.get(byId.get(id)?.zone ?? ''),
      isDraining: (id: string) => view.intents.get(id)?.wish === 'draining',
      nameOf: (id: string) => byId.get(id)?.name ?? id,
      hasReported: (id: string) => reports.hasReported(id),
      hosted: (id: string, unit: string, slot: number) => reports.get(id, unit, slot),
      lease: (id: string) => view.leases.get(id),
      leaseIsOverdue: (id: string) => view.leases.isOverdue(id),
    }
  }

  // ---- carrying out

  async #execute(plans: readonly UnitPlan[]): Promise<void> {
    const single: (() => Promise<void>)[] = []
    const slots: { readonly unit: string; readonly change: SlotChange }[] = []
    for (const { unit, changes } of plans) {
      for (const change of changes) {
        if (change.kind === 'slot' && change.lease === undefined) slots.push({ unit, change })
        else single.push(this.#carryingOut(unit, change))
      }
    }
    for (let i = 0; i < slots.length; i += slotsInTxnMax) {
      const some = slots.slice(i, i + slotsInTxnMax)
      single.push(() => this.#writeSlots(some))
    }
    const work = single[Symbol.iterator]()
    const workers = Array.from({ length: Math.min(txnsAtOnce, single.length) }, async () => {
      for (const each of work) await each()
    })
    await Promise.all(workers)
  }

  /** Begun later: what it is compared with is what the plan was made from, as it is now. */
  #carryingOut(unit: string, change: UnitChange): () => Promise<void> {
    if (change.kind === 'slot') return () => this.#writeSlots([{ unit, change }])
    if (change.kind === 'break') return () => this.#breakLease(change)
    const before = this.#deps.view.specs.get(unit)
    const { after, what, reason } = change
    return async () => {
      if (before !== undefined) await this.#writeSpecs([{ before, after, what, reason }])
    }
  }

  /** Wishes that follow from one another are written together. */
  async #writeSpecs(changes: readonly SpecChange[]): Promise<void> {
    const { view, decided } = this.#deps
    const puts = await this.#specPuts(changes)
    const conditions = changes.map(({ before: { record, revision } }) => {
      return { key: specKey(record.unit), revision }
    })
    const revision = await this.#commit(conditions, puts)
    for (const { after, what, reason } of changes) {
      const { unit } = after
      for (const each of [unit, ...this.#dependencies.neighbours(unit)]) this.#dirty.add(each)
      if (revision === undefined) continue
      view.wroteSpec({ record: after, revision })
      if (what !== undefined) decided(unit, what, reason)
    }
  }

  /** A text that is given again has another number. */
  async #specPuts(changes: readonly SpecChange[]): Promise<readonly Put[]> {
    const { clock, text } = this.#deps
    using limit = deadline(clock, commitTimeoutMs, this.#life.signal)
    const puts = changes.map(async ({ before, after, again }): Promise<readonly Put[]> => {
      const { unit, spec } = after
      const put: Put = { kind: 'put', key: specKey(unit), value: after, schema: 1 }
      if (again === undefined) return [put]
      const value = await text(unit, before.record.spec, limit.signal)
      return [put, { kind: 'put', key: textKey(unit, spec), value, schema: 1 }]
    })
    return (await Promise.all(puts)).flat()
  }

  /** What was asked of a unit is carried on to those that it concerns. */
  async #tellOthers(unit: string, wallMs: number): Promise<void> {
    const record = this.#deps.view.specs.get(unit)?.record
    if (record?.asked === undefined || this.#facts.get(unit)?.spec !== record.spec) return
    const spread = this.#dependencies.spread(unit, wallMs)
    if (spread !== undefined) await this.#writeSpecs(spread.changes)
  }

  async #writeSlots(
    slots: readonly { readonly unit: string; readonly change: SlotChange }[],
  ): Promise<void> {
    const { view, decided, reports } = this.#deps
    const conditions: Condition[] = []
    const then: (Put | Delete)[] = []
    for (const { change } of slots) {
      const txn = slotChange(change.before, change.after)
      conditions.push(...txn.if)
      then.push(...txn.then)
      if (change.lease !== undefined) {
        const { machineId, revision } = change.lease
        conditions.push({ key: leaseKey(machineId), revision })
      }
    }
    const revision = await this.#commit(conditions, then)
    for (const { unit, change } of slots) {
      this.#dirty.add(unit)
      if (revision === undefined) continue
      const { after, slot } = change
      const left = new Set(machinesOf(after))
      for (const machineId of machinesOf(change.before?.record)) {
        if (!left.has(machineId)) reports.taken(machineId, unit, slot)
      }
      view.wroteSlot(unit, slot, after === undefined ? undefined : { record: after, revision })
      decided(
        unit,
        changeText(change, (id) => this.#nameOf(id)),
        change.reason,
        slot,
      )
    }
  }

  async #breakLease({ machineId, lease }: Extract<UnitChange, { kind: 'break' }>): Promise<void> {
    const { view, report } = this.#deps
    const key = leaseKey(machineId)
    const record: LeaseRecord = { ...lease.lease, status: 'broken' }
    const put: Put = { kind: 'put', key, value: record, schema: 1 }
    const revision = await this.#commit([{ key, revision: lease.revision }], [put])
    if (revision === undefined) return
    view.leases.see(machineId, record, revision)
    report(`the lease of ${this.#nameOf(machineId)} was not renewed: it is broken`)
    this.machineChanged(machineId)
  }

  /** The revision; undefined when somebody was faster, or it is not known what became of it. */
  async #commit(
    conditions: readonly Condition[],
    then: readonly (Put | Delete)[],
  ): Promise<number | undefined> {
    const { clock, random, state } = this.#deps
    using limit = deadline(clock, commitTimeoutMs, this.#life.signal)
    const operationId = newOperationId(random)
    const txn = { if: conditions, then, operationId, writer: this.#writer }
    try {
      const result = await commit({ clock, random }, state, txn, limit)
      return result.kind === 'done' ? result.revision : undefined
    } catch (error) {
      if (!this.#life.signal.aborted)
        this.#deps.report(`write a plan: ${asHolonError(error).message}`)
      return undefined
    }
  }

  #nameOf(machineId: string): string {
    const known = this.#deps.machines().find((machine) => machine.machineId === machineId)
    return known?.name ?? machineId
  }
}

function isUnsettled({
  record,
}: {
  readonly record: { readonly next?: unknown; readonly wish: string }
}) {
  return record.next !== undefined || record.wish === 'stop'
}

function changeText({ before, after }: SlotChange, nameOf: (id: string) => string): string {
  if (after === undefined) return 'remove'
  if (after.wish === 'stop') return 'ask back'
  if (after.ended !== undefined) return after.ended.result === 'success' ? 'ended' : 'failed'
  if (after.next !== undefined && before?.record.next === undefined) {
    return `start a second one on ${nameOf(after.next.machineId)}`
  }
  return before?.record.machineId === after.machineId
    ? 'change'
    : `place on ${nameOf(after.machineId)}`
}
