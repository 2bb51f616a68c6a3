/**
 * The leader's work: look at what is wanted and what is there, plan unit by unit, and write the
 * plan as txns on exactly what was looked at. Runs when something changed, and now and then.
 *
 * A leader that dies in the middle leaves whole txns behind; its successor plans from what they
 * made of the state. One that was deposed and does not know it yet conflicts, and learns by that.
 */
import { type Clock, deadline, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { someAtOnce } from '../../base/some-at-once.ts'
import type { Closed } from '../../sched/board-machine.ts'
import type { State } from '../../state/port.ts'
import type { PlacementRules } from '../../unit/placement-rules.ts'
import { isTimerName, type TimerUnit } from '../../unit/timer-unit.ts'
import { Candidates, type KnownPlace } from './candidates.ts'
import { ConditionAnswers, type ConditionAnswersDeps } from './condition-answers.ts'
import type { ControlView } from './control-view.ts'
import type { ControlledMachine } from './controlled.ts'
import { Dependencies } from './dependencies.ts'
import { Execution } from './execution.ts'
import type { HeldBack, HeldBackQuery, WaitingRow } from './held-back.ts'
import { MachineSight } from './machine-sight.ts'
import type { Placer } from './placer.ts'
import { planUnit, type UnitPlan } from './plan-unit.ts'
import { Rebalancing } from './rebalancing.ts'
import { machinesOf } from './records.ts'
import type { Reports } from './reports.ts'
import { isPlaced } from './rounds.ts'
import { takeUnits } from './take-units.ts'
import { Timers } from './timers.ts'
import type { UnitFacts } from './unit-facts.ts'
import type { PlanContext } from './unit-view.ts'
import { Waiting } from './waiting.ts'

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
  readonly saw: (machine: string, what: string, why: string) => void
  readonly report: (message: string) => void
}

const tickMs = 500
/** What changes together is looked at together. */
const gatherMs = 20
const readTimeoutMs = 5_000
const readsAtOnce = 32
/** After a pass, for each slot that was planned. */
const pauseForSlotMs = 0.02

export class Controller implements Disposable {
  readonly #deps: ControllerDeps
  readonly #life = new AbortController()
  /** Units to be planned, the first one first. */
  readonly #dirty = new Set<string>()
  /** Units whose text could not be read: tried again with the next tick. */
  readonly #unread = new Set<string>()
  readonly #waiting = new Waiting()
  readonly #facts = new Map<
    string,
    { readonly spec: number; readonly facts: UnitFacts | undefined }
  >()
  readonly #answers: ConditionAnswers
  readonly #candidates: Candidates
  readonly #dependencies: Dependencies
  readonly #timers: Timers
  readonly #sight: MachineSight
  readonly #rebalancing = new Rebalancing()
  readonly #execution: Execution
  /** When each unit was planned last. */
  readonly #plannedMs = new Map<string, number>()
  /** The machines are looked at with the next pass. */
  #isStale = true
  #leads = false
  #timer: Timer | undefined
  #wakesAtMs = Number.POSITIVE_INFINITY
  /** Slots of the last pass. */
  #planned = 0
  #running = false

  constructor(deps: ControllerDeps, writer: string) {
    this.#deps = deps
    const { clock, askConditions: ask, placer } = deps
    this.#sight = new MachineSight(deps)
    this.#answers = new ConditionAnswers({ clock, ask, changed: (unit) => this.changed([unit]) })
    this.#candidates = new Candidates(placer, this.#answers)
    this.#dependencies = new Dependencies({
      ...deps,
      nameOf: (id) => this.#sight.nameOf(id),
      waiting: (unit) => this.waiting(unit),
    })
    this.#execution = new Execution({
      ...deps,
      writer,
      signal: this.#life.signal,
      nameOf: (id) => this.#sight.nameOf(id),
      triedSlot: (unit) => this.#dirty.add(unit),
      triedSpec: (unit) => {
        for (const each of [unit, ...this.#dependencies.neighbours(unit)]) this.#dirty.add(each)
      },
      machineChanged: (machineId) => this.machineChanged(machineId),
    })
    this.#timers = new Timers({
      ...deps,
      commit: (conditions, then) => this.#execution.commit(conditions, then),
      isPlaced: (unit) => {
        const rules = this.#facts.get(unit)?.facts?.rules
        return isPlaced(deps.view.specs.get(unit)?.record, rules, deps.view.slots(unit))
      },
      changed: (unit) => this.changed([unit]),
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
    if (leads) this.#rebalancing.disturbed()
    if (leads) this.changed()
  }

  /** Why slots of the unit wait, as of the last look. */
  waiting(unit: string): ReadonlyMap<number, string> {
    return this.#waiting.reasons(unit)
  }

  /** What is held back, as of the last look. */
  heldBack({ units = this.#waiting.units(), fitting: about }: HeldBackQuery): HeldBack {
    const waiting: WaitingRow[] = []
    for (const unit of units) {
      for (const [slot, why] of this.waiting(unit)) {
        if (waiting.length < limits.waitingRowsMax) waiting.push({ unit, slot, why })
      }
    }
    const fitting = about === undefined ? undefined : this.#deps.placer.fitting(about)
    return { waiting, pauses: this.#sight.pauses, ...(fitting === undefined ? {} : { fitting }) }
  }

  /** Something changed about these units; or about machines, and perhaps all units. */
  changed(units?: readonly string[]): void {
    this.#isStale ||= units === undefined
    const all = units ?? this.#deps.view.units()
    for (const each of all) {
      this.#timers.changed(each)
      if (!isTimerName(each)) this.#dirty.add(each)
    }
    if (this.#leads && all.length > 0) this.#wake(gatherMs)
  }

  /** A machine is seen differently. */
  machineChanged(machineId: string): void {
    this.#isStale = true
    this.reported(machineId)
  }

  /** A machine has something new to say, of these units or of all that it may have. */
  reported(machineId: string, units = this.#deps.view.unitsOn(machineId)): void {
    this.changed(units.flatMap((unit) => [unit, ...this.#dependencies.neighbours(unit)]))
  }

  #wake(ms: number): void {
    const { clock } = this.#deps
    const atMs = clock.nowMs() + ms
    // Who changes all the time is not to put it off for ever.
    if (this.#running || this.#life.signal.aborted || atMs >= this.#wakesAtMs) return
    this.#timer?.[Symbol.dispose]()
    this.#wakesAtMs = atMs
    this.#timer = clock.timer(ms, () => void this.#pass(), { background: true })
  }

  async #pass(): Promise<void> {
    this.#wakesAtMs = Number.POSITIVE_INFINITY
    if (this.#running || !this.#leads) return
    this.#running = true
    try {
      await this.#look()
    } catch (error) {
      if (!this.#life.signal.aborted)
        this.#deps.report(`plan the units: ${String(asHolonError(error).stack)}`)
    } finally {
      this.#running = false
      // The more there was to plan, the longer the others have their turn.
      const pauseMs = Math.min(gatherMs + this.#planned * pauseForSlotMs, tickMs)
      const restMs = Math.max(this.#timers.pauseMs(tickMs), gatherMs)
      this.#wake(this.#dirty.size > 0 ? pauseMs : restMs)
    }
  }

  async #look(): Promise<void> {
    const isDue = this.#deps.clock.nowMs() - this.#sight.atMs >= tickMs - gatherMs
    if (this.#isStale || isDue) this.#lookAtMachines()
    const units = [...this.#dirty]
    await this.#learn(units)
    const context = this.#context()
    const inOrder = this.#take(units)
    // What other units are told comes first: they are all planned from it.
    await Promise.all(inOrder.map((unit) => this.#tellOthers(unit, context.wallMs)))
    const plans = inOrder
      .filter((unit) => !this.#isToTell(unit))
      .map((unit) => this.#plan(unit, context))
    await this.#execution.execute(plans)
    await this.#timers.look(this.#life.signal)
  }

  /** All that only time or machines may have changed is planned again. */
  #lookAtMachines(): void {
    const { clock, machines, view } = this.#deps
    const seen = machines()
    this.#isStale = false
    this.#seeMachines(seen, this.#sight.look(seen, view.intents, clock.nowMs()))
    const waiting = this.#waiting.due(this.#sight.atMs)
    const again = [waiting, this.#unread, this.#answers.lapsed(), this.#movable()]
    for (const units of again) for (const unit of units) this.#dirty.add(unit)
    this.#unread.clear()
    for (const machineId of view.leases.machines()) {
      if (!view.leases.isOverdue(machineId)) continue
      for (const unit of view.unitsOn(machineId)) this.#dirty.add(unit)
    }
  }

  /** Units of machines that changed are looked at, and those that are on every one. */
  #seeMachines(machines: readonly ControlledMachine[], changed: readonly string[]): void {
    const { placer, view } = this.#deps
    for (const machineId of changed) {
      for (const unit of view.unitsOn(machineId)) this.#dirty.add(unit)
    }
    if (changed.length > 0) {
      this.#rebalancing.disturbed()
      for (const [unit, { facts }] of this.#facts) if (facts?.rules.global) this.#dirty.add(unit)
    }
    placer.setMachines(machines.map((machine) => ({ ...machine, closed: this.#closed(machine) })))
  }

  /** Units whose turn it is to move. */
  #movable(): Iterable<string> {
    return this.#rebalancing.begin({
      nowMs: this.#sight.atMs,
      machines: this.#sight.size,
      isCalm: this.#sight.isCalm,
      units: () => this.#deps.view.units(),
      rulesOf: (unit) => this.#facts.get(unit)?.facts?.rules,
    })
  }

  #closed({ machineId, presence }: ControlledMachine): Closed | undefined {
    if (presence !== 'up') return 'silent'
    return this.#deps.view.intents.get(machineId)?.wish
  }

  /** Some of these units; the others have their turn after a pause. */
  #take(units: readonly string[]): readonly string[] {
    const { clock, view } = this.#deps
    const rules = (unit: string) => this.#facts.get(unit)?.facts?.rules
    const nowMs = clock.nowMs()
    const { taken, slots } = takeUnits(units, {
      nowMs,
      priority: (unit) => rules(unit)?.priority ?? 0,
      slots: (unit) => Math.max(view.slots(unit).size, rules(unit)?.instances ?? 0),
      plannedMs: (unit) => this.#plannedMs.get(unit),
    })
    for (const unit of taken) {
      this.#dirty.delete(unit)
      this.#plannedMs.set(unit, nowMs)
    }
    this.#planned = slots
    return taken
  }

  /** The texts of these units, before anything is planned. */
  async #learn(units: readonly string[]): Promise<void> {
    const { clock, facts, report, view } = this.#deps
    const unknown: { readonly unit: string; readonly spec: number }[] = []
    for (const unit of units) {
      const spec = view.specs.get(unit)?.record.spec
      if (spec !== undefined && this.#facts.get(unit)?.spec !== spec) unknown.push({ unit, spec })
    }
    using limit = deadline(clock, readTimeoutMs, this.#life.signal)
    await someAtOnce(readsAtOnce, unknown, async ({ unit, spec }) => {
      try {
        const read = await facts(unit, spec, limit.signal)
        this.#facts.set(unit, { spec, facts: read })
        for (const each of this.#dependencies.learn(unit, read.dependencies)) this.#dirty.add(each)
      } catch (error) {
        report(`read the text ${spec} of ${unit}: ${asHolonError(error).message}`)
        this.#facts.set(unit, { spec: 0, facts: this.#facts.get(unit)?.facts })
        this.#unread.add(unit)
      }
    })
  }

  /** It was started or stopped, and those that this concerns do not know yet. */
  #isToTell(unit: string): boolean {
    const record = this.#deps.view.specs.get(unit)?.record
    if (record?.asked === undefined || record.asked === 'restart') return false
    return this.#facts.get(unit)?.spec === record.spec
  }

  #plan(
    unit: string,
    context: Omit<PlanContext, 'place' | 'placeInstead' | 'everywhere' | 'surplus'>,
  ): UnitPlan {
    const { view } = this.#deps
    const slots = view.slots(unit)
    const spec = view.specs.get(unit)
    const facts = spec === undefined ? undefined : this.#facts.get(unit)?.facts
    const places = this.#places(unit, facts?.rules)
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
      placeInstead: (slot, avoid, why) => candidates.placeInstead(unit, slot, avoid, why),
      everywhere: () => candidates.everywhere(unit, places),
      surplus: (count) => candidates.surplus(unit, count),
      ...this.#betterPlaces(unit),
    })
    this.#dependencies.sawLacking(unit, plan.isLacking, context.nowMs)
    const isMoving =
      spec?.record.rollout?.status === 'going' ||
      [...slots.values()].some(
        ({ record }) => record.next !== undefined || record.wish === 'stop',
      ) ||
      (order.isAwaited && spec?.record.wanted === true && !spec.record.up)
    if (plan.waiting.size > 0 || plan.isLacking || isMoving) {
      const isPatient = !isMoving && !plan.isLacking && plan.changes.length === 0
      const how = { isPatient, slots: slots.size, nowMs: context.nowMs }
      this.#waiting.planned(unit, plan.waiting, how)
    } else this.#waiting.delete(unit)
    return plan
  }

  #betterPlaces(unit: string): Pick<PlanContext, 'betterPlaces'> {
    const { clock, placer } = this.#deps
    const most = this.#rebalancing.movesMax(unit)
    if (most === 0) return {}
    return {
      betterPlaces: (movesMax) => {
        const moves = placer.rebalance(unit, Math.min(movesMax, most))
        this.#rebalancing.moved(unit, moves.length, clock.nowMs())
        return moves
      },
    }
  }

  /** Where its instances are, second places included. */
  #places(unit: string, rules: PlacementRules | undefined): readonly KnownPlace[] {
    const { reports, view } = this.#deps
    // Who has no conditions is refused for none.
    const mayBeRefused = rules === undefined || rules.conditions.length > 0
    const places: KnownPlace[] = []
    for (const { record } of view.slots(unit).values()) {
      // What has ended takes no room.
      for (const machineId of machinesOf(record.ended === undefined ? record : undefined)) {
        const hosted = mayBeRefused ? reports.get(machineId, unit, record.slot) : undefined
        const refusedForMs = hosted?.phase === 'refused' ? hosted.forMs : undefined
        places.push({ slot: record.slot, machineId, refusedForMs })
      }
    }
    return places
  }

  #context() {
    const { clock, reports, view } = this.#deps
    const sight = this.#sight
    return {
      nowMs: clock.nowMs(),
      wallMs: clock.wallMs(),
      presence: (id: string) => sight.presence(id),
      evictionsPaused: (id: string) => sight.evictionsPaused(id),
      isDraining: (id: string) => view.intents.get(id)?.wish === 'draining',
      nameOf: (id: string) => sight.nameOf(id),
      hasReported: (id: string) => reports.hasReported(id),
      hosted: (id: string, unit: string, slot: number) => reports.get(id, unit, slot),
      lease: (id: string) => view.leases.get(id),
      leaseIsOverdue: (id: string) => view.leases.isOverdue(id),
    }
  }

  /** What was asked of a unit is carried on to those that it concerns. */
  async #tellOthers(unit: string, wallMs: number): Promise<void> {
    const record = this.#deps.view.specs.get(unit)?.record
    if (record?.asked === undefined || this.#facts.get(unit)?.spec !== record.spec) return
    const spread = this.#dependencies.spread(unit, wallMs)
    if (spread !== undefined) await this.#execution.writeSpecs(spread.changes)
  }
}
