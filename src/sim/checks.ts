/**
 * What must always hold, and what must hold in the end: the simulation's judge. It knows everything
 * at once, which no machine ever does.
 */
import type { SpecRecord } from '../cluster/reconcile/records.ts'
import type { CheckedTxn } from '../state/check-txn.ts'
import type { Decision } from '../state/draft.ts'
import type { SimFleet } from './fleet.ts'
import type { SimProcess } from './host.ts'
import { RecordChecks } from './record-checks.ts'
import { TimerChecks } from './timer-checks.ts'
import { Wanted } from './wanted.ts'
import type { World } from './world.ts'

export interface Violation {
  readonly atMs: number
  readonly rule: string
  readonly what: string
}

/** Without the state for so long, nothing that was decided before is still on its way. */
const awayMs = 8_000

export class Checks {
  readonly violations: Violation[] = []
  readonly wanted: Wanted
  readonly timers: TimerChecks
  /** Looked at after every step in which something changed. */
  also: (() => string | undefined) | undefined
  readonly #world: World
  readonly #fleet: SimFleet
  readonly #records: RecordChecks
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
    this.#records = new RecordChecks(fleet)
    this.wanted = new Wanted(fleet)
    this.timers = new TimerChecks(fleet)
  }

  /** A process begins or ends to run. */
  running(machineId: string, process: SimProcess, runs: boolean): void {
    const name = `${process.unit}/${process.slot}`
    const on = this.#running.get(name) ?? new Map<string, SimProcess>()
    this.#running.set(name, on)
    if (runs) on.set(machineId, process)
    else on.delete(machineId)
    this.#changed = true
    const wrong = runs ? this.timers.starts(machineId, process) : undefined
    if (wrong !== undefined) this.violate('rounds', wrong)
    if (!runs || !process.exclusive) return
    const last = this.#fences.get(name)
    const { generation } = process
    const isOlder = last !== undefined && generation < last.generation
    const isAgain = last?.generation === generation && last.machineId !== machineId
    if (isOlder || isAgain) {
      this.violate(
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
      this.violate(
        'static stability',
        `${process.unit}/${process.slot} on ${machineId} is stopped without the state: ${why}`,
      )
    }
  }

  /** The store decided about a txn. */
  decided(txn: CheckedTxn, decision: Decision): void {
    this.#fleet.operators.decided(txn, decision)
    if (decision.kind !== 'done' || decision.revision !== this.#fleet.store.revision) return
    this.#changed = true
    for (const { key } of txn.changes) {
      this.timers.changed(key)
      const wrong = this.#records.wrong(key)
      if (wrong !== undefined) this.violate('records', wrong)
      this.#fleet.operators.changed(key)
    }
  }

  /** After every step. */
  step(): void {
    if (!this.#changed) return
    this.#changed = false
    for (const { id, isAlive } of this.#fleet.machines) {
      // What reached an agent before it stood still is news to it when it thaws.
      if (!isAlive || this.#fleet.reaches(id)) this.#awaySince.delete(id)
      else if (!this.#awaySince.has(id)) this.#awaySince.set(id, this.#world.nowMs)
    }
    this.#exclusive()
    const wrong = this.also?.()
    if (wrong !== undefined) this.violate('always', wrong)
  }

  /** Something is different now: all is looked at again. */
  again(): void {
    this.#changed = true
  }

  /** An instance that must not run twice runs on at most one machine that is not standing still. */
  #exclusive(): void {
    for (const [name, on] of this.#running) {
      if (on.size < 2) continue
      const awake = [...on].filter(([machineId, process]) => {
        return process.exclusive && this.#fleet.machine(machineId)?.isFrozen === false
      })
      if (awake.length < 2) continue
      this.violate('exclusive', `${name} runs on ${awake.map(([id]) => id).join(' and ')}`)
    }
  }

  /** See Wanted.unmet. */
  unmet(counts: (machineId: string) => boolean = () => true): string | undefined {
    return this.wanted.unmet(this.#running, counts)
  }

  /** Machines on which a process of the slot runs. */
  runningOn(unit: string, slot: number): readonly string[] {
    return [...(this.#running.get(`${unit}/${slot}`)?.keys() ?? [])]
  }

  specs(): readonly SpecRecord[] {
    return this.wanted.specs()
  }

  /** What was to be in the end is not. */
  missed(what: string): void {
    this.violate('liveness', `${what}; ${this.leaderSays()}`)
  }

  leaderSays(): string {
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

  violate(rule: string, what: string): void {
    this.#world.note(`VIOLATION ${rule}: ${what}`)
    this.violations.push({ atMs: this.#world.nowMs, rule, what })
  }
}
