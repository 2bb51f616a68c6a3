/**
 * What machines say of the instances that they have. Every beat carries a number that changes when
 * that does; then the machine is asked. So an idle fleet says nothing but the number.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { HostedInstance, HostedPhase } from './host.ts'

/** All instances of a machine, with the number that its beats carry while this holds. */
export interface HostedReport {
  readonly sequence: number
  readonly instances: readonly HostedInstance[]
}

export interface ReportsDeps {
  readonly clock: Clock
  readonly ask: (machineId: string, signal: AbortSignal) => Promise<HostedReport>
  /** A machine said something new, of these units; undefined: it had said nothing before. */
  readonly changed: (machineId: string, units: readonly string[] | undefined) => void
  /** A keeper there restarted this one; of one that does all the time, now and then. */
  readonly restarted: (machineId: string, instance: HostedInstance) => void
}

/** By unit and slot. */
type ToldInstances = ReadonlyMap<string, ReadonlyMap<number, ToldInstance>>

interface Told {
  /** Undefined: it is to be asked again, whatever its number. */
  readonly sequence: number | undefined
  readonly instances: ToldInstances
  /** Of which something runs there. */
  readonly units: ReadonlySet<string>
}

function isRunning({ phase }: HostedInstance): boolean {
  return phase === 'starting' || phase === 'ready' || phase === 'stopping'
}

/** As a machine told of it, with the time since then added. */
class ToldInstance implements HostedInstance {
  readonly unit: string
  readonly slot: number
  readonly generation: number
  readonly spec: number
  readonly exclusive: boolean
  readonly phase: HostedPhase
  readonly why: string
  readonly restarted: HostedInstance['restarted']
  /** When a restart of it was told last. */
  restartToldMs = Number.NEGATIVE_INFINITY
  readonly #clock: Clock
  readonly #sinceMs: number

  constructor(clock: Clock, told: HostedInstance) {
    this.unit = told.unit
    this.slot = told.slot
    this.generation = told.generation
    this.spec = told.spec
    this.exclusive = told.exclusive
    this.phase = told.phase
    this.why = told.why
    this.restarted = told.restarted
    this.#clock = clock
    this.#sinceMs = clock.nowMs() - told.forMs
  }

  get forMs(): number {
    return this.#clock.nowMs() - this.#sinceMs
  }
}

/** Of one instance, restarts are told so often at most. */
const restartsToldMs = 10_000

/** The others are asked with a later beat: all at once would keep everything else waiting. */
const askedAtOnceMax = 256

export class Reports implements Disposable {
  readonly #deps: ReportsDeps
  readonly #told = new Map<string, Told>()
  /** By unit, machines where something of it runs, or may. */
  readonly #running = new Map<string, Set<string>>()
  /** Machines that are asked, with the number that they were last heard with. */
  readonly #asking = new Map<string, number>()
  readonly #life = new AbortController()

  constructor(deps: ReportsDeps) {
    this.#deps = deps
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  /** A beat carried this number. */
  heard(machineId: string, sequence: number): void {
    if (this.#told.get(machineId)?.sequence === sequence) return
    if (!this.#asking.has(machineId) && this.#asking.size >= askedAtOnceMax) return
    const isAsked = this.#asking.has(machineId)
    this.#asking.set(machineId, sequence)
    if (!isAsked) void this.#askAll(machineId)
  }

  /** Until it has told what its last beat promised. */
  async #askAll(machineId: string): Promise<void> {
    let asked: number | undefined
    while (asked !== this.#asking.get(machineId) && !this.#life.signal.aborted) {
      asked = this.#asking.get(machineId)
      if (!(await this.#ask(machineId))) break
      if (this.#told.get(machineId)?.sequence === this.#asking.get(machineId)) break
    }
    this.#asking.delete(machineId)
  }

  hasReported(machineId: string): boolean {
    return this.#told.has(machineId)
  }

  /** As told last. */
  get(machineId: string, unit: string, slot: number): HostedInstance | undefined {
    return this.#told.get(machineId)?.instances.get(unit)?.get(slot)
  }

  /** Machines where something of the unit runs, or may. */
  running(unit: string): Iterable<string> {
    return this.#running.get(unit) ?? []
  }

  /**
   * An instance is not to be there any more. What the machine said of it counts no more, and it
   * counts as one where the unit runs, until it says otherwise: it is asked again.
   */
  taken(machineId: string, unit: string, slot: number): void {
    const told = this.#told.get(machineId)
    if (told === undefined) return
    const left = new Map(told.instances.get(unit))
    left.delete(slot)
    const instances = new Map(told.instances).set(unit, left)
    const units = new Set([...told.units, unit])
    this.#tell(machineId, { sequence: undefined, instances, units })
  }

  /** What it said counts no more: it left, or it is to be asked afresh. */
  forget(machineId: string): void {
    this.#tell(machineId, undefined)
  }

  #tell(machineId: string, told: Told | undefined): void {
    for (const unit of this.#told.get(machineId)?.units ?? []) {
      const machines = this.#running.get(unit)
      machines?.delete(machineId)
      if (machines?.size === 0) this.#running.delete(unit)
    }
    if (told === undefined) this.#told.delete(machineId)
    else this.#told.set(machineId, told)
    for (const unit of told?.units ?? []) {
      this.#running.set(unit, (this.#running.get(unit) ?? new Set()).add(machineId))
    }
  }

  #tellRestarts(machineId: string, before: ToldInstances, now: ToldInstances): void {
    const { clock, restarted } = this.#deps
    for (const [unit, slots] of now) {
      for (const [slot, instance] of slots) {
        const earlier = before.get(unit)?.get(slot)
        const known = earlier?.generation === instance.generation ? earlier : undefined
        instance.restartToldMs = known?.restartToldMs ?? Number.NEGATIVE_INFINITY
        const isNews = (instance.restarted?.times ?? 0) > (known?.restarted?.times ?? 0)
        if (!isNews || clock.nowMs() - instance.restartToldMs < restartsToldMs) continue
        instance.restartToldMs = clock.nowMs()
        restarted(machineId, instance)
      }
    }
  }

  /** False: it did not answer. That is no news: the next beat has it asked again. */
  async #ask(machineId: string): Promise<boolean> {
    const { clock, ask, changed } = this.#deps
    using limit = deadline(clock, limits.beatSilenceMs, this.#life.signal)
    try {
      const { sequence, instances } = await ask(machineId, limit.signal)
      const before = this.#told.get(machineId)
      const byUnit = new Map<string, Map<number, ToldInstance>>()
      for (const each of instances) {
        const slots = byUnit.get(each.unit) ?? new Map<number, ToldInstance>()
        byUnit.set(each.unit, slots.set(each.slot, new ToldInstance(clock, each)))
      }
      const units = new Set(instances.filter(isRunning).map(({ unit }) => unit))
      if (before !== undefined) this.#tellRestarts(machineId, before.instances, byUnit)
      this.#tell(machineId, { sequence, instances: byUnit, units })
      changed(machineId, before && changedUnits(before, byUnit))
      return true
    } catch {
      return false
    }
  }
}

/** Units of which it says something else than before, or nothing any more. */
function changedUnits(before: Told, now: ToldInstances): readonly string[] {
  const gone = [...before.units].filter((unit) => !now.has(unit))
  const known = before.instances
  const others = [...now].filter(([unit, slots]) => !saysTheSame(known.get(unit), slots))
  return [
    ...gone,
    ...[...known.keys()].filter((unit) => !now.has(unit)),
    ...others.map(([unit]) => unit),
  ]
}

function saysTheSame(
  before: ReadonlyMap<number, HostedInstance> | undefined,
  now: ReadonlyMap<number, HostedInstance>,
): boolean {
  if (before?.size !== now.size) return false
  return [...now].every(([slot, { generation, spec, phase, forMs }]) => {
    const known = before.get(slot)
    if (known?.generation !== generation || known.spec !== spec) return false
    // It may have been something else in between.
    return known.phase === phase && known.forMs <= forMs
  })
}
