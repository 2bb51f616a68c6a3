/**
 * A fleet of any size with one real leader: its view of the state, planning, scheduler, reports,
 * liveness, log of decisions and texts are the agent's own code. State is the simulation's store;
 * machines are models.
 */
import { type Clock, withSignal } from '../../src/base/clock.ts'
import { limits } from '../../src/base/limits.ts'
import { Liveness, type PeerLinks } from '../../src/cluster/liveness.ts'
import type { MachineRecord } from '../../src/cluster/members.ts'
import { Control } from '../../src/cluster/reconcile/control.ts'
import { controlledMachines } from '../../src/cluster/reconcile/controlled.ts'
import { DecisionLog } from '../../src/cluster/reconcile/decision-log.ts'
import type { SlotRecord } from '../../src/cluster/reconcile/records.ts'
import type { HostedReport } from '../../src/cluster/reconcile/reports.ts'
import { SpecTexts } from '../../src/cluster/reconcile/spec-texts.ts'
import { readTimer, unitFacts } from '../../src/cluster/reconcile/unit-facts.ts'
import { UnitVerbs } from '../../src/cluster/reconcile/verbs.ts'
import { Scheduler } from '../../src/sched/scheduler.ts'
import { Gate, gatedClock, Oscillator } from '../../src/sim/gate.ts'
import { type Engine, goodEngine, SimState } from '../../src/sim/state.ts'
import { World } from '../../src/sim/world.ts'
import type { CheckedTxn } from '../../src/state/check-txn.ts'
import type { Decision } from '../../src/state/draft.ts'
import { SimulatedStore } from '../../src/state/simulated.ts'
import { ModelMachine, Tally } from './machines.ts'
import { Meter, MeteredGate } from './meter.ts'

/** Beats of so many groups of machines come one after the other within an interval. */
const beatGroups = 50
const legMsMax = 2
const workKey = /^work\/([^/]+)\/(.*)$/
const keeperCount = 3

export class ScaleFleet implements Engine {
  readonly world = new World(1)
  readonly meter = new Meter(this.world)
  readonly store = new SimulatedStore()
  readonly weather = goodEngine
  readonly tally = new Tally()
  readonly machines: readonly ModelMachine[]
  readonly verbs: UnitVerbs
  readonly clock: Clock
  #leader: Leader | undefined
  readonly #byId: ReadonlyMap<string, ModelMachine>

  constructor(records: readonly MachineRecord[]) {
    this.machines = records.map((record) => new ModelMachine(this.world, this.tally, record))
    this.#byId = new Map(this.machines.map((machine) => [machine.record.machineId, machine]))
    const { clock, state } = this.connect(new Gate(this.world))
    this.clock = clock
    this.verbs = new UnitVerbs({ clock, random: this.world.random, state }, 'operator')
    this.startLeader()
    for (let group = 0; group < beatGroups; group++) this.#beats(group)
  }

  startLeader(): void {
    this.#leader = new Leader(this)
  }

  stopLeader(): void {
    this.#leader?.[Symbol.dispose]()
    this.#leader = undefined
  }

  /** Whether the leader has heard from every machine what it has. */
  isKnown(): boolean {
    const reports = this.#leader?.control.reports
    return this.machines.every(
      ({ isOn, record }) => !isOn || reports?.hasReported(record.machineId) === true,
    )
  }

  connect(gate: Gate) {
    const { world } = this
    const clock = gatedClock(world, new Oscillator(world, 1, 0), gate)
    return { clock, state: new SimState(world, this, 'n00000', clock, gate) }
  }

  machine(machineId: string): ModelMachine | undefined {
    return this.#byId.get(machineId)
  }

  run(ms: number): Promise<void> {
    return this.world.run(this.world.nowMs + ms, () => this.meter.step())
  }

  reaches(): boolean {
    return true
  }

  reached(): number {
    return 0
  }

  decided(txn: CheckedTxn, { kind }: Decision): void {
    if (kind !== 'done') return
    this.meter.add('txns', 1)
    this.meter.add('puts', txn.changes.length)
    this.meter.add('putBytes', txn.bytes)
    for (const { key, put } of txn.changes) {
      const [, machineId = '', name = ''] = workKey.exec(key) ?? []
      const work = put === undefined ? undefined : (JSON.parse(put.json) as SlotRecord)
      this.machine(machineId)?.give(name, work)
    }
  }

  #beats(group: number): void {
    const { beatIntervalMs } = limits
    const own = this.machines.filter((_, i) => i > 0 && i % beatGroups === group)
    const tell = () => {
      this.world.after(beatIntervalMs, tell)
      const leader = this.#leader
      if (leader === undefined) return
      const beats = own.filter(({ isOn }) => isOn).map((each) => [each, each.beat] as const)
      const [first] = beats
      if (first === undefined) return
      this.meter.add('beats', beats.length)
      this.meter.add('messageBytes', beats.length * JSON.stringify(first[1]).length)
      leader.gate.enter(() => {
        for (const [{ record }, beat] of beats) {
          leader.liveness.beatFrom(record.machineId, beat)
        }
      })
    }
    this.world.after((group * beatIntervalMs) / beatGroups, tell)
  }
}

/** The parts of an agent that leads, put together as FleetUnits does. */
export class Leader implements Disposable {
  readonly gate: Gate
  readonly liveness: Liveness
  readonly control: Control
  readonly #fleet: ScaleFleet
  readonly #log: DecisionLog
  readonly #state: SimState

  constructor(fleet: ScaleFleet) {
    this.#fleet = fleet
    const { meter, world } = fleet
    const { random } = world
    this.gate = new MeteredGate(world, meter)
    const { clock, state } = fleet.connect(this.gate)
    this.#state = state
    const report = () => {}
    const records = fleet.machines.map(({ record }) => record)
    const self = records[0]?.machineId ?? ''
    const keepers = records.slice(0, keeperCount).map(({ machineId }) => machineId)
    const common = { clock, random, state, report }
    const texts = new SpecTexts(state, { read: () => undefined, write: () => {} }, report)
    this.#log = new DecisionLog({ ...common, machine: () => self }, 'leader')
    this.liveness = new Liveness({
      clock,
      random,
      links: this.#links(),
      self: () => self,
      machines: () => records,
      keepers: () => keepers,
      beat: () => ({ ...own().beat, fitness: this.control.fitness }),
      beatCame: (machineId, { sequence }) => this.control.heard(machineId, sequence),
      keeperSilent: () => {},
      changed: (machineId) => this.control.controller.machineChanged(machineId),
    })
    const own = () => fleet.machines[0] as ModelMachine
    this.control = new Control(
      {
        ...common,
        placer: new Scheduler(random),
        self,
        keepers: () => keepers,
        machines: () => controlledMachines(records, this.liveness, self, () => own().beat.report),
        fitnessOf: (machineId) => this.liveness.fitnessOf(machineId),
        sequence: () => own().sequence,
        ask: (machineId, signal) => this.#hosted(machineId, signal),
        text: (unit, spec, signal) => texts.get(unit, spec, signal),
        timer: async (name, spec, signal) => readTimer(name, await texts.get(name, spec, signal)),
        seed: 'scale',
        askConditions: async () => ({ kind: 'met' }),
        facts: async (unit, spec, signal) => unitFacts(unit, await texts.get(unit, spec, signal)),
        decided: (...decision) => this.#log.add(...decision),
        saw: (machine, what, why) => this.#log.addOfMachine(machine, what, why),
      },
      'leader',
    )
    this.gate.enter(() => {
      this.liveness.start()
      this.control.start()
    })
  }

  [Symbol.dispose](): void {
    this.gate.kill()
    this.control[Symbol.dispose]()
    this.liveness[Symbol.dispose]()
    this.#log[Symbol.dispose]()
    void this.#state.close()
  }

  #links(): PeerLinks {
    const isOn = (id: string) => this.#fleet.machine(id)?.isOn === true
    return {
      peer: async (machineId) => ({
        sightings: async () => [],
        beat: (_, { signal }) => this.#call(machineId, signal, () => undefined),
        report: ({ signal }) => this.#call(machineId, signal, ({ beat }) => beat.report),
        reaches: (id, { signal }) => this.#call(machineId, signal, () => isOn(id)),
      }),
      seen: () => {},
      seenAtMs: () => undefined,
    }
  }

  async #hosted(machineId: string, signal: AbortSignal): Promise<HostedReport> {
    const { meter } = this.#fleet
    const hosted = await this.#call(machineId, signal, (machine) => machine.hosted)
    meter.add('reports', 1)
    meter.add('messageBytes', JSON.stringify(hosted).length)
    return hosted
  }

  /** There and back; a machine that is off never answers. */
  #call<T>(machineId: string, signal: AbortSignal, work: (machine: ModelMachine) => T): Promise<T> {
    const { world } = this.#fleet
    const answered = new Promise<T>((resolve) => {
      world.after(world.between(0.2, legMsMax), () => {
        const machine = this.#fleet.machine(machineId)
        if (machine?.isOn !== true) return
        const answer = work(machine)
        world.after(world.between(0.2, legMsMax), () => this.gate.enter(() => resolve(answer)))
      })
    })
    return withSignal(answered, signal)
  }
}
