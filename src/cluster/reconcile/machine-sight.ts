/**
 * The machines of the fleet as a leader saw them last, and what was different from before. Looking
 * at all of them takes a while in a large fleet: so it is done now and then, and when one is seen
 * differently, not with every plan.
 */
import type { MachineIntent } from '../../kernel/types.ts'
import type { ControlledMachine } from './controlled.ts'
import { evictionPause, zoneText } from './eviction.ts'
import type { Presence } from './unit-view.ts'

export class MachineSight {
  readonly #report: (message: string) => void
  #atMs = Number.NEGATIVE_INFINITY
  #byId: ReadonlyMap<string, ControlledMachine> = new Map()
  #paused: ReadonlyMap<string, string> = new Map()
  /** By machine, whether it is there, and what is wanted of it. */
  #states: ReadonlyMap<string, string> = new Map()

  constructor(report: (message: string) => void) {
    this.#report = report
  }

  /** Answers which machines have come, gone, or are wanted otherwise since the last look. */
  look(
    machines: readonly ControlledMachine[],
    intents: ReadonlyMap<string, MachineIntent>,
    nowMs: number,
  ): readonly string[] {
    const before = this.#states
    const now = new Map<string, string>()
    for (const { machineId, presence } of machines) {
      now.set(machineId, `${presence} ${intents.get(machineId)?.wish ?? ''}`)
    }
    this.#atMs = nowMs
    this.#byId = new Map(machines.map((machine) => [machine.machineId, machine]))
    this.#see(evictionPause(machines))
    this.#states = now
    const left = [...before.keys()].filter((id) => !now.has(id))
    return [...left, ...[...now.keys()].filter((id) => now.get(id) !== before.get(id))]
  }

  /** Where a pause begins or ends, the log of this machine says so. */
  #see(paused: ReadonlyMap<string, string>): void {
    const before = this.#paused
    this.#paused = paused
    for (const [zone, why] of paused) if (!before.has(zone)) this.#report(why)
    for (const zone of before.keys()) {
      if (paused.has(zone)) continue
      const where = `in ${zoneText(zone)}`
      this.#report(`machines that are silent ${where} are believed dead again, and replaced`)
    }
  }

  /** Why nothing is moved away from a zone, a sentence for each. */
  get pauses(): readonly string[] {
    return [...this.#paused.values()].sort()
  }

  get atMs(): number {
    return this.#atMs
  }

  get size(): number {
    return this.#byId.size
  }

  /** Nobody is waited for, and nothing is left alone because too much is silent. */
  get isCalm(): boolean {
    if (this.#paused.size > 0) return false
    for (const { presence, doubted } of this.#byId.values()) {
      if (presence === 'up' && doubted) return false
    }
    return true
  }

  presence(machineId: string): Presence {
    return this.#byId.get(machineId)?.presence ?? 'gone'
  }

  evictionsPaused(machineId: string): string | undefined {
    return this.#paused.get(this.#byId.get(machineId)?.zone ?? '')
  }

  nameOf(machineId: string): string {
    return this.#byId.get(machineId)?.name ?? machineId
  }
}
