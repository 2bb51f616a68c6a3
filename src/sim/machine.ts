/**
 * One simulated machine: what it is made of (clock, process table, disk) outlives its agent; the
 * agent is the real code, one incarnation at a time, behind a gate.
 */
import type { Clock } from '../base/clock.ts'
import { Links } from '../cluster/links.ts'
import { Liveness } from '../cluster/liveness.ts'
import type { MachineRecord } from '../cluster/members.ts'
import { AssignedWork } from '../cluster/reconcile/assigned-work.ts'
import { Control } from '../cluster/reconcile/control.ts'
import { controlledMachines } from '../cluster/reconcile/controlled.ts'
import type { HostedReport } from '../cluster/reconcile/reports.ts'
import { SpecTexts } from '../cluster/reconcile/spec-texts.ts'
import { readTimer } from '../cluster/reconcile/unit-facts.ts'
import { findState } from '../cluster/state/find-state.ts'
import { RemoteState } from '../cluster/state/remote-state.ts'
import { StateServer } from '../cluster/state/state-service.ts'
import type { MachineReport } from '../kernel/types.ts'
import { Scheduler } from '../sched/scheduler.ts'
import type { State } from '../state/port.ts'
import { simulatedFacts } from './conditions.ts'
import { Disk } from './disk.ts'
import { Gate, gatedClock, type Oscillator } from './gate.ts'
import { type ProcessTable, SimHost } from './host.ts'
import type { Network } from './network.ts'
import { PeerCalls, type PeerCallsDeps, type PeerDoor, type SimPeer } from './peers.ts'
import type { Programs } from './program.ts'
import { type Engine, SimState } from './state.ts'
import { wiredLinks } from './wires.ts'
import type { World } from './world.ts'

export interface SimMachineDeps {
  readonly world: World
  readonly network: Network
  readonly engine: Engine
  readonly oscillator: Oscillator
  readonly table: ProcessTable
  readonly machines: () => readonly MachineRecord[]
  readonly keepers: () => readonly string[]
  readonly door: (machineId: string, caller: string) => PeerDoor
  readonly programs: Programs
  readonly size: MachineSize
  /** Calls go over real links, and the state to machines that do not keep it. */
  readonly wired: boolean
  /** Something that decides what reaches what: it is on, it stands still. */
  readonly changed: () => void
}

export interface MachineSize {
  readonly cpus: number
  readonly memoryBytes: number
}

/** One incarnation of its agent. */
interface Agent {
  readonly gate: Gate
  readonly clock: Clock
  readonly state: State
  readonly liveness: Liveness
  readonly control: Control | undefined
  readonly work: AssignedWork
  readonly host: SimHost
  sequence: number
}

const reportMs = 1_000

export class SimMachine {
  readonly record: MachineRecord
  readonly #deps: SimMachineDeps
  readonly disk = new Disk()
  /** Paths that are there, for conditions of units. */
  readonly paths = new Set<string>()
  #report: MachineReport | undefined
  #agent: Agent | undefined
  #isOn = false
  #frozen: 'machine' | 'agent' | undefined

  constructor(deps: SimMachineDeps, record: MachineRecord) {
    this.#deps = deps
    this.record = record
  }

  get id(): string {
    return this.record.machineId
  }

  get isOn(): boolean {
    return this.#isOn
  }

  /** All of it stands still, the programs, too. */
  get isFrozen(): boolean {
    return this.#frozen === 'machine'
  }

  /** It, or its agent alone, stands still. */
  get isHeld(): boolean {
    return this.#frozen !== undefined
  }

  get agent(): Agent | undefined {
    return this.#agent
  }

  /** Whether its kernel and its agent do anything now. */
  get isAlive(): boolean {
    return this.#isOn && this.#agent?.gate.isOpen === true
  }

  get table(): ProcessTable {
    return this.#deps.table
  }

  get oscillator(): Oscillator {
    return this.#deps.oscillator
  }

  boot(): void {
    if (this.#isOn) return
    this.#isOn = true
    this.#deps.oscillator.boot()
    this.#note('boots')
    this.startAgent()
    this.#deps.changed()
  }

  /** Power is lost: processes and agent are gone, the disk stays. */
  crash(): void {
    if (!this.#isOn) return
    this.#note('loses power')
    this.#isOn = false
    this.#frozen = undefined
    this.#dropAgent()
    this.#deps.table.crash()
    this.#deps.changed()
  }

  killAgent(): void {
    if (this.#agent === undefined) return
    this.#note('its agent is killed')
    if (this.#frozen === 'agent') this.#frozen = undefined
    this.#dropAgent()
    this.#deps.changed()
  }

  startAgent(): void {
    if (!this.#isOn || this.#agent !== undefined) return
    this.#note('its agent starts')
    this.#agent = this.#makeAgent()
    if (this.#frozen !== undefined) this.#agent.gate.freeze()
    this.#deps.changed()
  }

  /** All of it stands still, the programs, too; or only its agent. */
  freeze(what: 'machine' | 'agent'): void {
    if (!this.#isOn || this.#frozen !== undefined) return
    this.#note(`${what} freezes`)
    this.#frozen = what
    this.#agent?.gate.freeze()
    if (what === 'machine') this.#deps.table.freeze()
    this.#deps.changed()
  }

  thaw(): void {
    if (this.#frozen === undefined) return
    this.#note('thaws')
    this.#frozen = undefined
    this.#deps.table.thaw()
    this.#agent?.gate.thaw()
    this.#deps.changed()
  }

  door(caller: string): PeerDoor {
    if (!this.#isOn) return { kind: 'silent' }
    const agent = this.#agent
    if (agent === undefined) return { kind: 'refused' }
    return { kind: 'open', gate: agent.gate, clock: agent.clock, peer: this.#peer(agent, caller) }
  }

  #dropAgent(): void {
    const agent = this.#agent
    this.#agent = undefined
    if (agent === undefined) return
    agent.gate.kill()
    agent.control?.[Symbol.dispose]()
    agent.work[Symbol.dispose]()
    agent.liveness[Symbol.dispose]()
    void agent.state.close()
  }

  #makeAgent(): Agent {
    const { world, oscillator, machines, keepers, table, programs } = this.#deps
    const gate = new Gate(world)
    const clock = gatedClock(world, oscillator, gate)
    const { random } = world
    const links = this.#links(gate, clock)
    const state = this.#state(gate, clock, links, (id) => liveness.isSilent(id))
    // A write blocks the whole agent until the disk has it.
    const stall = (ms: number) => {
      gate.freeze()
      world.after(ms, () => gate.thaw())
    }
    const report = (message: string) => {
      if (!gate.isDead) this.#note(`says: ${message}`)
    }
    const texts = new SpecTexts(state, this.disk.textMemory(stall), report)
    const liveness = new Liveness({
      clock,
      random,
      links,
      self: () => this.id,
      machines,
      keepers,
      beat: () => ({
        report: this.#reportNow(clock),
        sequence: agent.sequence,
        ...(agent.control === undefined ? {} : { fitness: agent.control.fitness }),
      }),
      beatCame: (machineId, { sequence }) => agent.control?.heard(machineId, sequence),
      changed: (machineId) => {
        this.#note(`sees ${machineId} ${liveness.presence(machineId).up ? 'up' : 'silent'}`)
        agent.control?.controller.machineChanged(machineId)
      },
      keeperSilent: (id) => {
        if (state instanceof RemoteState) state.leave(id, `${id} is silent`)
      },
    })
    const host = new SimHost({
      world,
      table,
      gate,
      rate: oscillator.rate,
      programOf: ({ unit, text }) => programs.get(unit, text),
      facts: (unit) => simulatedFacts(this.id, unit, this.#deps.size, this.paths),
    })
    const work = new AssignedWork(
      {
        clock,
        random,
        state,
        texts,
        report,
        host,
        memory: this.disk.workMemory(stall),
        changed: () => {
          agent.sequence += 1
          liveness.tellNews()
          agent.control?.ownNews()
        },
      },
      this.id,
      `agent ${this.id}`,
    )
    const control = keepers().includes(this.id)
      ? new Control(
          {
            clock,
            random,
            state,
            report,
            keepers,
            placer: new Scheduler(random),
            self: this.id,
            sequence: () => agent.sequence,
            machines: () =>
              controlledMachines(machines(), liveness, this.id, () => this.#reportNow(clock)),
            fitnessOf: (machineId) => liveness.fitnessOf(machineId),
            ask: async (machineId, signal) =>
              machineId === this.id
                ? this.#hosted(agent)
                : (await links.peer(machineId, signal)).hosted({ signal }),
            text: (unit, spec, signal) => texts.get(unit, spec, signal),
            askConditions: async (machineId, about, signal) =>
              machineId === this.id
                ? host.checkConditions(about)
                : (await links.peer(machineId, signal)).checkConditions(about, { signal }),
            facts: async (unit, spec, signal) =>
              programs.get(unit, await texts.get(unit, spec, signal)).facts,
            timer: async (name, spec, signal) =>
              readTimer(name, await texts.get(name, spec, signal)),
            seed: 'sim',
            saw: (machine, what) => this.#note(`sees ${machine}: ${what}`),
            decided: (unit, what, why, slot) =>
              this.#note(`decides ${unit}${slot === undefined ? '' : `/${slot}`}: ${what}: ${why}`),
          },
          `agent ${this.id}`,
        )
      : undefined
    // A number that no earlier incarnation had.
    const sequence = Math.floor(world.nowMs * 1_000)
    const agent: Agent = { gate, clock, state, liveness, control, work, host, sequence }
    liveness.start()
    work.start()
    control?.start()
    return agent
  }

  #links(gate: Gate, clock: Clock): PeerCalls | Links {
    const { world, network, door, wired } = this.#deps
    const wallMs = () => clock.wallMs()
    const deps: PeerCallsDeps = { network, self: this.id, gate, clock, door, wallMs }
    return wired ? wiredLinks(world, deps) : new PeerCalls(deps)
  }

  /** By its own engine, or over links as a machine that has none. */
  #state(
    gate: Gate,
    clock: Clock,
    links: PeerCalls | Links,
    isSilent: (machineId: string) => boolean,
  ): State {
    const { world, engine, keepers } = this.#deps
    if (!(links instanceof Links) || keepers().includes(this.id)) {
      return new SimState(world, engine, this.id, clock, gate)
    }
    const { random } = world
    return new RemoteState(clock, (signal, failed) =>
      findState({ clock, random, links, isSilent, candidates: keepers() }, signal, failed),
    )
  }

  #peer(agent: Agent, caller: string): SimPeer {
    return {
      beat: async (beat) => agent.liveness.beatFrom(caller, beat),
      report: async () => this.#reportNow(agent.clock),
      reaches: async (machineId, { signal }) =>
        (await agent.liveness.probe(machineId, signal)) !== undefined,
      sightings: async ({ signal }) => agent.liveness.ownSightings(signal),
      hosted: async () => this.#hosted(agent),
      state: async () => new StateServer(agent.clock, agent.state),
      checkConditions: async (about) => agent.host.checkConditions(about),
    }
  }

  #hosted(agent: Agent): HostedReport {
    return { sequence: agent.sequence, instances: agent.work.instances() }
  }

  /** What changes in it does so slowly. */
  #reportNow(clock: Clock): MachineReport {
    const atMs = clock.wallMs()
    const { cpus, memoryBytes } = this.#deps.size
    if (this.#report !== undefined && Math.abs(atMs - this.#report.atMs) < reportMs) {
      return this.#report
    }
    this.#report = {
      atMs,
      version: '0',
      arch: 'x86_64',
      hostname: this.id,
      bootId: this.id,
      cpuCount: cpus,
      memoryBytes,
      memoryAvailableBytes: memoryBytes * 0.75,
      load1: 0,
      units: 0,
      canKeepState: true,
      upSinceMs: 0,
      agentPid: 1,
      agentSinceMs: 0,
    }
    return this.#report
  }

  #note(what: string): void {
    this.#deps.world.note(`${this.id}: ${what}`)
  }
}
