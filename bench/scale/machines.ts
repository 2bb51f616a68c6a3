/**
 * The fleet around the leader, as little of it as the leader can tell from a real one: machines that
 * beat, that start and stop what they are given after a while, and answer when they are asked what
 * they have. Not theirs: links and their bytes, keepers, watches of their own.
 */
import type { Beat } from '../../src/cluster/beat.ts'
import type { MachineRecord } from '../../src/cluster/members.ts'
import type { HostedInstance } from '../../src/cluster/reconcile/host.ts'
import { placeOf } from '../../src/cluster/reconcile/plan-work.ts'
import type { SlotRecord } from '../../src/cluster/reconcile/records.ts'
import type { HostedReport } from '../../src/cluster/reconcile/reports.ts'
import type { World } from '../../src/sim/world.ts'
import { gib, report } from '../../test/support/placed-fleet.ts'

/** From the decision until its machine has it, until a program runs, is ready, has ended. */
const toldMsMax = 6
const startMsMax = 60
const readyMs = 200
const stopMs = 50

interface ModelInstance {
  readonly unit: string
  readonly slot: number
  readonly generation: number
  readonly spec: number
  phase: 'starting' | 'ready'
  sinceMs: number
}

/** What all machines have, so that nobody has to count. */
export class Tally {
  instances = 0
  readonly #ready = new Map<number, number>()

  /** Instances that are ready with this text. */
  ready(spec: number): number {
    return this.#ready.get(spec) ?? 0
  }

  count({ phase, spec }: ModelInstance, by: 1 | -1): void {
    this.instances += by
    if (phase === 'ready') this.#ready.set(spec, this.ready(spec) + by)
  }
}

export class ModelMachine {
  readonly record: MachineRecord
  isOn = true
  sequence = 1
  readonly #world: World
  readonly #tally: Tally
  readonly #instances = new Map<string, ModelInstance>()
  /** By instance, what it should be; what comes late is not done any more. */
  readonly #work = new Map<string, SlotRecord>()

  constructor(world: World, tally: Tally, record: MachineRecord) {
    this.#world = world
    this.#tally = tally
    this.record = record
  }

  get beat(): Beat {
    const load = this.#world.random.next()
    return { sequence: this.sequence, report: report({ cpus: 16, memoryBytes: 64 * gib, load }) }
  }

  get hosted(): HostedReport {
    const { nowMs } = this.#world
    const instances = [...this.#instances.values()].map(
      ({ sinceMs, ...known }): HostedInstance => ({
        ...known,
        exclusive: false,
        why: '',
        forMs: nowMs - sinceMs,
      }),
    )
    return { sequence: this.sequence, instances }
  }

  /** Its power is lost for good. */
  crash(): void {
    this.isOn = false
    for (const instance of this.#instances.values()) this.#tally.count(instance, -1)
    this.#instances.clear()
  }

  /** The state has this for it now; undefined: nothing any more. */
  give(name: string, work: SlotRecord | undefined): void {
    if (work === undefined) this.#work.delete(name)
    else this.#work.set(name, work)
    this.#after(this.#world.between(0.2, toldMsMax), () => this.#look(name))
  }

  #look(name: string): void {
    const work = this.#work.get(name)
    const present = this.#instances.get(name)
    if (work === undefined || work.wish === 'stop') {
      if (present !== undefined) this.#after(stopMs, () => this.#end(name, present))
      return
    }
    const { generation, spec } = placeOf(work, this.record.machineId)
    if (present?.generation === generation && present.spec === spec) return
    if (present !== undefined) {
      this.#after(stopMs, () => {
        this.#end(name, present)
        this.#look(name)
      })
      return
    }
    this.#after(this.#world.between(2, startMsMax), () => {
      if (this.#work.get(name) === work && !this.#instances.has(name)) {
        this.#start(name, { ...work, generation, spec })
      }
    })
  }

  #start(name: string, { unit, slot, generation, spec }: SlotRecord): void {
    const sinceMs = this.#world.nowMs
    const instance: ModelInstance = { unit, slot, generation, spec, phase: 'starting', sinceMs }
    this.#instances.set(name, instance)
    this.#tally.count(instance, 1)
    this.sequence += 1
    this.#after(readyMs, () => {
      if (this.#instances.get(name) !== instance) return
      this.#tally.count(instance, -1)
      instance.phase = 'ready'
      instance.sinceMs = this.#world.nowMs
      this.#tally.count(instance, 1)
      this.sequence += 1
    })
  }

  #end(name: string, instance: ModelInstance): void {
    if (this.#instances.get(name) !== instance) return
    this.#instances.delete(name)
    this.#tally.count(instance, -1)
    this.sequence += 1
  }

  #after(ms: number, work: () => void): void {
    this.#world.after(ms, () => {
      if (this.isOn) work()
    })
  }
}
