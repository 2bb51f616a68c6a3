/**
 * What machines say of the instances that they have. Every beat carries a number that changes when
 * that does; then the machine is asked. So an idle fleet says nothing but the number.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { HostedInstance } from './host.ts'
import { workName } from './plan-work.ts'

/** All instances of a machine, with the number that its beats carry while this holds. */
export interface HostedReport {
  readonly sequence: number
  readonly instances: readonly HostedInstance[]
}

export interface ReportsDeps {
  readonly clock: Clock
  readonly ask: (machineId: string, signal: AbortSignal) => Promise<HostedReport>
  /** A machine said something new. */
  readonly changed: (machineId: string) => void
}

interface Told {
  /** Undefined: it is to be asked again, whatever its number. */
  readonly sequence: number | undefined
  readonly atMs: number
  readonly instances: Map<string, HostedInstance>
  /** Of which something runs there. */
  readonly units: ReadonlySet<string>
}

function isRunning({ phase }: HostedInstance): boolean {
  return phase === 'starting' || phase === 'ready' || phase === 'stopping'
}

export class Reports implements Disposable {
  readonly #deps: ReportsDeps
  readonly #told = new Map<string, Told>()
  /** By unit, machines where something of it runs, or may. */
  readonly #running = new Map<string, Set<string>>()
  readonly #asking = new Set<string>()
  readonly #life = new AbortController()

  constructor(deps: ReportsDeps) {
    this.#deps = deps
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  /** A beat carried this number. */
  heard(machineId: string, sequence: number): void {
    if (this.#told.get(machineId)?.sequence === sequence || this.#asking.has(machineId)) return
    this.#asking.add(machineId)
    void this.#ask(machineId).finally(() => this.#asking.delete(machineId))
  }

  hasReported(machineId: string): boolean {
    return this.#told.has(machineId)
  }

  /** As told last, with the time since then added. */
  get(machineId: string, unit: string, slot: number): HostedInstance | undefined {
    const told = this.#told.get(machineId)
    const instance = told?.instances.get(workName(unit, slot))
    if (told === undefined || instance === undefined) return undefined
    return { ...instance, forMs: instance.forMs + this.#deps.clock.nowMs() - told.atMs }
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
    told.instances.delete(workName(unit, slot))
    this.#tell(machineId, { ...told, sequence: undefined, units: new Set([...told.units, unit]) })
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

  /** A failure is no news: the next beat has it asked again. */
  async #ask(machineId: string): Promise<void> {
    const { clock, ask, changed } = this.#deps
    using limit = deadline(clock, limits.beatSilenceMs, this.#life.signal)
    try {
      const { sequence, instances } = await ask(machineId, limit.signal)
      const named = instances.map((each) => [workName(each.unit, each.slot), each] as const)
      const units = new Set(instances.filter(isRunning).map(({ unit }) => unit))
      const told = { sequence, atMs: clock.nowMs(), instances: new Map(named), units }
      this.#tell(machineId, told)
      changed(machineId)
    } catch {
      // It is silent, or will be asked again.
    }
  }
}
