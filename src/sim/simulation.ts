/**
 * A fleet of one's own in one process: the same code that runs on machines, on simulated clocks,
 * network, state and processes. A script of plain `await`s tells what happens; time passes only
 * while it waits. The same script and seed give the same history.
 */
import { HolonError } from '../base/errors.ts'
import { votersWished } from '../cluster/etcd/plan.ts'
import { roundNumber } from '../cluster/reconcile/rounds.ts'
import { readTimer } from '../cluster/reconcile/unit-facts.ts'
import { isTimerName } from '../unit/timer-unit.ts'
import type { Violation } from './checks.ts'
import { everyFault, type FaultMix, Faults } from './faults.ts'
import { type MachineModel, SimFleet, someMachines } from './fleet.ts'
import type { SimMachine } from './machine.ts'
import { type Note, World } from './world.ts'

export interface SimulateOptions {
  /** Decides all that is left to chance. Default 1. */
  readonly seed?: number
  /** Each by itself, or so many alike, "m1" and so on. */
  readonly machines: number | readonly MachineModel[]
  /** How many of them, the first ones, keep the state. Default: as a fleet does, 1, 3 or 5. */
  readonly keepers?: number
  /** Greatest error of a machine's clock rate: 0.05 is five percent. Default 0. */
  readonly clockRateError?: number
  /** Greatest error of a machine's date. Default 0. */
  readonly dateErrorMs?: number
}

/** How often each kind of fault happens, in relation to the others. */
export type MachineFaults = Omit<FaultMix, 'operator'>

/** Where an instance is. */
export interface SimulatedInstance {
  readonly slot: number
  readonly machine: string
  readonly generation: number
  /** What its process is doing, as systemd would say it; `absent`: there is none. */
  readonly phase: string
}

/** A fleet that has started, and whose machines know who leads. */
export async function simulate(options: SimulateOptions): Promise<Simulation> {
  const simulation = new Simulation(options)
  await simulation.run(startMs)
  return simulation
}

const startMs = 4_000
const verbTimeoutMs = 60_000
const lookMs = 50
const slowDiskMs = 1_000
/** What holds for so long is believed to stay. */
const steadyMs = 2_000

export class Simulation {
  readonly #world: World
  readonly #fleet: SimFleet
  #faults: Faults | undefined
  #turn = Promise.resolve()

  constructor({
    seed = 1,
    machines,
    keepers,
    clockRateError = 0,
    dateErrorMs = 0,
  }: SimulateOptions) {
    const models = typeof machines === 'number' ? someMachines(machines, 0) : machines
    this.#world = new World(seed)
    this.#fleet = new SimFleet(this.#world, {
      machines: models,
      keepers: keepers ?? votersWished(models.length),
      clockRateError,
      dateErrorMs,
    })
    this.#fleet.boot()
  }

  // ---- time

  /** Milliseconds since the fleet was switched on. */
  get nowMs(): number {
    return this.#world.nowMs
  }

  /** Lets so much time pass; of several at once each its own, one after the other. */
  run(ms: number): Promise<void> {
    const check = () => this.#fleet.checks.step()
    this.#turn = this.#turn.then(() => this.#world.run(this.#world.nowMs + ms, check))
    return this.#turn
  }

  /** Does that when the time comes. */
  at(ms: number, what: () => void): void {
    this.#world.after(ms - this.#world.nowMs, what)
  }

  /** Lets time pass until it is so; answers how long that took. `deadline_exceeded` if never. */
  async until(isSo: () => boolean, withinMs: number): Promise<number> {
    const beganMs = this.nowMs
    while (!isSo()) {
      if (this.nowMs - beganMs >= withinMs) {
        const what = `it is not so after ${withinMs} ms; ${this.unmet() ?? 'all is as wanted'}`
        throw new HolonError('deadline_exceeded', what)
      }
      await this.run(lookMs)
    }
    return this.nowMs - beganMs
  }

  /** Until everything runs as it is wanted, and stays so for two seconds: how long that took. */
  async settled(withinMs = 60_000): Promise<number> {
    const beganMs = this.nowMs
    let sinceMs: number | undefined
    const isSteady = () => {
      if (this.unmet() !== undefined) sinceMs = undefined
      else sinceMs ??= this.nowMs
      return sinceMs !== undefined && this.nowMs - sinceMs >= steadyMs
    }
    await this.until(isSteady, withinMs + steadyMs)
    return (sinceMs ?? beganMs) - beganMs
  }

  // ---- what people ask; each resolves when it is acknowledged

  /**
   * Gives a unit file and wants it running; a changed one is brought out. Or a .timer file, which
   * counts in UTC; the service that it starts is given by `give`. [X-Sim] in it says how
   * its program behaves: ReadySec=, StopSec=, RunsSec=, Fails=. `invalid_argument` names lines.
   */
  async start(unit: string, text: string): Promise<void> {
    if (isTimerName(unit)) readTimer(unit, text)
    else this.#fleet.programs.get(unit, text)
    await this.#acknowledged(this.#fleet.operators.start(unit, text))
  }

  /** Gives a unit file and starts nothing. `invalid_argument` as for `start`. */
  give(unit: string, text: string): Promise<void> {
    this.#fleet.programs.get(unit, text)
    return this.#ask(() => this.#fleet.operators.load(unit, text))
  }

  stop(unit: string): Promise<void> {
    return this.#ask(() => this.#fleet.operators.want(unit, false))
  }

  scale(unit: string, count: number): Promise<void> {
    return this.#ask(() => this.#fleet.operators.scale(unit, count))
  }

  restart(unit: string): Promise<void> {
    return this.#ask(() => this.#fleet.operators.restart(unit))
  }

  drain(machine: string): Promise<void> {
    return this.#ask(() => this.#fleet.operators.intend(this.#machine(machine).id, 'draining'))
  }

  cordon(machine: string): Promise<void> {
    return this.#ask(() => this.#fleet.operators.intend(this.#machine(machine).id, 'cordoned'))
  }

  undrain(machine: string): Promise<void> {
    return this.#ask(() => this.#fleet.operators.intend(this.#machine(machine).id, undefined))
  }

  // ---- what goes wrong, at once

  /** Its power is lost; `boot` brings it back, with its disk. */
  crash(machine: string): void {
    this.#machine(machine).crash()
  }

  boot(machine: string): void {
    this.#machine(machine).boot()
  }

  /** It stands still, or its agent does while its programs go on. */
  freeze(machine: string, what: 'machine' | 'agent' = 'machine'): void {
    this.#machine(machine).freeze(what)
  }

  thaw(machine: string): void {
    this.#machine(machine).thaw()
  }

  killAgent(machine: string): void {
    this.#machine(machine).killAgent()
  }

  startAgent(machine: string): void {
    this.#machine(machine).startAgent()
  }

  /** Nothing passes from one to the other any more; the other way it does. */
  cut(from: string, to: string): void {
    this.#fleet.network.cut([[this.#machine(from).id, this.#machine(to).id]])
  }

  /** These machines on one side, all others on the other. */
  partition(machines: readonly string[]): void {
    this.#fleet.partition(machines.map((name) => this.#machine(name).id))
  }

  /** The state's engine is away, or back. */
  engine(status: 'up' | 'down'): void {
    this.#fleet.isEngineDown = status === 'down'
  }

  /** `slow`: each write takes a second, in which the agent stands still. */
  disk(machine: string, status: 'good' | 'full' | 'slow'): void {
    const { disk } = this.#machine(machine)
    disk.isFull = status === 'full'
    disk.slowMs = status === 'slow' ? slowDiskMs : 0
  }

  /** A path appears on the machine, or is gone: for `ConditionPath…=` lines of units. */
  path(machine: string, path: string, exists = true): void {
    const { paths } = this.#machine(machine)
    if (exists) paths.add(path)
    else paths.delete(path)
  }

  /** The program of an instance exits; its keeper starts it again, or gives up. */
  exit(unit: string, slot: number, givesUp = false): void {
    for (const { table } of this.#fleet.machines) {
      const process = table.processes.get(`${unit}/${slot}`)
      if (process !== undefined) table.crashProcess(process, givesUp)
    }
  }

  /** One fault after another, by the seed, with pauses between them, until `heal`. */
  rage(pauseMsMin = 100, pauseMsMax = 3_000, mix: Partial<MachineFaults> = {}): void {
    const chosen = { ...everyFault, ...mix, operator: 0 }
    this.#faults?.end()
    this.#faults = new Faults(this.#world, this.#fleet, chosen, [])
    this.#faults.rage(pauseMsMin, pauseMsMax)
  }

  /** All machines are on, and reach each other and the state. */
  heal(): void {
    this.#faults?.end()
    this.#fleet.heal()
  }

  // ---- what is so

  get machines(): readonly string[] {
    return this.#fleet.machines.map(({ id }) => id)
  }

  /** The machine that leads, as it believes itself. */
  get leader(): string | undefined {
    return this.#fleet.leader()?.id
  }

  /** Where the fleet's records say that the unit's instances are, and what is there. */
  where(unit: string): readonly SimulatedInstance[] {
    return [...this.#fleet.checks.wanted.slots().values()]
      .filter((slot) => slot.unit === unit && slot.machineId !== '')
      .map(({ slot, machineId: machine, generation }) => {
        const process = this.#fleet.machine(machine)?.table.processes.get(`${unit}/${slot}`)
        return { slot, machine, generation, phase: process?.phase ?? 'absent' }
      })
  }

  /** How often the unit was started, by people and timers, from where it did not run. */
  rounds(unit: string): number {
    return roundNumber(this.#fleet.checks.specs().find((spec) => spec.unit === unit))
  }

  /** Machines on which a process of the instance runs now: usually one. */
  running(unit: string, slot: number): readonly string[] {
    return this.#fleet.checks.runningOn(unit, slot)
  }

  /** What is wanted and not so; undefined when all is. Machines that are off do not count. */
  unmet(): string | undefined {
    return this.#fleet.checks.unmet((id) => this.#fleet.machine(id)?.isOn === true)
  }

  /** Why instances of the unit wait, as the leader says. */
  waiting(unit: string): ReadonlyMap<number, string> {
    return this.#fleet.leader()?.agent?.control?.controller.waiting(unit) ?? new Map()
  }

  /** What happened, oldest first; the last few thousand notes. */
  get history(): readonly Note[] {
    return this.#fleet.world.notes
  }

  /** What must always hold and did not: empty, or there is a bug in Holon. */
  get violations(): readonly Violation[] {
    return this.#fleet.checks.violations
  }

  #machine(name: string): SimMachine {
    const machine = this.#fleet.machine(name)
    if (machine !== undefined) return machine
    const names = this.machines.join(', ')
    throw new HolonError('not_found', `there is no machine "${name}"; there are ${names}`)
  }

  #ask(ask: () => Promise<'done' | 'refused' | 'unknown' | 'lost'>): Promise<void> {
    return this.#acknowledged(this.#fleet.operators.insist(ask))
  }

  /** Time passes while people wait for an answer. */
  async #acknowledged(work: Promise<void>): Promise<void> {
    let isDone = false
    void work.then(() => {
      isDone = true
    })
    await this.until(() => isDone, verbTimeoutMs)
  }
}
