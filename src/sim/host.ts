/**
 * A simulated machine's process table and its keepers: what outlives the agent, and dies with the
 * machine. Keepers end what runs under a lease at the moment they were given, agent or no agent.
 */
import { type Timer, withSignal } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { HeldLease } from '../cluster/lease/holder.ts'
import { leaseTimes, type Moment } from '../cluster/lease/times.ts'
import type { AskedUnit } from '../cluster/reconcile/condition-answers.ts'
import type {
  HostedInstance,
  HostedPhase,
  InstanceHost,
  StartOrder,
} from '../cluster/reconcile/host.ts'
import { workName } from '../cluster/reconcile/plan-work.ts'
import {
  type ConditionFacts,
  type ConditionVerdict,
  evaluateConditions,
} from '../unit/conditions.ts'
import type { Gate, Oscillator } from './gate.ts'
import type { Behaviour, Program } from './program.ts'
import type { World } from './world.ts'

export interface SimProcess {
  readonly unit: string
  readonly slot: number
  readonly generation: number
  readonly spec: number
  readonly exclusive: boolean
  readonly epoch: number | undefined
  readonly behaviour: Behaviour
  until: Moment | undefined
  /** Its keeper looks at the clock then. */
  look: Timer | undefined
  /** To be called when it is over. */
  readonly waiting: (() => void)[]
  phase: HostedPhase
  why: string
  sinceMs: number
}

export interface ProcessTableHooks {
  /** It begins or ends to run. */
  readonly running: (process: SimProcess, runs: boolean) => void
  /** It was asked to end. */
  readonly stopped: (process: SimProcess, why: string) => void
  readonly phase: (process: SimProcess) => void
}

const leaseOver = 'its lease is over'
/** A keeper is a process like others: it may be so late. */
const keeperLateMsMax = 100
/** A keeper kills what did not stop so long after its lease was over. */
const killMs = leaseTimes.stopMs - 150

export class ProcessTable {
  readonly processes = new Map<string, SimProcess>()
  readonly #world: World
  readonly #oscillator: Oscillator
  readonly #name: string
  readonly #hooks: ProcessTableHooks
  #isFrozen = false
  onChange: () => void = () => {}

  constructor(world: World, oscillator: Oscillator, name: string, hooks: ProcessTableHooks) {
    this.#world = world
    this.#oscillator = oscillator
    this.#name = name
    this.#hooks = hooks
  }

  get isFrozen(): boolean {
    return this.#isFrozen
  }

  isRunning({ phase }: SimProcess): boolean {
    return phase === 'starting' || phase === 'ready' || phase === 'stopping'
  }

  spawn(order: StartOrder, behaviour: Behaviour): void {
    const name = workName(order.unit, order.slot)
    const there = this.processes.get(name)
    if (there !== undefined && this.isRunning(there)) {
      throw new HolonError('conflict', `${name} runs on ${this.#name} already`)
    }
    const { unit, slot, generation, spec, lease } = order
    const process: SimProcess = {
      unit,
      slot,
      generation,
      spec,
      exclusive: behaviour.exclusive,
      epoch: lease?.epoch,
      behaviour,
      until: lease?.until,
      look: undefined,
      waiting: [],
      phase: 'starting',
      why: '',
      sinceMs: this.#world.nowMs,
    }
    if (this.#isOver(process)) throw new HolonError('conflict', `the lease for ${name} is over`)
    this.processes.set(name, process)
    this.#hooks.running(process, true)
    this.#note(process, `starts, generation ${generation}, text ${spec}`)
    this.#begin(process)
    this.#armLease(process)
  }

  /** It becomes ready, in time or not at all. */
  #begin(process: SimProcess): void {
    const { readyMs, timeoutMs, fails } = process.behaviour
    const isTooSlow = timeoutMs > 0 && readyMs > timeoutMs
    this.#later(process, isTooSlow ? timeoutMs : readyMs, () => {
      if (process.phase !== 'starting') return
      if (isTooSlow) this.#end(process, 'failed', 'result timeout')
      else if (fails) this.#end(process, 'failed', 'result exit-code, status 1')
      else this.#ready(process)
    })
  }

  /** What ends by itself does so after this, however long its machine stood still before. */
  #ready(process: SimProcess): void {
    const { runsMs } = process.behaviour
    this.#set(process, 'ready', '')
    if (runsMs === undefined) return
    this.#later(process, runsMs, () => {
      if (process.phase === 'ready') this.#end(process, 'ended', 'result success')
    })
  }

  /** Asks it to end; it is over after a moment. */
  stop(process: SimProcess, why: string): void {
    if (!this.isRunning(process) || process.phase === 'stopping') return
    this.#hooks.stopped(process, why)
    this.#set(process, 'stopping', why)
    this.#later(process, process.behaviour.stopMs, () => this.#end(process, 'stopped', why))
  }

  /** Its keeper restarts it in a moment: unless it gives up. */
  crashProcess(process: SimProcess, givesUp: boolean): void {
    if (process.phase !== 'ready') return
    if (givesUp) {
      this.#end(process, 'failed', 'result start-limit-hit')
      return
    }
    this.#set(process, 'starting', 'restarted')
    this.#begin(process)
  }

  /** The machine loses power: nothing of it is left. */
  crash(): void {
    for (const process of this.processes.values()) {
      process.look?.[Symbol.dispose]()
      if (this.isRunning(process)) this.#hooks.running(process, false)
    }
    this.processes.clear()
    this.#isFrozen = false
  }

  freeze(): void {
    this.#isFrozen = true
  }

  /** The first thing that keepers do is to look at the clock. */
  thaw(): void {
    this.#isFrozen = false
    this.clockJumped()
  }

  clockJumped(): void {
    for (const process of this.processes.values()) this.#checkLease(process)
  }

  /** What runs under the lease's epoch now ends at another time. */
  extend({ epoch, until }: HeldLease): void {
    for (const process of this.processes.values()) {
      if (process.epoch !== epoch) continue
      process.until = until
      this.#armLease(process)
    }
  }

  /** Looks again when the lease is over, and when the time to stop is. */
  #armLease(process: SimProcess): void {
    process.look?.[Symbol.dispose]()
    if (process.until === undefined || !this.isRunning(process)) return
    const over = this.#overMs(process.until)
    const leftMs = Math.max(0, over < 0 ? -over : killMs - over) / this.#oscillator.rate
    const lateMs = this.#world.between(0, keeperLateMsMax)
    process.look = this.#world.after(leftMs + lateMs, () => this.#checkLease(process))
  }

  /** At the lease's end it is asked to stop; when the time for that is over, too, it is killed. */
  #checkLease(process: SimProcess): void {
    if (this.#isFrozen || process.until === undefined || !this.isRunning(process)) return
    const overMs = this.#overMs(process.until)
    if (overMs >= killMs) {
      this.#end(process, 'stopped', leaseOver)
      return
    }
    if (overMs >= 0) this.stop(process, leaseOver)
    this.#armLease(process)
  }

  #overMs(until: Moment): number {
    return Math.max(
      this.#oscillator.nowMs() - until.bootMs,
      this.#oscillator.wallMs() - until.wallMs,
    )
  }

  #isOver({ until }: SimProcess): boolean {
    return until !== undefined && this.#overMs(until) >= 0
  }

  #end(process: SimProcess, phase: 'ended' | 'failed' | 'stopped', why: string): void {
    if (!this.isRunning(process)) return
    this.#hooks.running(process, false)
    this.#set(process, phase, why)
    for (const done of process.waiting.splice(0)) done()
  }

  #set(process: SimProcess, phase: HostedPhase, why: string): void {
    process.phase = phase
    process.why = why
    process.sinceMs = this.#world.nowMs
    this.#note(process, `${phase} ${why}`)
    this.#hooks.phase(process)
    this.onChange()
  }

  /** Happens to the process unless the machine died; while it is frozen it waits. */
  #later(process: SimProcess, ms: number, work: () => void): void {
    this.#world.after(ms / this.#oscillator.rate, () => {
      if (this.processes.get(nameOf(process)) !== process) return
      if (this.#isFrozen) this.#later(process, 10, work)
      else work()
    })
  }

  #note(process: SimProcess, what: string): void {
    this.#world.note(`${this.#name}: ${nameOf(process)} ${what}`)
  }
}

function nameOf({ unit, slot }: SimProcess): string {
  return workName(unit, slot)
}

export interface SimHostDeps {
  readonly world: World
  readonly table: ProcessTable
  readonly gate: Gate
  /** Of the machine's clock. */
  readonly rate: number
  readonly programOf: (order: StartOrder) => Program
  /** What conditions of that unit are judged by. */
  readonly facts: (unit: string) => ConditionFacts
}

/** The process table as one incarnation of the agent uses it. */
export class SimHost implements InstanceHost {
  readonly #world: World
  readonly #table: ProcessTable
  readonly #gate: Gate
  readonly #deps: SimHostDeps

  constructor(deps: SimHostDeps) {
    this.#deps = deps
    this.#world = deps.world
    this.#table = deps.table
    this.#gate = deps.gate
  }

  instances(): readonly HostedInstance[] {
    return [...this.#table.processes.values()]
      .map(({ unit, slot, generation, spec, exclusive, phase, why, sinceMs }) => {
        const forMs = (this.#world.nowMs - sinceMs) * this.#deps.rate
        return { unit, slot, generation, spec, exclusive, phase, why, forMs }
      })
      .sort((a, b) => (a.unit === b.unit ? a.slot - b.slot : a.unit < b.unit ? -1 : 1))
  }

  async start(order: StartOrder, signal: AbortSignal): Promise<void> {
    const { behaviour, facts } = this.#deps.programOf(order)
    const { unit } = order
    const verdict = this.checkConditions({ unit, conditions: facts.rules.conditions })
    if (verdict.kind === 'unmet') {
      throw new HolonError('conflict', `${verdict.which} is not met on this machine`)
    }
    // A keeper is forked: nothing is instant.
    await this.#wait(this.#world.between(2, 60))
    signal.throwIfAborted()
    this.#table.spawn(order, behaviour)
  }

  async stop(unit: string, slot: number, why: string, signal: AbortSignal): Promise<void> {
    const name = workName(unit, slot)
    const process = this.#table.processes.get(name)
    if (process === undefined) return
    this.#table.stop(process, why)
    if (this.#table.isRunning(process)) {
      const isOver = new Promise<void>((resolve) => {
        process.waiting.push(() => this.#gate.enter(resolve))
      })
      await withSignal(isOver, signal)
    }
    if (this.#table.processes.get(name) === process) this.#table.processes.delete(name)
    this.#table.onChange()
  }

  extend(lease: HeldLease): void {
    this.#table.extend(lease)
  }

  checkConditions({ unit, conditions }: AskedUnit): ConditionVerdict {
    return evaluateConditions(conditions, this.#deps.facts(unit))
  }

  onChange(changed: () => void): void {
    this.#table.onChange = () => this.#gate.enter(changed)
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#world.after(ms, () => this.#gate.enter(resolve))
    })
  }
}
