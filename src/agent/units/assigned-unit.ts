/**
 * A unit of the fleet on this machine: the instances that were assigned here. Which ones, and with
 * which text, is decided by the fleet; this carries it out and tells how it goes.
 *
 * Each instance's record is on the disk before its job starts, and says so before its job is
 * stopped: the next agent knows what it takes over, and that a stop was meant.
 */
import { asHolonError, HolonError } from '../../base/errors.ts'
import type { HeldLease } from '../../cluster/lease/holder.ts'
import { leaseTimes, type Moment } from '../../cluster/lease/times.ts'
import type { HostedInstance, HostedPhase, StartOrder } from '../../cluster/reconcile/host.ts'
import type { ExitStatus } from '../../kernel/types.ts'
import type { ServiceUnit } from '../../unit/service-unit.ts'
import { Changes } from '../emitter.ts'
import type { JobEvent } from '../keeper/records.ts'
import type { DecisionJournal } from './decisions.ts'
import { Instance, type InstanceDeps } from './instance.ts'
import type { LoadedUnit, ManagedUnitDeps } from './managed-unit.ts'
import { narrate } from './narrate.ts'
import type { AssignedRecord, UnitRecord } from './records.ts'

export interface AssignedUnitDeps extends Omit<ManagedUnitDeps, 'write' | 'bootId'> {
  readonly read: (name: string, text: string) => LoadedUnit
  readonly save: (record: AssignedRecord, signal: AbortSignal) => Promise<void>
  readonly forget: (record: AssignedRecord, signal: AbortSignal) => Promise<void>
}

interface Assigned {
  readonly instance: Instance
  record: AssignedRecord
}

/** Between the keeper's kill and the moment at which another machine may start the instance. */
const killMarginMs = 200
const leaseTimeoutMs = 2_000

export class AssignedUnit {
  readonly scope = 'fleet'
  readonly name: string
  readonly changes = new Changes()
  readonly journal: DecisionJournal
  readonly unmet = undefined
  readonly #deps: AssignedUnitDeps
  readonly #assigned = new Map<number, Assigned>()
  #loaded: LoadedUnit = { kind: 'refused', error: new HolonError('internal', 'nothing is here') }

  constructor(deps: AssignedUnitDeps, name: string, journal: DecisionJournal) {
    this.#deps = deps
    this.name = name
    this.journal = journal
  }

  // ---- what is shown of it

  get loaded(): LoadedUnit {
    return this.#loaded
  }

  get wanted(): boolean {
    return this.#assigned.size > 0
  }

  get record(): UnitRecord {
    const [first] = this.#assigned.values()
    const { text = '', atMs = 0 } = first?.record ?? {}
    const wish = { enabled: true, wanted: this.wanted, wantedBootId: '' }
    return { name: this.name, text, loadedAtMs: atMs, ...wish }
  }

  instances(): readonly Instance[] {
    const all = [...this.#assigned.values()].map(({ instance }) => instance)
    return all.sort((a, b) => a.number - b.number)
  }

  instancesWanted(): number {
    return this.#assigned.size
  }

  start(): Promise<void> {
    throw this.#ofTheFleet('start')
  }

  stop(): Promise<void> {
    throw this.#ofTheFleet('stop')
  }

  restart(): Promise<void> {
    throw this.#ofTheFleet('restart')
  }

  enable(): Promise<void> {
    throw this.#ofTheFleet('enable')
  }

  // ---- what the fleet does with it

  hosted(): readonly HostedInstance[] {
    return [...this.#assigned.values()].flatMap(({ instance, record }) => {
      const phase = hostedPhase(instance, record)
      if (phase === undefined) return []
      const { state } = instance
      const { unit, slot, generation, spec, exclusive } = record
      const sinceMs = state?.sinceMs ?? record.atMs
      const forMs = Math.max(0, this.#deps.clock.wallMs() - sinceMs)
      const ended = exitText(state?.exit)
      const why = state === undefined ? '' : `result ${state.result}${ended && `, ${ended}`}`
      const times = state?.restarts ?? 0
      const restarted = times === 0 ? {} : { restarted: { times, why: ended } }
      return [{ unit, slot, generation, spec, exclusive, phase, why, forMs, ...restarted }]
    })
  }

  /** Takes over what an earlier agent recorded. */
  async adopt(record: AssignedRecord, signal: AbortSignal): Promise<void> {
    const assigned = this.#assign(record)
    this.#loaded = this.#deps.read(this.name, record.text)
    try {
      await assigned.instance.adopt(signal)
    } catch (error) {
      const { message } = asHolonError(error)
      this.#deps.report(`${assigned.instance.name}: cannot be taken over: ${message}`)
    }
    if (assigned.instance.condition() !== undefined) return
    this.#assigned.delete(record.slot)
    await this.#deps.forget(record, signal)
  }

  async run(order: StartOrder, signal: AbortSignal): Promise<void> {
    const { slot, generation, spec, text, lease, secrets = new Map() } = order
    const loaded = this.#deps.read(this.name, text)
    if (loaded.kind === 'refused') throw loaded.error
    this.#requireFree(slot)
    this.#check(loaded.unit)
    const record: AssignedRecord = {
      unit: this.name,
      slot,
      generation,
      spec,
      text,
      exclusive: loaded.unit.placement.partition === 'at-most',
      atMs: this.#deps.clock.wallMs(),
      stopping: false,
      ...(lease === undefined ? {} : { epoch: lease.epoch }),
    }
    await this.#deps.save(record, signal)
    const { instance } = this.#assign(record)
    this.#loaded = loaded
    const why = `generation ${generation} of text ${spec}`
    this.journal.add('start', why, { instance: instance.name })
    try {
      const terms = {
        secrets,
        fence: generation,
        ...(lease === undefined ? {} : { lease: jobLease(lease.until) }),
      }
      const prepare = async () => {
        const job = await this.#deps.compile(loaded.unit, instance, why, signal, terms)
        this.journal.forgetJob(instance.job)
        return job
      }
      await instance.start(prepare, signal)
    } catch (error) {
      const failure = asHolonError(error, `start ${instance.name}`)
      this.journal.add('start failed', failure.message, { instance: instance.name })
      if (instance.condition() === undefined) await this.#drop(slot, signal)
      throw failure
    }
  }

  /** Resolves when nothing of the instance is left. */
  async end(slot: number, why: string, signal: AbortSignal): Promise<void> {
    const assigned = this.#assigned.get(slot)
    if (assigned === undefined) return
    const { instance } = assigned
    if (!assigned.record.stopping) {
      assigned.record = { ...assigned.record, stopping: true }
      this.journal.add('stop', why, { instance: instance.name })
      await this.#deps.save(assigned.record, signal)
    }
    await instance.stop(why, signal)
    await this.changes.until(() => (isOver(instance) ? true : undefined), signal)
    await instance.clear()
    this.journal.forgetJob(instance.job)
    await this.#drop(slot, signal)
  }

  async endAll(why: string, signal: AbortSignal): Promise<void> {
    await Promise.all([...this.#assigned.keys()].map((slot) => this.end(slot, why, signal)))
  }

  /** What runs under the lease's epoch ends with it; where the keeper is not told, sooner. */
  extend({ epoch, until }: HeldLease): void {
    for (const { instance, record } of this.#assigned.values()) {
      if (record.epoch !== epoch || isOver(instance)) continue
      this.#deps.runInBackground(
        `extend the lease of ${instance.name}`,
        (signal) => instance.lease(jobLease(until).until, signal),
        leaseTimeoutMs,
      )
    }
  }

  #assign(record: AssignedRecord): Assigned {
    const known = this.#assigned.get(record.slot)
    if (known !== undefined) {
      known.record = record
      return known
    }
    const job = `unit/${this.name}/${record.slot}`
    const deps: InstanceDeps = {
      ...this.#deps,
      changed: () => this.changes.notify(),
      event: (of, event) => this.#onEvent(of, event),
      seen: (of) => this.journal.seen(of),
    }
    const instance = new Instance(deps, this.name, record.slot, this.#deps.jobDir(job))
    const assigned = { instance, record }
    this.#assigned.set(record.slot, assigned)
    return assigned
  }

  async #drop(slot: number, signal: AbortSignal): Promise<void> {
    const assigned = this.#assigned.get(slot)
    if (assigned === undefined) return
    await this.#deps.forget(assigned.record, signal)
    this.#assigned.delete(slot)
    this.changes.notify()
  }

  #requireFree(slot: number): void {
    const there = this.#assigned.get(slot)
    if (there === undefined || isOver(there.instance)) return
    throw new HolonError('conflict', `${there.instance.name} runs here already`)
  }

  #check(unit: ServiceUnit): void {
    const verdict = this.#deps.checkConditions(unit.name, unit.placement.conditions)
    if (verdict.kind === 'met') return
    throw new HolonError('conflict', `${verdict.which} is not met on this machine`)
  }

  #onEvent(instance: Instance, event: JobEvent): void {
    const told = narrate(event)
    if (told !== undefined) {
      this.journal.add(told.what, told.why, { instance: instance.name, atMs: event.wallMs })
    }
    this.journal.markSeen(instance.job, event.seq)
  }

  #ofTheFleet(verb: string): HolonError {
    return new HolonError(
      'conflict',
      `${this.name} belongs to the fleet, not to one machine: \`holon ${verb} ${this.name}\``,
    )
  }
}

function jobLease({ bootMs, wallMs }: Moment) {
  const graceMs = leaseTimes.stopMs - killMarginMs
  return { until: { bootMs: bootMs + graceMs, wallMs: wallMs + graceMs }, graceMs }
}

function isOver(instance: Instance): boolean {
  const condition = instance.condition()
  return condition === undefined || condition === 'ended' || condition === 'lost'
}

/** "status 1", "SIGKILL"; empty where it is not known. */
function exitText(exit: ExitStatus | undefined): string {
  if (exit?.execErrno !== undefined) return `cannot be executed: ${exit.execErrno}`
  return exit?.signal ?? (exit?.code === undefined ? '' : `status ${exit.code}`)
}

const readyPhases: ReadonlySet<string> = new Set(['running', 'exited', 'reload-notify'])

function hostedPhase(instance: Instance, record: AssignedRecord): HostedPhase | undefined {
  const { state } = instance
  switch (instance.condition()) {
    case undefined:
      return undefined
    case 'busy':
      return 'starting'
    case 'lost':
      return 'stopped'
    case 'stopping':
      return 'stopping'
    case 'up':
      return readyPhases.has(instance.phase ?? '') ? 'ready' : 'starting'
    case 'ended':
      if (record.stopping || state?.result === 'lease') return 'stopped'
      return state?.phase === 'failed' ? 'failed' : 'ended'
  }
}
