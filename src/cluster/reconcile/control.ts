/**
 * The fleet's units, on a machine that keeps the state: it follows what is wanted and where things
 * are, and when it leads, decides. All such machines stand by, warm, so that another one goes on
 * within a moment.
 */
import { type Clock, deadline, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { State } from '../../state/port.ts'
import type { TimerUnit } from '../../unit/timer-unit.ts'
import type { ConditionAnswersDeps } from './condition-answers.ts'
import { ControlView } from './control-view.ts'
import type { ControlledMachine } from './controlled.ts'
import { Controller } from './controller.ts'
import { keeperRestart } from './decision-log.ts'
import type { HostedInstance } from './host.ts'
import { type Fitness, type LeaderRecord, leaderKey, reasonToLead } from './leadership.ts'
import type { Placer } from './placer.ts'
import { type HostedReport, Reports } from './reports.ts'
import type { UnitFacts } from './unit-facts.ts'

export interface ControlDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly placer: Placer
  readonly self: string
  /** Ids of the machines that keep the state. */
  readonly keepers: () => readonly string[]
  readonly machines: () => readonly ControlledMachine[]
  /** What a machine that keeps the state last said of itself. */
  readonly fitnessOf: (machineId: string) => Fitness | undefined
  /** The number of this machine's own report. */
  readonly sequence: () => number
  readonly ask: (machineId: string, signal: AbortSignal) => Promise<HostedReport>
  readonly facts: (unit: string, spec: number, signal: AbortSignal) => Promise<UnitFacts>
  readonly text: (unit: string, spec: number, signal: AbortSignal) => Promise<string>
  readonly askConditions: ConditionAnswersDeps['ask']
  readonly timer: (name: string, spec: number, signal: AbortSignal) => Promise<TimerUnit>
  /** The same on all machines of one fleet, and of no other. */
  readonly seed: string
  /** `machine`: who did it, if not this one. */
  readonly decided: (
    unit: string,
    what: string,
    why: string,
    slot?: number,
    machine?: string,
  ) => void
  /** What was seen of a machine, by name. */
  readonly saw: (machine: string, what: string, why: string) => void
  readonly report: (message: string) => void
}

const tickMs = 250
const takeOverTimeoutMs = 3_000

export class Control implements Disposable {
  readonly view: ControlView
  readonly reports: Reports
  readonly controller: Controller
  readonly #deps: ControlDeps
  readonly #writer: string
  readonly #life = new AbortController()
  /** Machines that this one heard, as of the last look. */
  #up: ReadonlySet<string> = new Set()
  #timer: Timer | undefined

  constructor(deps: ControlDeps, writer: string) {
    const { clock, state, report, ask } = deps
    this.#deps = deps
    this.#writer = writer
    this.view = new ControlView({
      clock,
      state,
      report,
      changed: (units) => this.controller.changed(units),
    })
    this.reports = new Reports({
      clock,
      ask,
      changed: (machineId, units) => this.controller.reported(machineId, units),
      restarted: (machineId, instance) => this.#sawRestart(machineId, instance),
    })
    this.controller = new Controller({ ...deps, view: this.view, reports: this.reports }, writer)
  }

  start(): void {
    this.view.start()
    void this.#tick()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#timer?.[Symbol.dispose]()
    this.controller[Symbol.dispose]()
    this.reports[Symbol.dispose]()
    this.view[Symbol.dispose]()
  }

  get leads(): boolean {
    return this.view.leader?.record.machineId === this.#deps.self
  }

  /** How fit this machine is to lead, for its beats. */
  get fitness(): Fitness {
    return { hears: this.#up.size, stateSilentMs: this.view.silentMs }
  }

  /** A beat came with the number of its machine's report. */
  heard(machineId: string, sequence: number): void {
    this.reports.heard(machineId, sequence)
  }

  /** This machine's own report has changed. */
  ownNews(): void {
    if (this.leads) this.heard(this.#deps.self, this.#deps.sequence())
  }

  #sawRestart(machineId: string, { unit, slot, restarted }: HostedInstance): void {
    if (!this.leads || restarted === undefined) return
    const { decided, machines } = this.#deps
    const { times, why } = restarted
    const machine = machines().find((each) => each.machineId === machineId)?.name ?? machineId
    const often = times === 1 ? '' : `, ${times} times since it was started there`
    decided(
      unit,
      keeperRestart,
      `it had ended: ${why || 'how is not known'}${often}`,
      slot,
      machine,
    )
  }

  async #tick(): Promise<void> {
    const { clock, report } = this.#deps
    try {
      await this.#judge()
    } catch (error) {
      if (!this.#life.signal.aborted) report(`take over the lead: ${asHolonError(error).message}`)
    }
    this.controller.leads = this.leads
    this.ownNews()
    if (this.#life.signal.aborted) return
    this.#timer = clock.timer(tickMs, () => void this.#tick(), { background: true })
  }

  async #judge(): Promise<void> {
    const { self, keepers, fitnessOf } = this.#deps
    this.#up = this.#lookWhoIsUp()
    // Before the state was heard there is no telling who leads.
    if (!Number.isFinite(this.view.silentMs)) return
    const up = new Set([self, ...this.#up])
    const leader = this.view.leader
    const isKeeper = leader !== undefined && keepers().includes(leader.record.machineId)
    const reason = reasonToLead({
      self,
      own: this.fitness,
      leader: leader?.record,
      leaderIsUp: isKeeper && up.has(leader.record.machineId),
      leaderFitness: leader === undefined ? undefined : fitnessOf(leader.record.machineId),
      candidates: keepers().filter((id) => up.has(id)),
    })
    if (reason !== undefined) await this.#takeOver(reason)
  }

  async #takeOver(reason: string): Promise<void> {
    const { clock, random, state, self, report } = this.#deps
    const before = this.view.leader
    const record: LeaderRecord = { machineId: self, term: (before?.record.term ?? 0) + 1 }
    using limit = deadline(clock, takeOverTimeoutMs, this.#life.signal)
    const result = await commit(
      { clock, random },
      state,
      {
        if: [{ key: leaderKey, revision: before?.revision ?? 0 }],
        then: [{ kind: 'put', key: leaderKey, value: record, schema: 1 }],
        operationId: newOperationId(random),
        writer: this.#writer,
      },
      limit,
    )
    if (result.kind !== 'done') return
    this.view.wroteLeader({ record, revision: result.revision })
    report(`this machine decides where units run now: ${reason}`)
  }

  #lookWhoIsUp(): ReadonlySet<string> {
    const machines = this.#deps.machines()
    const up = machines.filter(({ presence }) => presence === 'up')
    return new Set(up.map(({ machineId }) => machineId))
  }
}
