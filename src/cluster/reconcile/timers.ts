/**
 * The leader's work on timers: when one is due, the moment is recorded and its unit's next round
 * begins, in one txn on exactly the two records that were looked at. So whoever leads, and however
 * often the lead changes in the middle, each moment is acted on once: a txn that may have happened
 * makes any other on the same records fail.
 */
import type { Clock } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { Condition, Put } from '../../state/port.ts'
import { isTimerName, type TimerUnit } from '../../unit/timer-unit.ts'
import type { ControlView } from './control-view.ts'
import { type SpecRecord, type Stored, specKey } from './records.ts'
import { started, startedBeside } from './rounds.ts'
import { decideFleetTimer, type TimerView } from './timer-view.ts'

export interface TimersDeps {
  readonly clock: Clock
  readonly view: ControlView
  /** The same on all machines of one fleet, and of no other. */
  readonly seed: string
  /** Rejects when the text cannot be had or read. */
  readonly timer: (name: string, spec: number, signal: AbortSignal) => Promise<TimerUnit>
  /** The revision; undefined when somebody was faster, or it is not known what became of it. */
  readonly commit: (
    conditions: readonly Condition[],
    then: readonly Put[],
  ) => Promise<number | undefined>
  /** Whether all instances of the unit's last round have a place. */
  readonly isPlaced: (unit: string) => boolean
  /** The unit is to be looked at. */
  readonly changed: (unit: string) => void
  readonly decided: (unit: string, what: string, why: string) => void
  readonly report: (message: string) => void
}

interface KnownTimer {
  readonly spec: number
  readonly timer: TimerUnit
  /** Wall time of the next look; undefined: when something changes. */
  dueMs?: number | undefined
}

/** A wall clock that was set is noticed by more than this. */
const jumpMs = 1_000

export class Timers {
  readonly #deps: TimersDeps
  readonly #known = new Map<string, KnownTimer>()
  #dirty = new Set<string>()
  /** To be looked at again with the next look, whenever that is. */
  #later = new Set<string>()
  #offsetMs: number | undefined

  constructor(deps: TimersDeps) {
    this.#deps = deps
  }

  /** A timer, or a unit that one may start. */
  changed(unit: string): void {
    if (isTimerName(unit)) this.#dirty.add(unit)
    for (const [name, { timer }] of this.#known) if (timer.unit === unit) this.#dirty.add(name)
  }

  /** How long until something may be due, at most `maxMs`. */
  pauseMs(maxMs: number): number {
    const wallMs = this.#deps.clock.wallMs()
    let pauseMs = this.#dirty.size > 0 ? 0 : maxMs
    for (const { dueMs = Number.POSITIVE_INFINITY } of this.#known.values()) {
      pauseMs = Math.min(pauseMs, Math.max(0, dueMs - wallMs))
    }
    return pauseMs
  }

  /** Acts on what is due now. */
  async look(signal: AbortSignal): Promise<void> {
    const wallMs = this.#deps.clock.wallMs()
    if (this.#wasSet(wallMs)) for (const name of this.#known.keys()) this.#dirty.add(name)
    for (const [name, { dueMs }] of this.#known) {
      if (dueMs !== undefined && dueMs <= wallMs) this.#dirty.add(name)
    }
    const names = [...new Set([...this.#dirty, ...this.#later])].sort()
    this.#dirty = new Set()
    this.#later = new Set()
    for (const name of names) {
      try {
        await this.#lookAt(name, signal)
      } catch (error) {
        if (signal.aborted) return
        this.#deps.report(`${name}: ${asHolonError(error).message}`)
        this.#later.add(name)
      }
    }
  }

  async #lookAt(name: string, signal: AbortSignal): Promise<void> {
    const { clock, view } = this.#deps
    const stored = view.specs.get(name)
    if (stored === undefined) {
      this.#known.delete(name)
      return
    }
    const known = await this.#learn(name, stored.record.spec, signal)
    const target = view.specs.get(known.timer.unit)
    const seen = this.#seen(known.timer, stored.record, target?.record)
    const wallMs = clock.wallMs()
    const decision = decideFleetTimer(seen, wallMs)
    known.dueMs = decision.kind === 'wait' ? decision.dueMs : undefined
    if (decision.kind === 'fire' && target !== undefined) {
      await this.#fire(seen, stored, target, decision, wallMs)
    } else if (decision.kind === 'pass') {
      const { missedFromMs, scheduledMs: lastScheduledMs } = decision
      const why = `missed from ${isoTime(missedFromMs)} to ${isoTime(lastScheduledMs)}`
      await this.#record(stored, { lastScheduledMs }, 'pass over', `${why}: OnMissed=skip`)
    } else if (decision.kind === 'elapsed' && !known.timer.remainAfterElapse) {
      await this.#record(stored, {}, 'stop', 'it will not elapse again')
    }
  }

  #seen(timer: TimerUnit, spec: SpecRecord, target: SpecRecord | undefined): TimerView {
    const { view, seed, isPlaced } = this.#deps
    const slots = [...view.slots(timer.unit).values()].map(({ record }) => record)
    // A round begins beside another one only when that has a place for each of its instances.
    const waits = timer.overlap === 'allow' && !isPlaced(timer.unit)
    return { timer: waits ? { ...timer, overlap: 'queue' } : timer, spec, target, slots, seed }
  }

  async #fire(
    { timer }: TimerView,
    own: Stored<SpecRecord>,
    target: Stored<SpecRecord>,
    decision: { readonly scheduledMs: number; readonly missedFromMs?: number },
    atMs: number,
  ): Promise<void> {
    const { view, commit, changed, decided } = this.#deps
    const { unit: name } = own.record
    const { scheduledMs, missedFromMs } = decision
    const isBeside = timer.overlap === 'allow'
    const begun = (isBeside ? startedBeside : started)(target.record, name, atMs)
    const after = acted(own.record, { lastScheduledMs: scheduledMs, lastFiredAtMs: atMs })
    const revision = await commit(
      [condition(own), condition(target)],
      [putSpec(after), putSpec(begun)],
    )
    if (revision === undefined) {
      this.#later.add(name)
      return
    }
    this.#dirty.add(name)
    view.wroteSpec({ record: after, revision })
    view.wroteSpec({ record: begun, revision })
    changed(timer.unit)
    const missed = missedFromMs === undefined ? '' : `, for all since ${isoTime(missedFromMs)}`
    const number = `round ${begun.round?.number}`
    decided(name, `start ${timer.unit}`, `${number}, scheduled ${isoTime(scheduledMs)}${missed}`)
    decided(timer.unit, number, `started by ${name}, scheduled ${isoTime(scheduledMs)}`)
  }

  async #record(
    own: Stored<SpecRecord>,
    done: { readonly lastScheduledMs?: number },
    what: 'pass over' | 'stop',
    why: string,
  ): Promise<void> {
    const record = { ...acted(own.record, done), ...(what === 'stop' ? { wanted: false } : {}) }
    const revision = await this.#deps.commit([condition(own)], [putSpec(record)])
    if (revision === undefined) {
      this.#later.add(record.unit)
      return
    }
    this.#dirty.add(record.unit)
    this.#deps.view.wroteSpec({ record, revision })
    this.#deps.decided(record.unit, what, why)
  }

  async #learn(name: string, spec: number, signal: AbortSignal): Promise<KnownTimer> {
    const known = this.#known.get(name)
    if (known?.spec === spec) return known
    const learnt = { spec, timer: await this.#deps.timer(name, spec, signal) }
    this.#known.set(name, learnt)
    return learnt
  }

  #wasSet(wallMs: number): boolean {
    const offsetMs = wallMs - this.#deps.clock.nowMs()
    const before = this.#offsetMs
    this.#offsetMs = offsetMs
    return before !== undefined && Math.abs(offsetMs - before) > jumpMs
  }
}

function acted(
  spec: SpecRecord,
  done: { readonly lastScheduledMs?: number; readonly lastFiredAtMs?: number },
): SpecRecord {
  return spec.timer === undefined ? spec : { ...spec, timer: { ...spec.timer, ...done } }
}

function condition({ record, revision }: Stored<SpecRecord>): Condition {
  return { key: specKey(record.unit), revision }
}

function putSpec(record: SpecRecord): Put {
  return { kind: 'put', key: specKey(record.unit), value: record, schema: 1 }
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString()
}
