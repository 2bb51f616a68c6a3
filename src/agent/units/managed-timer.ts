/**
 * One timer of this machine: what is recorded of it, and what is to be done now. The moment is
 * recorded before its service is started, with a mark that it may not have been; the mark goes when
 * it was. An agent that finds the mark starts the service, unless that has started since. So each
 * moment is acted on, once as long as the machine stays up.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { localTimeZone } from '../../io/time-zone.ts'
import type { TimerPart, UnitStatus } from '../../kernel/types.ts'
import { decideTimer, type TimerDecision, type TimerState } from '../../unit/timer-schedule.ts'
import { timerSub } from '../../unit/timer-text.ts'
import type { TimerUnit } from '../../unit/timer-unit.ts'
import type { DecisionJournal } from './decisions.ts'
import { type ManagedUnit, type ManagedUnitDeps, stillRuns } from './managed-unit.ts'
import type { TimerUnitRecord } from './records.ts'

export interface ManagedTimerDeps {
  readonly clock: Clock
  readonly machine: string
  readonly bootId: string
  /** Resolves when it is durable. */
  readonly write: (record: TimerUnitRecord, signal: AbortSignal) => Promise<void>
  /** The service of that name, if this machine has it for its own. */
  readonly service: (name: string) => ManagedUnit | undefined
  readonly journal: DecisionJournal
  /** Runs work that nobody waits for. */
  readonly runInBackground: ManagedUnitDeps['runInBackground']
}

/** A oneshot service is waited for until it has ended. */
const startTimeoutMs = 24 * 3_600_000

export class ManagedTimer {
  readonly #deps: ManagedTimerDeps
  #record: TimerUnitRecord
  #timer: TimerUnit
  #isUnloaded = false

  constructor(deps: ManagedTimerDeps, record: TimerUnitRecord, timer: TimerUnit) {
    this.#deps = deps
    this.#record = record
    this.#timer = timer
  }

  get record(): TimerUnitRecord {
    return this.#record
  }

  get journal(): DecisionJournal {
    return this.#deps.journal
  }

  /** Whether somebody wants it to elapse in this boot. */
  get wanted(): boolean {
    return this.#record.wanted && this.#record.wantedBootId === this.#deps.bootId
  }

  /** After a start of the agent: what is enabled elapses again, what was begun is done. */
  async resume(signal: AbortSignal): Promise<void> {
    const { enabled, wantedBootId } = this.#record
    if (enabled && wantedBootId !== this.#deps.bootId) await this.want(true, 'Holon', signal)
    if (this.#record.starting) this.#startService()
  }

  async load(record: TimerUnitRecord, timer: TimerUnit, signal: AbortSignal): Promise<void> {
    await this.#write(record, signal)
    this.#timer = timer
  }

  /** `forget` removes what is recorded. `conflict` while it is wanted. */
  async unload(forget: () => Promise<void>): Promise<void> {
    if (this.wanted) throw stillRuns(this.#record.name)
    await this.journal.flush()
    this.#isUnloaded = true
    try {
      await forget()
    } catch (error) {
      this.#isUnloaded = false
      throw error
    }
  }

  async enable(enabled: boolean, signal: AbortSignal): Promise<void> {
    await this.#change({ enabled }, signal)
  }

  async want(wanted: boolean, by: string, signal: AbortSignal): Promise<void> {
    const { clock, bootId, service, journal } = this.#deps
    if (wanted === this.wanted) return
    const { unit } = this.#timer
    if (wanted && service(unit) === undefined) {
      throw new HolonError(
        'not_found',
        `start ${this.#record.name}: it starts ${unit}, which is not loaded here; ` +
          `\`holon enable ./${unit}\` loads it`,
      )
    }
    journal.add(wanted ? 'start' : 'stop', `asked by ${by}`)
    const activated = wanted ? { activatedAtMs: clock.wallMs() } : {}
    await this.#change({ wanted, wantedBootId: bootId, ...activated }, signal)
  }

  /** Does what is due, and tells when to be asked again; undefined: when its service changes. */
  async look(signal: AbortSignal): Promise<number | undefined> {
    if (!this.wanted) return undefined
    const wallMs = this.#deps.clock.wallMs()
    const decision = this.#decide(wallMs)
    if (decision?.kind === 'wait') return decision.dueMs
    if (decision?.kind === 'fire') {
      const { scheduledMs: lastScheduledMs } = decision
      await this.#change({ lastScheduledMs, lastFiredAtMs: wallMs, starting: true }, signal)
      const when = new Date(lastScheduledMs).toISOString()
      this.journal.add(`start ${this.#timer.unit}`, `scheduled ${when}`)
      this.#startService()
      return wallMs
    }
    if (decision?.kind === 'pass') {
      await this.#change({ lastScheduledMs: decision.scheduledMs }, signal)
      this.journal.add('pass over', 'missed: OnMissed=skip')
      return wallMs
    }
    if (decision?.kind === 'elapsed' && !this.#timer.remainAfterElapse) {
      await this.want(false, 'its own end', signal)
    }
    return undefined
  }

  status(): UnitStatus {
    const { name, enabled, loadedAtMs, sourcePath } = this.#record
    const part = this.#part()
    const kind = this.#decide(this.#deps.clock.wallMs())?.kind ?? 'no-target'
    return {
      name,
      scope: 'machine',
      machines: [this.#deps.machine],
      description: this.#timer.description,
      load: 'loaded',
      active: this.wanted ? 'active' : 'inactive',
      sub: timerSub(this.wanted, part, kind),
      enabled,
      wanted: this.wanted,
      instances: [],
      instancesWanted: 0,
      loadedAtMs,
      notes: [],
      timer: part,
      ...(sourcePath === undefined ? {} : { sourcePath }),
    }
  }

  get unit(): string {
    return this.#timer.unit
  }

  #decide(wallMs: number): TimerDecision | undefined {
    const timer = this.#timer
    const service = this.#deps.service(timer.unit)
    if (service === undefined) return undefined
    const context = { zone: localTimeZone(), seed: this.#deps.machine }
    const seen = serviceState(service)
    const unitRunning = seen.unitRunning || this.#record.starting
    return decideTimer(timer, { ...this.#record, ...seen, unitRunning }, context, wallMs)
  }

  #part(): TimerPart {
    const { lastFiredAtMs: lastMs, lastScheduledMs } = this.#record
    const decision = this.wanted ? this.#decide(this.#deps.clock.wallMs()) : undefined
    const nextMs = decision?.kind === 'wait' ? decision.dueMs : undefined
    return {
      unit: this.#timer.unit,
      ...(nextMs === undefined ? {} : { nextMs }),
      ...(lastMs === undefined ? {} : { lastMs }),
      ...(lastScheduledMs === undefined ? {} : { lastScheduledMs }),
      machines: lastMs === undefined ? [] : [this.#deps.machine],
      waits: this.#waits(decision?.kind),
    }
  }

  #waits(kind: TimerDecision['kind'] | undefined): string {
    const { unit } = this.#timer
    if (!this.wanted) return 'it is stopped'
    if (kind === undefined) return `${unit} is not loaded here`
    if (kind === 'wait-for-unit') return `it waits for ${unit}`
    if (kind === 'elapsed') return 'it will not elapse again'
    return kind === 'wait' ? 'its time has not come' : 'it is due'
  }

  /** The mark stays until it is up, has ended or failed; what has started since is left alone. */
  #startService(): void {
    const service = this.#deps.service(this.#timer.unit)
    const { lastFiredAtMs = 0, name } = this.#record
    const work = async (signal: AbortSignal) => {
      try {
        const { unitActiveAtMs = 0 } = service === undefined ? {} : serviceState(service)
        if (unitActiveAtMs < lastFiredAtMs) await service?.start(name, signal)
      } finally {
        await this.#change({ starting: false }, signal)
      }
    }
    this.#deps.runInBackground(`${name}: start ${this.#timer.unit}`, work, startTimeoutMs)
  }

  async #change(change: Partial<TimerUnitRecord>, signal: AbortSignal): Promise<void> {
    await this.#write({ ...this.#record, ...change }, signal)
  }

  async #write(record: TimerUnitRecord, signal: AbortSignal): Promise<void> {
    if (this.#isUnloaded) {
      throw new HolonError('conflict', `${record.name} was unloaded meanwhile; load its file again`)
    }
    await this.#deps.write(record, signal)
    this.#record = record
  }
}

type ServiceState = Pick<TimerState, 'unitRunning' | 'unitActiveAtMs' | 'unitInactiveAtMs'>

function serviceState(service: ManagedUnit): ServiceState {
  const running: ReadonlySet<string | undefined> = new Set(['up', 'busy', 'stopping'])
  const instances = service.instances()
  const unitRunning = instances.some((instance) => running.has(instance.condition()))
  const states = instances.flatMap(({ state }) => (state === undefined ? [] : [state]))
  if (states.length === 0) return { unitRunning }
  return {
    unitRunning,
    unitActiveAtMs: Math.max(...states.map(({ startedMs }) => startedMs)),
    unitInactiveAtMs: Math.max(...states.map(({ sinceMs }) => sinceMs)),
  }
}
