/**
 * The ledger of timers and rounds: every moment that was acted on, every round that began, and how
 * often its instances were started. Kept from what the store has and what processes do, beside the
 * code that makes it so.
 */
import {
  type SlotRecord,
  type SpecRecord,
  slotKey,
  specKey,
  specPrefix,
  textKey,
} from '../cluster/reconcile/records.ts'
import { isOver } from '../cluster/reconcile/rounds.ts'
import { readTimer } from '../cluster/reconcile/unit-facts.ts'
import { nextElapse } from '../unit/calendar-next.ts'
import { isTimerName } from '../unit/timer-unit.ts'
import type { SimFleet } from './fleet.ts'
import type { SimProcess } from './host.ts'

export interface FiredTimer {
  readonly activatedAtMs: number
  /** The moments that it fired for, in order. */
  readonly moments: number[]
}

export class TimerChecks {
  readonly fired = new Map<string, FiredTimer>()
  /** By timer, the rounds that it began: unit and number. */
  readonly #began = new Map<string, Set<string>>()
  /** By round and slot, how often it was started. */
  readonly #starts = new Map<string, number>()
  readonly #revisions = new Map<string, number>()
  readonly #fleet: SimFleet

  constructor(fleet: SimFleet) {
    this.#fleet = fleet
  }

  /** The store has just changed this key. */
  changed(key: string): void {
    const { revision = 0 } = this.#fleet.store.read(key) ?? {}
    // A txn that is repeated is decided again.
    if (!key.startsWith(specPrefix) || this.#revisions.get(key) === revision) return
    this.#revisions.set(key, revision)
    const after = this.#read<SpecRecord>(key)
    if (after === undefined) return
    const { unit, timer, round } = after
    if (round !== undefined && isTimerName(round.by)) {
      const began = this.#began.get(round.by) ?? new Set()
      this.#began.set(round.by, began.add(`${unit} ${round.number}`))
    }
    if (timer?.lastFiredAtMs === undefined || timer.lastScheduledMs === undefined) return
    const previous = this.#fleet.store.readPrevious(key)?.json
    const before = previous === undefined ? undefined : (JSON.parse(previous) as SpecRecord).timer
    const isSame =
      before?.lastFiredAtMs === timer.lastFiredAtMs &&
      before.lastScheduledMs === timer.lastScheduledMs
    if (isSame) return
    const { activatedAtMs } = timer
    const fired = this.fired.get(unit) ?? { activatedAtMs, moments: [] }
    this.fired.set(unit, fired)
    fired.moments.push(timer.lastScheduledMs)
  }

  /** A process begins: what is wrong with that. */
  starts(machineId: string, { unit, slot, generation }: SimProcess): string | undefined {
    const record = this.#read<SlotRecord>(slotKey(unit, slot))
    if (record?.generation !== generation || record.machineId !== machineId) return undefined
    const name = `${unit}/${slot} of round ${record.round ?? 0}`
    this.#starts.set(name, (this.#starts.get(name) ?? 0) + 1)
    return record.ended === undefined ? undefined : `${name} starts again after its recorded end`
  }

  /** For the end: what a timer did not do exactly once. */
  wrong(timer: string, how: { readonly isWhole: boolean; readonly isOnce: boolean }) {
    const spec = this.#read<SpecRecord>(specKey(timer))
    const text = this.#read<string>(textKey(timer, spec?.spec ?? 0))
    const { calendars, unit } = readTimer(timer, text ?? '')
    const { moments = [], activatedAtMs = 0 } = this.fired.get(timer) ?? {}
    const began = this.#began.get(timer)?.size ?? 0
    const problems: string[] = []
    if (moments.length === 0) problems.push('never fired')
    if (new Set(moments).size < moments.length) problems.push('fired twice for one moment')
    if (began !== moments.length) {
      problems.push(`fired for ${moments.length} moments, began ${began} rounds`)
    }
    const [calendar] = how.isWhole ? calendars : []
    let last = activatedAtMs
    for (const moment of calendar === undefined ? [] : moments) {
      const next = calendar === undefined ? undefined : nextElapse(calendar, last, 'UTC')
      if (next !== moment) problems.push(`fired for ${moment}, the next one was ${next}`)
      last = moment
    }
    problems.push(...this.#wrongRounds(unit, this.#began.get(timer) ?? new Set(), how.isOnce))
    return problems.length === 0 ? undefined : `${timer} ${problems.slice(0, 3).join('; ')}`
  }

  /** The last moment that it was acted on. */
  lastMs(timer: string): number {
    return this.fired.get(timer)?.moments.at(-1) ?? 0
  }

  isIdle(unit: string): boolean {
    const spec = this.#read<SpecRecord>(specKey(unit))
    return spec !== undefined && isOver(spec)
  }

  #wrongRounds(unit: string, rounds: ReadonlySet<string>, isOnce: boolean): readonly string[] {
    const counts = new Map<string, number>()
    for (const [name, count] of this.#starts) {
      const [, round] = / of round (\d+)$/.exec(name) ?? []
      const key = `${unit} ${round}`
      if (name.startsWith(`${unit}/`)) counts.set(key, (counts.get(key) ?? 0) + count)
    }
    return [...rounds].flatMap((round) => {
      const count = counts.get(round) ?? 0
      if (count === 0) return [`${round} was never started`]
      return count > 1 && isOnce ? [`${round} was started ${count} times`] : []
    })
  }

  #read<T>(key: string): T | undefined {
    const json = this.#fleet.store.read(key)?.json
    return json === undefined ? undefined : (JSON.parse(json) as T)
  }
}
