/**
 * What must always hold, and what must hold in the end: the simulation's judge. It knows everything
 * at once, which no machine ever does.
 */
import { controlPrefix, type SlotRecord, type SpecRecord } from '../cluster/reconcile/records.ts'
import type { SimFleet, SimUnitText } from './fleet.ts'
import type { SimProcess } from './host.ts'
import type { World } from './world.ts'

export interface Violation {
  readonly atMs: number
  readonly rule: string
  readonly what: string
}

/** Without the state for so long, nothing that was decided before is still on its way. */
const awayMs = 6_000

export class Checks {
  readonly violations: Violation[] = []
  readonly #world: World
  readonly #fleet: SimFleet
  /** By slot, on which machines a process of it runs. */
  readonly #running = new Map<string, Map<string, SimProcess>>()
  /** By exclusive slot, the highest generation that ever ran, and where. */
  readonly #fences = new Map<string, { readonly generation: number; readonly machineId: string }>()
  /** By machine, since when it does not reach the state. */
  readonly #awaySince = new Map<string, number>()
  #changed = false

  constructor(world: World, fleet: SimFleet) {
    this.#world = world
    this.#fleet = fleet
  }

  /** A process begins or ends to run. */
  running(machineId: string, process: SimProcess, runs: boolean): void {
    const name = `${process.unit}/${process.slot}`
    const on = this.#running.get(name) ?? new Map<string, SimProcess>()
    this.#running.set(name, on)
    if (runs) on.set(machineId, process)
    else on.delete(machineId)
    this.#changed = true
    if (!runs || !process.exclusive) return
    const last = this.#fences.get(name)
    const { generation } = process
    const isOlder = last !== undefined && generation < last.generation
    const isAgain = last?.generation === generation && last.machineId !== machineId
    if (isOlder || isAgain) {
      this.#violate(
        'fence',
        `${name} starts on ${machineId} with ${generation}; ` +
          `it had ${last.generation} on ${last.machineId}`,
      )
    } else this.#fences.set(name, { generation, machineId })
  }

  stopped(machineId: string, process: SimProcess, why: string): void {
    if (process.exclusive) return
    const since = this.#awaySince.get(machineId)
    if (since !== undefined && this.#world.nowMs - since > awayMs) {
      this.#violate(
        'static stability',
        `${process.unit}/${process.slot} on ${machineId} is stopped without the state: ${why}`,
      )
    }
  }

  /** After every step. */
  step(): void {
    for (const { id, isAlive } of this.#fleet.machines) {
      // What reached an agent before it stood still is news to it when it thaws.
      if (!isAlive || this.#fleet.reaches(id)) this.#awaySince.delete(id)
      else if (!this.#awaySince.has(id)) this.#awaySince.set(id, this.#world.nowMs)
    }
    if (this.#changed) this.exclusive()
    this.#changed = false
  }

  /** Something thawed: it counts again. */
  again(): void {
    this.#changed = true
  }

  /** An instance that must not run twice runs on at most one machine that is not standing still. */
  exclusive(): void {
    for (const [name, on] of this.#running) {
      const awake = [...on].filter(([machineId, process]) => {
        return process.exclusive && this.#fleet.machine(machineId)?.isFrozen === false
      })
      if (awake.length < 2) continue
      this.#violate('exclusive', `${name} runs on ${awake.map(([id]) => id).join(' and ')}`)
    }
  }

  /**
   * What is wanted and could work runs, exactly so often, on the machines that count. Undefined
   * when it is so.
   */
  unmet(counts: (machineId: string) => boolean = () => true): string | undefined {
    const problems: string[] = []
    const slots = new Map<string, SlotRecord>()
    for (const key of this.#fleet.store.keys(controlPrefix)) {
      const value: unknown = JSON.parse(this.#fleet.store.read(key)?.json ?? 'null')
      if (key.includes('/slot/')) {
        const slot = value as SlotRecord
        slots.set(`${slot.unit}/${slot.slot}`, slot)
      }
    }
    for (const [name, slot] of slots) {
      if (slot.machineId === '' || slot.wish === 'stop') continue
      const process = this.#running.get(name)?.get(slot.machineId)
      // A program that cannot work is nobody's fault here.
      if (this.#text(slot.unit, slot.spec).fails === true) continue
      if (!counts(slot.machineId)) problems.push(`${name} is on ${slot.machineId}`)
      if (process?.phase !== 'ready') problems.push(`${name} is not ready on ${slot.machineId}`)
      if (slot.next !== undefined) problems.push(`${name} still has a second place`)
    }
    for (const [name, on] of this.#running) {
      const slot = slots.get(name)
      for (const machineId of on.keys()) {
        if (slot?.machineId !== machineId && counts(machineId))
          problems.push(`${name} still runs on ${machineId}`)
      }
    }
    for (const spec of this.specs()) problems.push(...this.#unmetSpec(spec, slots))
    return problems.length === 0 ? undefined : problems.join('; ')
  }

  specs(): readonly SpecRecord[] {
    return this.#fleet.store
      .keys(`${controlPrefix}spec/`)
      .map((key) => JSON.parse(this.#fleet.store.read(key)?.json ?? 'null') as SpecRecord)
  }

  #unmetSpec(spec: SpecRecord, slots: ReadonlyMap<string, SlotRecord>): readonly string[] {
    const own = [...slots.values()].filter(
      ({ unit, machineId, wish }) => unit === spec.unit && machineId !== '' && wish === 'run',
    )
    const wanted = spec.wanted ? this.#count(spec) : 0
    const problems: string[] = []
    if (own.length !== wanted) problems.push(`${spec.unit} has ${own.length} places, not ${wanted}`)
    // A text that cannot work is not brought out any further.
    const isBad = this.#text(spec.unit, spec.spec).fails === true
    const old = isBad ? [] : own.filter((slot) => slot.spec !== spec.spec)
    if (isBad && spec.rollout?.to === spec.spec && spec.rollout.status === 'going') {
      problems.push(`${spec.unit}: a bad text is still being brought out`)
    }
    if (old.length > 0) problems.push(`${spec.unit}: ${old.length} instances have an old text`)
    return problems
  }

  #count(spec: SpecRecord): number {
    return spec.scale ?? this.#text(spec.unit, spec.spec).rules?.instances ?? 1
  }

  #text(unit: string, spec: number): Partial<SimUnitText> {
    const json = this.#fleet.store.read(`text/${unit}/${spec}`)?.json ?? '"{}"'
    return JSON.parse(JSON.parse(json) as string) as Partial<SimUnitText>
  }

  /** An operation of an operator ended. */
  operation(what: string, tookMs: number, deadlineMs: number): void {
    if (tookMs > deadlineMs + 1_000) this.#violate('deadline', `${what} took ${tookMs} ms`)
  }

  /** What was to be in the end is not. */
  missed(what: string): void {
    this.#violate('liveness', `${what}; ${this.#leaderSays()}`)
  }

  #leaderSays(): string {
    const leaders = this.#fleet.machines.flatMap(({ id, agent }) =>
      agent?.control?.leads ? [{ id, controller: agent.control.controller }] : [],
    )
    const [leader] = leaders
    if (leader === undefined) return 'nobody leads'
    const waiting = this.specs().flatMap(({ unit }) =>
      [...leader.controller.waiting(unit)].map(([slot, why]) => `${unit}/${slot}: ${why}`),
    )
    return `${leaders.map(({ id }) => id).join(' and ')} leads and waits: ${waiting.join(', ')}`
  }

  #violate(rule: string, what: string): void {
    this.#world.note(`VIOLATION ${rule}: ${what}`)
    this.violations.push({ atMs: this.#world.nowMs, rule, what })
  }
}
