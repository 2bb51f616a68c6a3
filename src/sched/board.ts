/**
 * What the scheduler knows, kept so that each change is cheap and no placement looks at all
 * machines: machines, units with their rules, where each instance is, and the pools of machines
 * that meet the same requirements. It decides nothing.
 *
 * An instance is counted at its machine, in its zones and with its reservation, or in none of them:
 * BoardUnit.count() alone changes these. Who asks "what if" counts by it too, and puts it back.
 */
import { defaultRules, type PlacementRules } from '../unit/placement-rules.ts'
import { BoardMachine, type MachineFacts } from './board-machine.ts'
import { BoardUnit, type Unfit } from './board-unit.ts'
import { Pool } from './pool.ts'
import { Zones } from './zones.ts'

const fitsEverywhere: Unfit = new Map()

export class Board {
  readonly machines = new Map<string, BoardMachine>()
  readonly units = new Map<string, BoardUnit>()
  readonly zones = new Zones()
  readonly #pools = new Map<string, Pool>()
  #version = 0
  #loosened = 0
  #withApart = 0

  /** Raised by every change. */
  get version(): number {
    return this.#version
  }

  /** Raised by what may let something fit that did not; what only makes it tighter is not. */
  get loosened(): number {
    return this.#loosened
  }

  /** Whether any unit has Apart=. */
  get hasApart(): boolean {
    return this.#withApart > 0
  }

  // ---- machines

  /** Adds a machine, or says what is known of it now. */
  setMachine(facts: MachineFacts): void {
    const known = this.machines.get(facts.machineId)
    if (known === undefined) {
      const machine = new BoardMachine(facts, this.zones.leafOf(facts.zone))
      this.machines.set(facts.machineId, machine)
      this.#loosen()
      for (const pool of this.#pools.values()) pool.admit(machine)
      return
    }
    const before = known.facts
    if (before.report !== facts.report) this.#version += 1
    if (hasSameNature(before, facts)) known.learn(facts)
    else {
      this.#change(known, facts)
      this.#loosen()
    }
  }

  /** Its zone may be another, and what is on it may count there or not. */
  #change(machine: BoardMachine, facts: MachineFacts): void {
    for (const pool of this.#pools.values()) pool.delete(machine)
    const hosted = [...machine.units].flatMap(([unit, count]) =>
      Array.from({ length: count }, () => unit),
    )
    for (const unit of hosted) unit.count(machine, -1)
    machine.learn(facts)
    machine.leaf = this.zones.leafOf(facts.zone)
    for (const unit of hosted) unit.count(machine, 1)
    for (const pool of this.#pools.values()) pool.admit(machine)
  }

  removeMachine(machineId: string): void {
    const machine = this.machines.get(machineId)
    if (machine === undefined) return
    for (const unit of [...machine.units.keys()]) {
      for (const slot of unit.slots.keys()) this.take(unit, slot, machine)
    }
    this.machines.delete(machineId)
    for (const pool of this.#pools.values()) pool.delete(machine)
  }

  // ---- units

  /** Adds a unit, or changes it; its instances stay where they are. */
  setUnit(name: string, rules: PlacementRules, unfit: Unfit = fitsEverywhere): BoardUnit {
    const known = this.units.get(name)
    if (known?.rules === rules && known.unfit === unfit) return known
    const require = rules.require.trim()
    const pools = {
      pool: this.#borrow(require),
      preferred:
        rules.prefer === '' ? undefined : this.#borrow(`${require} ${rules.prefer}`.trim()),
    }
    const unit = new BoardUnit(name, rules, unfit, pools)
    const slots = [...(known?.slots ?? [])]
    if (known !== undefined) this.removeUnit(known)
    this.units.set(name, unit)
    if (rules.apart.length > 0) this.#withApart += 1
    this.#version += 1
    for (const [slot, machines] of slots) {
      unit.slots.set(slot, [])
      for (const machine of machines) this.put(unit, slot, machine)
    }
    return unit
  }

  /** A unit of which no rules are known yet. */
  unit(name: string): BoardUnit {
    return this.units.get(name) ?? this.setUnit(name, defaultRules)
  }

  removeUnit(unit: BoardUnit): void {
    for (const [slot, machines] of unit.slots) {
      for (const machine of [...machines]) this.take(unit, slot, machine)
    }
    this.units.delete(unit.name)
    if (unit.rules.apart.length > 0) this.#withApart -= 1
    this.#loosen()
    this.#giveBack(unit.pool)
    if (unit.preferred !== undefined) this.#giveBack(unit.preferred)
  }

  #borrow(text: string): Pool {
    let pool = this.#pools.get(text)
    if (pool === undefined) {
      pool = new Pool(text, this.zones.root)
      this.#pools.set(text, pool)
      for (const machine of this.machines.values()) pool.admit(machine)
    }
    pool.users += 1
    return pool
  }

  #giveBack(pool: Pool): void {
    pool.users -= 1
    if (pool.users === 0) this.#pools.delete(pool.text)
  }

  // ---- instances

  /** The slot's instance is on this machine, also if it is on another. Idempotent. */
  put(unit: BoardUnit, slot: number, machine: BoardMachine): void {
    const machines = unit.slots.get(slot) ?? []
    if (machines.includes(machine)) return
    unit.slots.set(slot, [...machines, machine])
    machine.isSettled = false
    unit.count(machine, 1)
    this.#version += 1
  }

  /** It is not there any more; the slot stays. Idempotent. */
  take(unit: BoardUnit, slot: number, machine: BoardMachine): void {
    const machines = unit.slots.get(slot) ?? []
    if (!machines.includes(machine)) return
    unit.slots.set(
      slot,
      machines.filter((each) => each !== machine),
    )
    machine.isSettled = false
    unit.count(machine, -1)
    this.#version += 1
    // What is free on a machine that is closed helps nobody.
    if (machine.isOpen) this.#loosened += 1
  }

  #loosen(): void {
    this.#version += 1
    this.#loosened += 1
  }
}

/** Whether all is as before but what changes from moment to moment. */
function hasSameNature(a: MachineFacts, b: MachineFacts): boolean {
  if (a.closed !== b.closed || a.name !== b.name || a.zone !== b.zone) return false
  if (a.labels !== b.labels && !isSameRecord(a.labels, b.labels)) return false
  const [before, after] = [a.report, b.report]
  if (before === after) return true
  if (before === undefined || after === undefined) return false
  return (
    before.memoryBytes === after.memoryBytes &&
    before.cpuCount === after.cpuCount &&
    before.arch === after.arch &&
    before.hostname === after.hostname &&
    before.version === after.version
  )
}

function isSameRecord(
  a: Readonly<Record<string, string>>,
  b: Readonly<Record<string, string>>,
): boolean {
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key])
}
