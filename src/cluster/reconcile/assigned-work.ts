/**
 * A machine's part in running the fleet's units: it follows the work it was given, brings what runs
 * here in line with it, and holds the lease while anything here needs one.
 *
 * What it knows is on its disk, too. While State is away it goes on with that: nothing stops but
 * what needs the lease, when the lease is over. After a start of the agent it waits a moment for
 * State before it starts anything from the disk: what was here may have moved meanwhile.
 *
 * That an instance has ended by itself is on the disk as well, until the leader has recorded it: a
 * machine that comes back does not run it again.
 *
 * When this agent dies in the middle: what was started is taken over by the next one; a claim
 * without an instance is taken up, since it is this machine's own.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { commit, type Definite, follow, newOperationId } from '../../state/commit.ts'
import type { State } from '../../state/port.ts'
import { LeaseHolder } from '../lease/holder.ts'
import type { HostedInstance, HostedPhase, InstanceHost } from './host.ts'
import { placeOf, planWork, type WorkStep, workName } from './plan-work.ts'
import {
  parseSlot,
  type SlotEnd,
  type SlotRecord,
  type Stored,
  slotChange,
  workPrefix,
} from './records.ts'
import type { SpecTexts } from './spec-texts.ts'

/** Work that survives the agent: kept on this machine's disk. */
export interface WorkMemory {
  read(): readonly SlotRecord[]
  /** Durable when it returns. */
  write(work: readonly SlotRecord[]): void
}

export interface AssignedWorkDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly host: InstanceHost
  readonly texts: SpecTexts
  readonly memory: WorkMemory
  readonly report: (message: string) => void
  /** Something that peers are told has changed. */
  readonly changed: () => void
}

const stateWaitMs = 3_000
const stepTimeoutMs = 60_000
const retryMs = 1_000

/** A start that was refused is tried again after this. */
const refusedMs = 30_000

const runningPhases: ReadonlySet<HostedPhase> = new Set(['starting', 'ready', 'stopping'])

interface Refusal {
  readonly generation: number
  readonly spec: number
  readonly exclusive: boolean
  readonly why: string
  readonly atMs: number
}

export class AssignedWork implements Disposable {
  readonly lease: LeaseHolder
  readonly #deps: AssignedWorkDeps
  readonly #machineId: string
  readonly #writer: string
  readonly #life = new AbortController()
  readonly #busy = new Set<string>()
  readonly #refusals = new Map<string, Refusal>()
  #work = new Map<string, Stored<SlotRecord>>()
  /** What has ended here, by itself, as it was assigned then. */
  #ended = new Map<string, SlotRecord>()
  #heard = false

  constructor(deps: AssignedWorkDeps, machineId: string, writer: string) {
    const { clock, random, state, host, report } = deps
    this.#deps = deps
    this.#machineId = machineId
    this.#writer = writer
    this.lease = new LeaseHolder(
      {
        clock,
        random,
        state,
        report,
        stopAll: (why) => this.#stopExclusive(why),
        extended: (lease) => {
          host.extend(lease)
          this.#look()
        },
      },
      machineId,
      writer,
    )
    host.onChange(() => {
      this.#look()
      deps.changed()
    })
  }

  start(): void {
    const remembered = this.#deps.memory.read()
    for (const record of remembered) {
      this.#take({ record, revision: 0 })
      if (record.ended !== undefined) this.#ended.set(workName(record.unit, record.slot), record)
    }
    this.lease.start()
    void this.#follow()
    void this.#startFromDisk()
    void this.#lookAgain()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.lease[Symbol.dispose]()
  }

  /** What runs here for the fleet, and what could not be started. */
  instances(): readonly HostedInstance[] {
    const { clock, host } = this.#deps
    const hosted = host.instances()
    const present = new Set(hosted.map(({ unit, slot }) => workName(unit, slot)))
    const refused = [...this.#refusals].flatMap(([name, { atMs, ...refusal }]) => {
      const work = this.#work.get(name)?.record
      if (work === undefined || present.has(name)) return []
      const { unit, slot } = work
      const forMs = clock.nowMs() - atMs
      return [{ unit, slot, ...refusal, phase: 'refused' as const, forMs }]
    })
    const ended = [...this.#ended].flatMap(([name, record]) => {
      const { unit, slot, exclusive } = record
      const why = record.ended?.why ?? ''
      if (present.has(name) || this.#endOf(name) === undefined) return []
      const place = placeOf(record, this.#machineId)
      return [{ unit, slot, exclusive, ...place, phase: 'ended' as const, why, forMs: 0 }]
    })
    return [...hosted, ...refused, ...ended]
  }

  async #follow(): Promise<void> {
    const { clock, state, report } = this.#deps
    const { signal } = this.#life
    const prefix = workPrefix(this.#machineId)
    let said = ''
    while (!signal.aborted) {
      try {
        for await (const view of follow(clock, state, prefix, { signal })) {
          said = ''
          if (view.kind === 'all') {
            const before = this.#work
            this.#work = new Map()
            for (const { value, revision } of view.entries) {
              this.#take({ record: parseSlot(value), revision })
            }
            // Its own write may be newer than what was listed.
            for (const stored of before.values()) {
              if (stored.revision > view.revision) this.#take(stored)
            }
          } else if (view.kind === 'put') {
            const { value, revision } = view.entry
            this.#take({ record: parseSlot(value), revision })
          } else if (view.kind === 'delete') this.#work.delete(view.key.slice(prefix.length))
          else continue
          this.#heard = true
          this.#remember()
          this.#look()
        }
      } catch (error) {
        if (signal.aborted) return
        const { message } = asHolonError(error)
        if (message !== said) report(`follow this machine's work: ${message}`)
        said = message
      }
      await sleep(clock, retryMs, signal).catch(() => {})
    }
  }

  /** Its own writes are known before the watch tells of them: what is older is passed over. */
  #take(stored: Stored<SlotRecord>): void {
    const { unit, slot } = stored.record
    const name = workName(unit, slot)
    if (stored.revision >= (this.#work.get(name)?.revision ?? 0)) this.#work.set(name, stored)
  }

  #remember(): void {
    this.#deps.memory.write(this.#workWithEnds().map(({ record }) => record))
  }

  #workWithEnds(): readonly Stored<SlotRecord>[] {
    return [...this.#work].map(([name, { record, revision }]) => {
      const ended = record.ended ?? this.#endOf(name)
      return { record: ended === undefined ? record : { ...record, ended }, revision }
    })
  }

  /** How what it is to run now has ended here. */
  #endOf(name: string): SlotEnd | undefined {
    const [ended, work] = [this.#ended.get(name), this.#work.get(name)?.record]
    if (ended === undefined || work === undefined) return undefined
    const [then, now] = [placeOf(ended, this.#machineId), placeOf(work, this.#machineId)]
    return then.generation === now.generation && then.spec === now.spec ? ended.ended : undefined
  }

  /** Before anything else is done about it. */
  #noteEnds(instances: readonly HostedInstance[]): void {
    const atMs = this.#deps.clock.wallMs()
    let isNew = false
    for (const { unit, slot, phase, generation, spec, why } of instances) {
      const name = workName(unit, slot)
      const record = this.#work.get(name)?.record
      if (phase !== 'ended' || record === undefined || this.#endOf(name) !== undefined) continue
      const place = placeOf(record, this.#machineId)
      if (place.generation !== generation || place.spec !== spec) continue
      this.#ended.set(name, { ...record, ended: { result: 'success', atMs, why } })
      isNew = true
    }
    for (const name of this.#ended.keys()) {
      if (this.#endOf(name) === undefined) this.#ended.delete(name)
    }
    if (isNew) this.#remember()
  }

  async #startFromDisk(): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#life
    await sleep(clock, stateWaitMs, signal).catch(() => {})
    if (signal.aborted || this.#heard) return
    this.#heard = true
    this.#look()
  }

  /** Now and then, whatever was missed. */
  async #lookAgain(): Promise<void> {
    const { clock } = this.#deps
    const { signal } = this.#life
    while (!signal.aborted) {
      this.#look()
      await sleep(clock, retryMs, signal).catch(() => {})
    }
  }

  #look(): void {
    if (!this.#heard || this.#life.signal.aborted) return
    const { host } = this.#deps
    const instances = host.instances()
    try {
      this.#noteEnds(instances)
    } catch (error) {
      this.#deps.report(`note what has ended here: ${asHolonError(error).message}`)
    }
    const work = this.#workWithEnds()
    const needsLease =
      work.some(({ record }) => record.exclusive && !isDone(record)) ||
      instances.some(({ exclusive, phase }) => exclusive && runningPhases.has(phase))
    this.lease.want(needsLease)
    const epoch = this.lease.held?.epoch
    for (const step of planWork({ machineId: this.#machineId, work, instances, epoch })) {
      const name = workName(step.unit, step.slot)
      if (this.#busy.has(name) || (step.kind === 'start' && this.#isRefused(name))) continue
      this.#busy.add(name)
      void this.#carryOut(step, name).finally(() => {
        this.#busy.delete(name)
        this.#look()
      })
    }
  }

  /** Resolves when the next step may be looked for: at once only if this one had its effect. */
  async #carryOut(step: WorkStep, name: string): Promise<void> {
    const { clock, report } = this.#deps
    let isDone = false
    try {
      using limit = deadline(clock, stepTimeoutMs, this.#life.signal)
      isDone = await this.#do(step, name, limit.signal)
    } catch (error) {
      if (this.#life.signal.aborted) return
      report(`${step.kind} ${name}: ${asHolonError(error).message}`)
    }
    if (!isDone) await sleep(clock, retryMs, this.#life.signal).catch(() => {})
  }

  async #do(step: WorkStep, name: string, signal: AbortSignal): Promise<boolean> {
    if (step.kind === 'stop') {
      await this.#deps.host.stop(step.unit, step.slot, step.reason, signal)
      return true
    }
    const stored = this.#work.get(name)
    if (stored === undefined) return false
    if (step.kind === 'start') return this.#start(stored.record, name, signal)
    return step.kind === 'claim' ? this.#claim(stored, signal) : this.#release(stored, signal)
  }

  async #start(record: SlotRecord, name: string, signal: AbortSignal): Promise<boolean> {
    const { clock, host, texts } = this.#deps
    const { unit, slot, exclusive } = record
    const { generation, spec } = placeOf(record, this.#machineId)
    const text = await texts.get(unit, spec, signal)
    const held = this.lease.held
    // The lease may have ended while the text was fetched.
    if (exclusive && (held === undefined || held.epoch !== record.claim)) return false
    const lease = exclusive && held !== undefined ? { lease: held } : {}
    try {
      await host.start({ unit, slot, generation, spec, text, ...lease }, signal)
      this.#refusals.delete(name)
      return true
    } catch (error) {
      const why = asHolonError(error).message
      this.#refusals.set(name, { generation, spec, exclusive, why, atMs: clock.nowMs() })
      this.#deps.changed()
      throw error
    }
  }

  #isRefused(name: string): boolean {
    const refusal = this.#refusals.get(name)
    const record = this.#work.get(name)?.record
    if (refusal === undefined || record === undefined) return false
    const { generation, spec } = placeOf(record, this.#machineId)
    const isSame = refusal.generation === generation && refusal.spec === spec
    return isSame && this.#deps.clock.nowMs() - refusal.atMs < refusedMs
  }

  async #claim(stored: Stored<SlotRecord>, signal: AbortSignal): Promise<boolean> {
    const { record } = stored
    let claimed: SlotRecord = record
    const result = await this.lease.claim((epoch) => {
      claimed = { ...record, generation: record.generation + 1, claim: epoch }
      return slotChange(stored, claimed)
    }, signal)
    return result !== undefined && this.#written(claimed, result)
  }

  async #release(stored: Stored<SlotRecord>, signal: AbortSignal): Promise<boolean> {
    const { clock, random, state } = this.#deps
    const { claim: _, ...released } = stored.record
    const operationId = newOperationId(random)
    const txn = { ...slotChange(stored, released), operationId, writer: this.#writer }
    const result = await commit({ clock, random }, state, txn, { signal })
    return this.#written(released, result)
  }

  #written(record: SlotRecord, result: Definite): boolean {
    if (result.kind !== 'done') return false
    // Unless it was taken away since.
    if (this.#work.has(workName(record.unit, record.slot))) {
      this.#take({ record, revision: result.revision })
    }
    return true
  }

  async #stopExclusive(why: string): Promise<void> {
    const { clock, host } = this.#deps
    using limit = deadline(clock, stepTimeoutMs, this.#life.signal)
    const exclusive = host.instances().filter((each) => each.exclusive)
    await Promise.all(exclusive.map(({ unit, slot }) => host.stop(unit, slot, why, limit.signal)))
  }
}

/** It has ended, and nothing of its claim is left. */
function isDone({ ended, claim }: SlotRecord): boolean {
  return ended !== undefined && claim === undefined
}
