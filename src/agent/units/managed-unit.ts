/**
 * One unit on this machine: the wish recorded in State, the instances that are there, and the verbs
 * that bring them together.
 *
 * A verb first records the wish, then asks the plan, then waits for what it led to. `stop` waits
 * for nobody: it takes back the wish at once, and a start or restart under way notices. When the
 * agent dies in the middle, the recorded wish is what its successor follows.
 */
import type { Clock } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import type { ConditionVerdict } from '../../unit/conditions.ts'
import type { ServiceUnit } from '../../unit/service-unit.ts'
import { Changes } from '../emitter.ts'
import type { JobEvent } from '../keeper/records.ts'
import type { CompileUnit } from './compile.ts'
import type { CheckConditions } from './condition-facts.ts'
import type { DecisionJournal } from './decisions.ts'
import { Instance, type InstanceDeps } from './instance.ts'
import { narrate } from './narrate.ts'
import { type DesiredUnit, type InstanceCondition, planUnit } from './plan.ts'
import type { UnitRecord } from './records.ts'

export interface ManagedUnitDeps extends Omit<InstanceDeps, 'changed' | 'event' | 'seen'> {
  readonly clock: Clock
  readonly bootId: string
  /** Writes the wish; resolves when it is durable. */
  readonly write: (record: UnitRecord, signal: AbortSignal) => Promise<void>
  readonly jobDir: (job: string) => string
  /** The spec of one instance as of now; rejects with what is wrong with the unit. */
  readonly compile: CompileUnit
  readonly checkConditions: CheckConditions
  readonly report: (message: string) => void
  /** Runs work nobody waits for, under a deadline of its own; its failure is reported. */
  readonly runInBackground: (
    what: string,
    work: (signal: AbortSignal) => Promise<void>,
    timeoutMs: number,
  ) => void
}

const backgroundTimeoutMs = 60_000

export type UnmetConditions = Extract<ConditionVerdict, { readonly kind: 'unmet' }>

export type LoadedUnit =
  | { readonly kind: 'loaded'; readonly unit: ServiceUnit }
  | { readonly kind: 'refused'; readonly error: HolonError }

export class ManagedUnit {
  readonly scope: 'machine' | 'fleet' = 'machine'
  readonly name: string
  readonly changes = new Changes()
  readonly journal: DecisionJournal
  readonly #deps: ManagedUnitDeps
  readonly #instances = new Map<number, Instance>()
  #record: UnitRecord
  #loaded: LoadedUnit
  #unmet: UnmetConditions | undefined
  #queue: Promise<unknown> = Promise.resolve()
  #isUnloaded = false

  constructor(
    deps: ManagedUnitDeps,
    record: UnitRecord,
    loaded: LoadedUnit,
    journal: DecisionJournal,
  ) {
    this.#deps = deps
    this.name = record.name
    this.#record = record
    this.#loaded = loaded
    this.journal = journal
  }

  get record(): UnitRecord {
    return this.#record
  }

  get loaded(): LoadedUnit {
    return this.#loaded
  }

  /** Set while the last start was refused or skipped for a condition. */
  get unmet(): UnmetConditions | undefined {
    return this.#unmet
  }

  /** Whether somebody wants it running in this boot. */
  get wanted(): boolean {
    return this.#record.wanted && this.#record.wantedBootId === this.#deps.bootId
  }

  /** In order of their numbers, those without a job included while they are wanted. */
  instances(): readonly Instance[] {
    return [...this.#instances.values()].sort((a, b) => a.number - b.number)
  }

  instancesWanted(): number {
    return this.#loaded.kind === 'loaded' ? this.#loaded.unit.placement.instances : 0
  }

  /** Takes over the jobs of these instances. What cannot be taken over is reported. */
  async adopt(numbers: readonly number[], signal: AbortSignal): Promise<void> {
    await Promise.all(
      numbers.map(async (number) => {
        const instance = this.#instance(number)
        try {
          await instance.adopt(signal)
        } catch (error) {
          const { message } = asHolonError(error)
          this.#deps.report(`${instance.name}: cannot be taken over: ${message}`)
        }
      }),
    )
  }

  /** Starts what should run and does not: after a boot what is enabled. */
  async resume(signal: AbortSignal): Promise<void> {
    if (this.#record.enabled && this.#record.wantedBootId !== this.#deps.bootId) {
      this.journal.add('start', 'enabled, and Holon starts afresh')
      await this.#wish({ wanted: true }, signal)
      await this.#clearEnded(signal)
    }
    await this.reconcile(signal)
  }

  /** Replaces the unit's text. Running instances keep the old one until they are restarted. */
  async load(record: UnitRecord, loaded: LoadedUnit, signal: AbortSignal): Promise<void> {
    await this.#write(record, signal)
    this.#loaded = loaded
    this.changes.notify()
  }

  async enable(enabled: boolean, signal: AbortSignal): Promise<void> {
    if (enabled) this.#requireLoaded()
    await this.#wish({ enabled }, signal)
  }

  /** Resolves when every wanted instance is up or has failed. */
  start(by: string, signal: AbortSignal): Promise<void> {
    return this.#oneAtATime(async () => {
      this.#requireLoaded()
      if (!this.wanted) this.journal.add('start', `asked by ${by}`)
      await this.#wish({ wanted: true }, signal)
      await this.#clearEnded(signal)
      await this.reconcile(signal)
      for (const instance of this.instances()) await this.#untilSettled(instance, signal)
    })
  }

  /** Resolves when no instance runs any more. */
  async stop(by: string, signal: AbortSignal): Promise<void> {
    if (this.wanted) this.journal.add('stop', `asked by ${by}`)
    this.#unmet = undefined
    await this.#wish({ wanted: false }, signal)
    await Promise.all(this.instances().map((instance) => instance.stop(`asked by ${by}`, signal)))
    for (const instance of this.instances()) {
      await this.changes.until(() => (isDown(instance.condition()) ? true : undefined), signal)
    }
  }

  /** As a stop, but an enabled unit starts again with the next agent. */
  async stopAll(by: string, signal: AbortSignal): Promise<void> {
    if (!this.wanted) return
    await this.stop(by, signal)
    await this.#write({ ...this.#record, wantedBootId: '' }, signal)
  }

  /** One after another; ends at the first that does not come up again, the others untouched. */
  restart(by: string, only: number | undefined, signal: AbortSignal): Promise<void> {
    return this.#oneAtATime(async () => {
      this.#requireLoaded()
      this.journal.add(
        'restart',
        `asked by ${by}`,
        only ? { instance: `${this.name}/${only}` } : {},
      )
      await this.#wish({ wanted: true }, signal)
      const last = this.instancesWanted()
      if (only !== undefined && (only < 1 || only > last)) {
        throw new HolonError('not_found', `${this.name} has instances 1 to ${last}, not ${only}`)
      }
      for (let number = only ?? 1; number <= (only ?? last); number++) {
        const instance = this.#instance(number)
        await instance.stop(`restart asked by ${by}`, signal)
        await this.changes.until(() => (isDown(instance.condition()) ? true : undefined), signal)
        if (!this.wanted) throw new HolonError('cancelled', `${this.name} was stopped meanwhile`)
        await this.#startInstance(instance, `restart asked by ${by}`, signal)
        await this.#untilSettled(instance, signal)
        if (instance.state?.phase === 'failed' && only === undefined && number < last) {
          this.journal.add('restart ends here', `${instance.name} did not come up`)
          return
        }
      }
      await this.reconcile(signal)
    })
  }

  /**
   * Removes what its jobs left, then `forget` removes what is recorded; from then on nothing is
   * recorded of it any more. `conflict` while it is wanted or runs.
   */
  unload(forget: () => Promise<void>): Promise<void> {
    return this.#oneAtATime(async () => {
      if (this.wanted || !this.instances().every((instance) => isDown(instance.condition()))) {
        throw stillRuns(this.name)
      }
      for (const instance of this.instances()) await instance.clear()
      await this.journal.flush()
      this.#isUnloaded = true
      try {
        await forget()
      } catch (error) {
        this.#isUnloaded = false
        throw error
      }
    })
  }

  /**
   * Carries out what the plan says, task by task; a failed task is recorded and the rest goes on.
   */
  async reconcile(signal: AbortSignal): Promise<void> {
    const current = new Map<number, InstanceCondition>()
    for (const instance of this.instances()) {
      const condition = instance.condition()
      if (condition !== undefined) current.set(instance.number, condition)
    }
    for (const task of planUnit(this.#desired(), current)) {
      const instance = this.#instance(task.instance)
      if (task.kind === 'start') await this.#startInstance(instance, task.reason, signal)
      if (task.kind === 'stop') await instance.stop(task.reason, signal)
      if (task.kind === 'clear') await instance.clear()
      if (task.kind !== 'start')
        this.journal.add(task.kind, task.reason, { instance: instance.name })
      if (instance.condition() === undefined) this.#instances.delete(task.instance)
    }
  }

  #desired(): DesiredUnit {
    const unit = this.#loaded.kind === 'loaded' ? this.#loaded.unit : undefined
    // A unit that cannot be read any more stays as it runs: refusing to load stops nothing.
    return {
      wanted: this.wanted,
      instances: unit?.placement.instances ?? Math.max(0, ...this.#instances.keys()),
      restartsWhenLost:
        unit !== undefined && unit.restart !== 'no' && unit.restart !== 'on-success',
    }
  }

  #instance(number: number): Instance {
    const known = this.#instances.get(number)
    if (known !== undefined) return known
    const job = `unit/${this.name}/${number}`
    const deps: InstanceDeps = {
      ...this.#deps,
      changed: () => this.#onChange(instance),
      event: (of, event) => this.#onEvent(of, event),
      seen: (of) => this.journal.seen(of),
    }
    const instance: Instance = new Instance(deps, this.name, number, this.#deps.jobDir(job))
    this.#instances.set(number, instance)
    return instance
  }

  /** Clears what has ended, so that it counts as not there and is started again. */
  async #clearEnded(signal: AbortSignal): Promise<void> {
    for (const instance of this.instances()) {
      await this.#untilNot(instance, 'stopping', signal)
      if (instance.condition() !== 'ended' && instance.condition() !== 'lost') continue
      await instance.clear()
      this.journal.forgetJob(instance.job)
    }
  }

  /** An unmet condition is no failure: the instance stays as it is. */
  async #startInstance(instance: Instance, reason: string, signal: AbortSignal): Promise<void> {
    if (this.#loaded.kind !== 'loaded') throw this.#loaded.error
    const { unit } = this.#loaded
    this.journal.add('start', reason, { instance: instance.name })
    try {
      if (!this.#meetsConditions(unit, instance)) return
      const prepare = async () => {
        const job = await this.#deps.compile(unit, instance, reason, signal)
        this.journal.forgetJob(instance.job)
        return job
      }
      await instance.start(prepare, signal)
    } catch (error) {
      const failure = asHolonError(error, `start ${instance.name}`)
      this.journal.add('start failed', failure.message, { instance: instance.name })
      throw failure
    }
  }

  /** False: the start is skipped. `conflict` when an assertion makes it fail. */
  #meetsConditions(unit: ServiceUnit, instance: Instance): boolean {
    const verdict = this.#deps.checkConditions(unit.name, unit.placement.conditions)
    this.#unmet = verdict.kind === 'unmet' ? verdict : undefined
    if (verdict.kind === 'met') return true
    const why = `${verdict.which} is not met on this machine`
    if (verdict.assertion) throw new HolonError('conflict', `start ${instance.name}: ${why}`)
    this.journal.add('start skipped', why, { instance: instance.name })
    return false
  }

  #onEvent(instance: Instance, event: JobEvent): void {
    const told = narrate(event)
    if (told !== undefined) {
      this.journal.add(told.what, told.why, { instance: instance.name, atMs: event.wallMs })
    }
    this.journal.markSeen(instance.job, event.seq)
  }

  #onChange(instance: Instance): void {
    this.changes.notify()
    const condition = instance.condition()
    const surplus = condition === 'ended' && this.wanted && instance.number > this.instancesWanted()
    if (condition !== 'lost' && !surplus) return
    if (condition === 'lost') {
      this.journal.add('lost', 'its keeper died and took it along', { instance: instance.name })
    }
    this.#deps.runInBackground(
      `reconcile ${instance.name}`,
      (signal) => this.reconcile(signal),
      backgroundTimeoutMs,
    )
  }

  #untilSettled(instance: Instance, signal: AbortSignal): Promise<true> {
    return this.changes.until(() => (isSettled(instance) ? true : undefined), signal)
  }

  #untilNot(instance: Instance, condition: InstanceCondition, signal: AbortSignal): Promise<true> {
    return this.changes.until(() => (instance.condition() !== condition ? true : undefined), signal)
  }

  async #wish(wish: Partial<Pick<UnitRecord, 'wanted' | 'enabled'>>, signal: AbortSignal) {
    const record = {
      ...this.#record,
      ...wish,
      wantedBootId: wish.wanted === undefined ? this.#record.wantedBootId : this.#deps.bootId,
    }
    await this.#write(record, signal)
    this.changes.notify()
  }

  async #write(record: UnitRecord, signal: AbortSignal): Promise<void> {
    if (this.#isUnloaded) {
      throw new HolonError('conflict', `${this.name} was unloaded meanwhile; load its file again`)
    }
    await this.#deps.write(record, signal)
    this.#record = record
  }

  #requireLoaded(): void {
    if (this.#loaded.kind === 'refused') throw this.#loaded.error
  }

  /** Starts and restarts of one unit never overlap. */
  #oneAtATime(work: () => Promise<void>): Promise<void> {
    const turn = this.#queue.then(work)
    this.#queue = turn.catch(() => {})
    return turn
  }
}

/** Why it is not unloaded. */
export function stillRuns(name: string): HolonError {
  return new HolonError(
    'conflict',
    `unload ${name}: it is wanted or still runs; \`holon stop ${name}\` first, or use --now`,
  )
}

function isDown(condition: InstanceCondition | undefined): boolean {
  return condition === undefined || condition === 'ended' || condition === 'lost'
}

const startingPhases: ReadonlySet<string> = new Set(['start-pre', 'start', 'start-post', 'unready'])

/** Up, or failed, or waiting to be restarted: a `start` has its answer. */
function isSettled(instance: Instance): boolean {
  const condition = instance.condition()
  if (condition === 'busy' || condition === 'stopping') return false
  const { phase } = instance
  return !(phase !== undefined && startingPhases.has(phase))
}
