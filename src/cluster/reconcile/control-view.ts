/**
 * All that a leader must know of State, in memory: what is wanted, where everything belongs, and
 * the leases, each timed from when it was first seen here. Every machine that keeps the state has
 * one, leader or not, so that a new leader begins with it.
 *
 * Its own writes are known before the watch tells of them. What is here may be old, never wrong:
 * every decision made from it is a txn on the revisions it was made from.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { MachineIntent } from '../../kernel/types.ts'
import { follow, type View } from '../../state/commit.ts'
import type { Entry, State } from '../../state/port.ts'
import { LeaseObserver } from '../lease/observer.ts'
import { leasePrefix, parseLease } from '../lease/record.ts'
import { type LeaderRecord, leaderKey, parseLeader } from './leadership.ts'
import {
  controlPrefix,
  intentPrefix,
  machinesOf,
  parseIntent,
  parseSlot,
  parseSpec,
  type SlotRecord,
  type SpecRecord,
  type Stored,
  slotPrefix,
  specPrefix,
} from './records.ts'

export interface ControlViewDeps {
  readonly clock: Clock
  readonly state: State
  readonly report: (message: string) => void
  /** Something changed: of these units, or of machines, and perhaps of everything. */
  readonly changed: (units?: readonly string[]) => void
}

/** A slot, and how long it has been as it is, on this machine's clock. */
export interface SeenSlot extends Stored<SlotRecord> {
  readonly firstSeenMs: number
}

/** Silence of the state after which leases are timed afresh: holders could not renew either. */
const silenceMs = 4_000
const probeMs = 1_000
const retryMs = 500

export class ControlView implements Disposable {
  readonly leases: LeaseObserver
  readonly specs = new Map<string, Stored<SpecRecord>>()
  readonly intents = new Map<string, MachineIntent>()
  readonly #deps: ControlViewDeps
  readonly #slots = new Map<string, Map<number, SeenSlot>>()
  /** By machine, how many slots of each unit. */
  readonly #unitsOn = new Map<string, Map<string, number>>()
  readonly #life = new AbortController()
  #leader: Stored<LeaderRecord> | undefined
  #heardMs: number | undefined
  /** The last one that the watch told of. */
  #toldRevision = 0

  constructor(deps: ControlViewDeps) {
    this.#deps = deps
    this.leases = new LeaseObserver(deps.clock)
  }

  start(): void {
    void this.#follow()
    void this.#probe()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  get leader(): Stored<LeaderRecord> | undefined {
    return this.#leader
  }

  /** Milliseconds since the state was last heard; infinite before the first time. */
  get silentMs(): number {
    if (this.#heardMs === undefined) return Number.POSITIVE_INFINITY
    return this.#deps.clock.nowMs() - this.#heardMs
  }

  slots(unit: string): ReadonlyMap<number, SeenSlot> {
    return this.#slots.get(unit) ?? noSlots
  }

  /** Units that have an instance, or a second place for one, on the machine. */
  unitsOn(machineId: string): readonly string[] {
    return [...(this.#unitsOn.get(machineId)?.keys() ?? [])]
  }

  /** Units that have a spec or a slot, by name. */
  units(): readonly string[] {
    return [...new Set([...this.specs.keys(), ...this.#slots.keys()])].sort()
  }

  /**
   * Takes over what this machine itself wrote, unless the watch is past that: it may have told of
   * what others made of it since.
   */
  wroteSlot(unit: string, slot: number, revision: number, record: SlotRecord | undefined): void {
    if (revision <= this.#toldRevision) return
    if (record === undefined) this.#dropSlot(unit, slot)
    else this.#putSlot({ record, revision })
  }

  wroteSpec(stored: Stored<SpecRecord>): void {
    if (stored.revision > this.#toldRevision) this.specs.set(stored.record.unit, stored)
  }

  wroteLeader(stored: Stored<LeaderRecord>): void {
    if (stored.revision > this.#toldRevision) this.#leader = stored
  }

  async #follow(): Promise<void> {
    const { clock, state, report } = this.#deps
    const { signal } = this.#life
    let said = ''
    while (!signal.aborted) {
      try {
        for await (const view of follow(clock, state, controlPrefix, { signal })) {
          said = ''
          this.#apply(view)
        }
      } catch (error) {
        if (signal.aborted) return
        const { message } = asHolonError(error)
        if (message !== said) report(`follow the fleet's units: ${message}`)
        said = message
      }
      await sleep(clock, retryMs, signal).catch(() => {})
    }
  }

  /** A quiet watch and one that nobody serves look alike: so the state is asked now and then. */
  async #probe(): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#life
    while (!signal.aborted) {
      // A failure is told by what needs the state; here it only shows in `silentMs`.
      await this.#askState(signal).catch(() => {})
      await sleep(clock, probeMs, signal).catch(() => {})
    }
  }

  async #askState(signal: AbortSignal): Promise<void> {
    const { clock, state } = this.#deps
    using limit = deadline(clock, silenceMs, signal)
    await state.get(leaderKey, limit)
    if (this.silentMs > silenceMs) this.leases.restart()
    this.#heardMs = clock.nowMs()
  }

  #apply(view: View): void {
    const revision = view.kind === 'put' ? view.entry.revision : view.revision
    this.#toldRevision = Math.max(this.#toldRevision, revision)
    if (view.kind === 'all') this.#applyAll(view.entries, view.revision)
    else if (view.kind === 'put') this.#deps.changed(this.#put(view.entry))
    else if (view.kind === 'delete') this.#deps.changed(this.#delete(view.key, view.revision))
  }

  #applyAll(entries: readonly Entry[], revision: number): void {
    const present = new Set(entries.map(({ key }) => key))
    const isGone = (key: string, known: number) => !present.has(key) && known <= revision
    for (const [unit, stored] of this.specs) {
      if (isGone(`${specPrefix}${unit}`, stored.revision)) this.specs.delete(unit)
    }
    for (const [unit, slots] of this.#slots) {
      for (const [slot, stored] of slots) {
        if (isGone(`${slotPrefix}${unit}/${slot}`, stored.revision)) this.#dropSlot(unit, slot)
      }
    }
    this.intents.clear()
    for (const machineId of this.leases.machines()) {
      if (!present.has(`${leasePrefix}${machineId}`)) this.leases.gone(machineId)
    }
    for (const entry of entries) this.#put(entry)
    this.#deps.changed()
  }

  /** The units that it concerns; undefined for all. */
  #put({ key, value, revision }: Entry): readonly string[] | undefined {
    if (key.startsWith(slotPrefix)) {
      const record = parseSlot(value)
      this.#putSlot({ record, revision })
      return [record.unit]
    }
    if (key.startsWith(specPrefix)) {
      const record = parseSpec(value)
      if ((this.specs.get(record.unit)?.revision ?? 0) < revision) {
        this.specs.set(record.unit, { record, revision })
      }
      return [record.unit]
    }
    if (key.startsWith(leasePrefix)) {
      const machineId = key.slice(leasePrefix.length)
      const before = this.leases.get(machineId)?.lease
      const lease = parseLease(value)
      this.leases.see(machineId, lease, revision)
      // That it was renewed changes no plan.
      const isSame = before?.epoch === lease.epoch && before.status === lease.status
      return isSame ? [] : this.unitsOn(machineId)
    }
    if (key.startsWith(intentPrefix)) {
      this.intents.set(key.slice(intentPrefix.length), parseIntent(value))
    } else if (key === leaderKey && (this.#leader?.revision ?? 0) < revision) {
      this.#leader = { record: parseLeader(value), revision }
    }
    return undefined
  }

  #putSlot(stored: Stored<SlotRecord>): void {
    const { unit, slot } = stored.record
    const slots = this.#slots.get(unit) ?? new Map<number, SeenSlot>()
    this.#slots.set(unit, slots)
    const known = slots.get(slot)
    if ((known?.revision ?? 0) >= stored.revision) return
    slots.set(slot, { ...stored, firstSeenMs: this.#deps.clock.nowMs() })
    this.#count(known?.record, -1)
    this.#count(stored.record, 1)
  }

  #dropSlot(unit: string, slot: number): void {
    const slots = this.#slots.get(unit)
    this.#count(slots?.get(slot)?.record, -1)
    slots?.delete(slot)
    if (slots?.size === 0) this.#slots.delete(unit)
  }

  #count(record: SlotRecord | undefined, by: number): void {
    for (const machineId of machinesOf(record)) {
      const units = this.#unitsOn.get(machineId) ?? new Map<string, number>()
      this.#unitsOn.set(machineId, units)
      const count = (units.get(record?.unit ?? '') ?? 0) + by
      if (count > 0) units.set(record?.unit ?? '', count)
      else units.delete(record?.unit ?? '')
    }
  }

  #delete(key: string, revision: number): readonly string[] | undefined {
    if (key.startsWith(slotPrefix)) {
      const [unit = '', number = ''] = key.slice(slotPrefix.length).split('/')
      const known = this.#slots.get(unit)?.get(Number(number))
      if (known !== undefined && known.revision < revision) this.#dropSlot(unit, Number(number))
      return [unit]
    }
    if (key.startsWith(specPrefix)) {
      const unit = key.slice(specPrefix.length)
      this.specs.delete(unit)
      return [unit]
    }
    if (key.startsWith(leasePrefix)) this.leases.gone(key.slice(leasePrefix.length))
    if (key.startsWith(intentPrefix)) this.intents.delete(key.slice(intentPrefix.length))
    return undefined
  }
}

const noSlots: ReadonlyMap<number, SeenSlot> = new Map()
