/**
 * The machines of the fleet as a leader saw them last, and what was different from before. Looking
 * at all of them takes a while in a large fleet: so it is done now and then, and when one is seen
 * differently, not with every plan.
 */
import type { MachineIntent } from '../../kernel/types.ts'
import type { ControlledMachine } from './controlled.ts'
import { evictionPause, zoneText } from './eviction.ts'
import type { Presence } from './unit-view.ts'

export interface MachineSightDeps {
  readonly report: (message: string) => void
  /** What was seen of a machine, by name, for `holon why`. */
  readonly saw: (machine: string, what: string, why: string) => void
}

/** Who leads from now on tells of a silence that is not older than this. */
const newsMs = 30_000

export class MachineSight {
  readonly #deps: MachineSightDeps
  #atMs = Number.NEGATIVE_INFINITY
  #byId: ReadonlyMap<string, ControlledMachine> = new Map()
  #paused: ReadonlyMap<string, string> = new Map()
  /** By machine, whether it is there, and what is wanted of it. */
  #states: ReadonlyMap<string, string> = new Map()

  constructor(deps: MachineSightDeps) {
    this.#deps = deps
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
    this.#tell(machines)
    this.#byId = new Map(machines.map((machine) => [machine.machineId, machine]))
    this.#see(evictionPause(machines))
    this.#states = now
    const left = [...before.keys()].filter((id) => !now.has(id))
    return [...left, ...[...now.keys()].filter((id) => now.get(id) !== before.get(id))]
  }

  /** Who came, left, fell silent or is back. */
  #tell(machines: readonly ControlledMachine[]): void {
    const { saw } = this.#deps
    const before = this.#byId
    const isFirst = before.size === 0
    for (const { machineId, name, presence, forMs } of machines) {
      const was = before.get(machineId)?.presence
      const isNew = was === undefined && !isFirst
      if (isNew) saw(name, 'joined', 'it is one of the machines of the fleet now')
      if (presence === 'silent' && was !== 'silent' && (!isFirst || forMs < newsMs)) {
        saw(name, 'silent', 'it is not heard of')
      }
      if (presence === 'up' && was === 'silent') saw(name, 'back', 'it is heard of again')
    }
    if (isFirst) return
    const now = new Set(machines.map(({ machineId }) => machineId))
    for (const [machineId, { name }] of before) {
      if (!now.has(machineId)) saw(name, 'gone', 'it left the fleet, or was removed')
    }
  }

  /** Where a pause begins or ends, the log of this machine says so. */
  #see(paused: ReadonlyMap<string, string>): void {
    const before = this.#paused
    this.#paused = paused
    for (const [zone, why] of paused) if (!before.has(zone)) this.#deps.report(why)
    for (const zone of before.keys()) {
      if (paused.has(zone)) continue
      const where = `in ${zoneText(zone)}`
      this.#deps.report(`machines that are silent ${where} are believed dead again, and replaced`)
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
