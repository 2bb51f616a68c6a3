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
  readonly sequence: number
  readonly atMs: number
  readonly instances: ReadonlyMap<string, HostedInstance>
}

export class Reports implements Disposable {
  readonly #deps: ReportsDeps
  readonly #told = new Map<string, Told>()
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

  /** What it said counts no more: it left, or it is to be asked afresh. */
  forget(machineId: string): void {
    this.#told.delete(machineId)
  }

  /** A failure is no news: the next beat has it asked again. */
  async #ask(machineId: string): Promise<void> {
    const { clock, ask, changed } = this.#deps
    using limit = deadline(clock, limits.beatSilenceMs, this.#life.signal)
    try {
      const { sequence, instances } = await ask(machineId, limit.signal)
      const named = instances.map((each) => [workName(each.unit, each.slot), each] as const)
      this.#told.set(machineId, { sequence, atMs: clock.nowMs(), instances: new Map(named) })
      changed(machineId)
    } catch {
      // It is silent, or will be asked again.
    }
  }
}
