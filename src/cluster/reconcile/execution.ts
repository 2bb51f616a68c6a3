/**
 * Carrying out plans: each change is a txn on exactly what it was planned from. Changes of slots
 * that have nothing to do with each other are written some at a time; what belongs together is one
 * txn.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { someAtOnce } from '../../base/some-at-once.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { Condition, Delete, Put, State } from '../../state/port.ts'
import { type LeaseRecord, leaseKey } from '../lease/record.ts'
import { changeText } from './change-text.ts'
import type { ControlView } from './control-view.ts'
import { giveWay } from './give-way.ts'
import type { SpecChange } from './plan-dependencies.ts'
import type { SlotChange } from './plan-slot.ts'
import type { UnitChange, UnitPlan } from './plan-unit.ts'
import { machinesOf, slotChange, specKey } from './records.ts'
import type { Reports } from './reports.ts'
import { specPuts } from './spec-puts.ts'

export interface ExecutionDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly view: ControlView
  readonly reports: Reports
  readonly writer: string
  /** Ends what is under way. */
  readonly signal: AbortSignal
  readonly nameOf: (machineId: string) => string
  readonly text: (unit: string, spec: number, signal: AbortSignal) => Promise<string>
  readonly decided: (unit: string, what: string, why: string, slot?: number) => void
  /** The unit is to be planned again, whether its change was written or not. */
  readonly triedSlot: (unit: string) => void
  /** And those that depend on it. */
  readonly triedSpec: (unit: string) => void
  readonly machineChanged: (machineId: string) => void
  readonly report: (message: string) => void
}

const commitTimeoutMs = 5_000
/** Slots in one txn: each is up to four changes. */
const slotsInTxnMax = 30
const txnsAtOnce = 8

interface UnitSlotChange {
  readonly unit: string
  readonly change: SlotChange
}

export class Execution {
  readonly #deps: ExecutionDeps

  constructor(deps: ExecutionDeps) {
    this.#deps = deps
  }

  /** One after the other per unit is not promised; what fails is planned again. */
  async execute(plans: readonly UnitPlan[]): Promise<void> {
    const work: (() => Promise<void>)[] = []
    const slots: UnitSlotChange[] = []
    for (const { unit, changes } of plans) {
      for (const change of changes) {
        const { lease, victims } = change.kind === 'slot' ? change : {}
        const isAlone = lease === undefined && victims === undefined
        if (change.kind === 'slot' && isAlone) slots.push({ unit, change })
        else work.push(this.#carryingOut(unit, change))
      }
    }
    for (let i = 0; i < slots.length; i += slotsInTxnMax) {
      const some = slots.slice(i, i + slotsInTxnMax)
      work.push(() => this.#writeSlots(some))
    }
    await someAtOnce(txnsAtOnce, work, (each) => each())
  }

  /** Begun later: what it is compared with is what the plan was made from, as it is now. */
  #carryingOut(unit: string, change: UnitChange): () => Promise<void> {
    if (change.kind === 'slot') {
      const slots = [{ unit, change }, ...this.#givingWay(unit, change)]
      return () => this.#writeSlots(slots)
    }
    if (change.kind === 'break') return () => this.#breakLease(change)
    const before = this.#deps.view.specs.get(unit)
    const { after, what, reason } = change
    return async () => {
      if (before !== undefined) await this.writeSpecs([{ before, after, what, reason }])
    }
  }

  #givingWay(unit: string, { slot, after, victims = [] }: SlotChange): readonly UnitSlotChange[] {
    const { clock, view } = this.#deps
    return victims.flatMap((victim) => {
      const seen = view.slots(victim.unit).get(victim.slot)
      if (seen === undefined || after === undefined) return []
      const reason = `it gives way to ${unit}/${slot}, which has a higher Priority=`
      const change = giveWay(seen, (after.next ?? after).machineId, reason, clock.wallMs())
      return change === undefined ? [] : [{ unit: victim.unit, change }]
    })
  }

  /** Wishes that follow from one another are written together. */
  async writeSpecs(changes: readonly SpecChange[]): Promise<void> {
    const { clock, view, decided, signal, text, triedSpec } = this.#deps
    using limit = deadline(clock, commitTimeoutMs, signal)
    const puts = await specPuts(changes, (unit, spec) => text(unit, spec, limit.signal))
    const conditions = changes.map(({ before: { record, revision } }) => {
      return { key: specKey(record.unit), revision }
    })
    const revision = await this.commit(conditions, puts)
    for (const { after, what, reason } of changes) {
      const { unit } = after
      triedSpec(unit)
      if (revision === undefined) continue
      view.wroteSpec({ record: after, revision })
      if (what !== undefined) decided(unit, what, reason)
    }
  }

  async #writeSlots(slots: readonly UnitSlotChange[]): Promise<void> {
    const { view, decided, nameOf, reports, triedSlot } = this.#deps
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
    const revision = await this.commit(conditions, then)
    for (const { unit, change } of slots) {
      triedSlot(unit)
      if (revision === undefined) continue
      const { after, slot } = change
      const left = new Set(machinesOf(after))
      for (const machineId of machinesOf(change.before?.record)) {
        if (!left.has(machineId)) reports.taken(machineId, unit, slot)
      }
      view.wroteSlot(unit, slot, revision, after)
      decided(unit, changeText(change, nameOf), change.reason, slot)
    }
  }

  async #breakLease({ machineId, lease }: Extract<UnitChange, { kind: 'break' }>): Promise<void> {
    const { view, machineChanged, nameOf, report } = this.#deps
    const key = leaseKey(machineId)
    const record: LeaseRecord = { ...lease.lease, status: 'broken' }
    const put: Put = { kind: 'put', key, value: record, schema: 1 }
    const revision = await this.commit([{ key, revision: lease.revision }], [put])
    if (revision === undefined) return
    view.leases.see(machineId, record, revision)
    report(`the lease of ${nameOf(machineId)} was not renewed: it is broken`)
    machineChanged(machineId)
  }

  /** The revision; undefined when somebody was faster, or it is not known what became of it. */
  async commit(
    conditions: readonly Condition[],
    then: readonly (Put | Delete)[],
  ): Promise<number | undefined> {
    const { clock, random, report, signal, state, writer } = this.#deps
    using limit = deadline(clock, commitTimeoutMs, signal)
    const operationId = newOperationId(random)
    const txn = { if: conditions, then, operationId, writer }
    try {
      const result = await commit({ clock, random }, state, txn, limit)
      return result.kind === 'done' ? result.revision : undefined
    } catch (error) {
      if (!signal.aborted) report(`write a plan: ${asHolonError(error).message}`)
      return undefined
    }
  }
}
