/**
 * All timers of this machine alone: loading them from State, looking at each when it may be due.
 * What a fleet's timers do is in cluster/reconcile/timers.ts; both ask the same pure decision.
 */
import type { Clock, Timer } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import type { UnitFile } from '../../kernel/kernel.ts'
import { unitProblemsError } from '../../unit/parse.ts'
import { loadTimer, type TimerUnit } from '../../unit/timer-unit.ts'
import type { Records } from '../records.ts'
import { ManagedTimer } from './managed-timer.ts'
import type { ManagedUnitDeps } from './managed-unit.ts'
import {
  decisionKey,
  decisionPrefix,
  parseTimerRecord,
  type TimerUnitRecord,
  timerKey,
  timerPrefix,
} from './records.ts'
import type { Units } from './units.ts'

export interface MachineTimersDeps {
  readonly clock: Clock
  readonly machine: string
  readonly bootId: string
  readonly records: Records
  readonly units: Units
  readonly runInBackground: ManagedUnitDeps['runInBackground']
  readonly report: (message: string) => void
}

/** A clock that was set, or a service that ended, is noticed after this. */
const lookMs = 1_000
const lookTimeoutMs = 10_000

export class MachineTimers implements Disposable {
  readonly #deps: MachineTimersDeps
  readonly #timers = new Map<string, ManagedTimer>()
  #next: Timer | undefined
  #isEnded = false

  constructor(deps: MachineTimersDeps) {
    this.#deps = deps
  }

  [Symbol.dispose](): void {
    this.#isEnded = true
    this.#next?.[Symbol.dispose]()
  }

  /** By name. */
  list(): readonly ManagedTimer[] {
    return [...this.#timers.values()].sort((a, b) => (a.record.name < b.record.name ? -1 : 1))
  }

  /** `not_found` with what to do next. */
  find(name: string): ManagedTimer {
    const timer = this.#timers.get(name)
    if (timer !== undefined) return timer
    throw new HolonError(
      'not_found',
      `there is no timer ${name} here; load its file with \`holon start ./${name}\`, ` +
        'or see `holon list-timers -a`',
    )
  }

  /** After the units: what was enabled elapses again. */
  async open(signal: AbortSignal): Promise<void> {
    const { records, report } = this.#deps
    const decisions = await records.list(decisionPrefix, signal)
    for (const [key, value] of await records.list(timerPrefix, signal)) {
      try {
        const record = parseTimerRecord(value)
        const timer = this.#manage(record, read(record), decisions.get(decisionKey(record.name)))
        await timer.resume(signal)
      } catch (error) {
        report(`${key.slice(timerPrefix.length)}: ${asHolonError(error).message}`)
      }
    }
    this.look()
  }

  /** Loads a new or changed file. `invalid_argument` names every line that is not understood. */
  async load(file: UnitFile, by: string, signal: AbortSignal): Promise<ManagedTimer> {
    const { name, text, sourcePath } = file
    const timer = read(file)
    if (timer.overlap === 'allow') {
      throw new HolonError(
        'unsupported',
        `load ${name}: Overlap=allow needs a fleet: here one round runs at a time`,
      )
    }
    const known = this.#timers.get(name)
    const record: TimerUnitRecord = {
      enabled: false,
      wanted: false,
      wantedBootId: '',
      activatedAtMs: 0,
      starting: false,
      ...known?.record,
      name,
      text,
      loadedAtMs: this.#deps.clock.wallMs(),
      ...(sourcePath === undefined ? {} : { sourcePath }),
    }
    const managed = known ?? this.#manage(record, timer, undefined)
    if (known?.record.text !== text) {
      managed.journal.add('load', `${sourcePath ?? 'a unit file'}, given by ${by}`)
    }
    await managed.load(record, timer, signal)
    this.look()
    return managed
  }

  /** `conflict` while it is wanted. Not there is no error. */
  async unload(name: string, signal: AbortSignal): Promise<void> {
    const { records } = this.#deps
    await this.#timers
      .get(name)
      ?.unload(() => records.delete([timerKey(name), decisionKey(name)], signal))
    this.#timers.delete(name)
  }

  /** Looks at all of them, soon and then again and again. */
  look(): void {
    this.#wake(0)
  }

  async close(): Promise<void> {
    this[Symbol.dispose]()
    for (const timer of this.#timers.values()) await timer.journal.flush()
  }

  #wake(ms: number): void {
    this.#next?.[Symbol.dispose]()
    if (this.#isEnded || this.#timers.size === 0) return
    const work = async (signal: AbortSignal) => this.#wake(await this.#lookAtAll(signal))
    const begin = () => this.#deps.runInBackground('look at the timers', work, lookTimeoutMs)
    this.#next = this.#deps.clock.timer(ms, begin, { background: true })
  }

  /** How long until something may be due. */
  async #lookAtAll(signal: AbortSignal): Promise<number> {
    const { clock, report } = this.#deps
    let pauseMs = lookMs
    for (const timer of this.list()) {
      try {
        const dueMs = (await timer.look(signal)) ?? Number.POSITIVE_INFINITY
        pauseMs = Math.min(pauseMs, Math.max(0, dueMs - clock.wallMs()))
      } catch (error) {
        report(`${timer.record.name}: ${asHolonError(error).message}`)
      }
    }
    return pauseMs
  }

  #manage(record: TimerUnitRecord, timer: TimerUnit, decisions: unknown): ManagedTimer {
    const { units, records } = this.#deps
    const { name } = record
    const managed = new ManagedTimer(
      {
        ...this.#deps,
        write: (value, signal) => records.put(timerKey(name), value, signal),
        service: (unit) => units.ownUnit(unit),
        journal: units.journal(name, decisions),
      },
      record,
      timer,
    )
    this.#timers.set(name, managed)
    return managed
  }
}

function read(file: UnitFile): TimerUnit {
  const loaded = loadTimer(file)
  if (loaded.kind === 'loaded') return loaded.unit
  throw unitProblemsError(file.name, loaded.problems)
}
