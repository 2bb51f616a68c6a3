/** The kernel's Unit for a timer of this machine, as one caller may use it. */
import { HolonError } from '../../base/errors.ts'
import type { WhyAnswer } from '../../kernel/decisions.ts'
import type { Unit, UnitFile } from '../../kernel/kernel.ts'
import type { LogPage } from '../../kernel/log-types.ts'
import type { CallOptions, UnitStatus } from '../../kernel/types.ts'
import { timerNext, timerProperties } from '../../unit/timer-text.ts'
import { type Caller, requireOwner } from '../users.ts'
import type { MachineTimers } from './machine-timers.ts'
import type { ManagedTimer } from './managed-timer.ts'

export interface TimerTargetDeps {
  readonly timers: MachineTimers
  readonly agentUid: number
}

export class TimerTarget implements Unit {
  readonly #deps: TimerTargetDeps
  readonly #timer: ManagedTimer
  readonly #caller: Caller

  constructor(deps: TimerTargetDeps, timer: ManagedTimer, caller: Caller) {
    this.#deps = deps
    this.#timer = timer
    this.#caller = caller
  }

  async status(): Promise<UnitStatus> {
    return this.#timer.status()
  }

  start({ signal }: CallOptions): Promise<UnitStatus> {
    return this.#want(true, signal)
  }

  stop({ signal }: CallOptions): Promise<UnitStatus> {
    return this.#want(false, signal)
  }

  /** Spans count from now again. */
  async restart(_: { readonly instance?: number }, { signal }: CallOptions): Promise<UnitStatus> {
    await this.#want(false, signal)
    return this.#want(true, signal)
  }

  enable({ signal }: CallOptions): Promise<UnitStatus> {
    return this.#enable(true, signal)
  }

  disable({ signal }: CallOptions): Promise<UnitStatus> {
    return this.#enable(false, signal)
  }

  async scale(): Promise<UnitStatus> {
    throw this.#unsupported('scale')
  }

  async undo(): Promise<UnitStatus> {
    throw this.#unsupported('take back a change of')
  }

  unload({ signal }: CallOptions): Promise<void> {
    this.#mayAct('unload')
    return this.#deps.timers.unload(this.#timer.record.name, signal)
  }

  async cat(): Promise<UnitFile> {
    const { name, text, sourcePath } = this.#timer.record
    return sourcePath === undefined ? { name, text } : { name, text, sourcePath }
  }

  async show(): Promise<Readonly<Record<string, string>>> {
    return timerProperties(this.#timer.status())
  }

  async why(): Promise<WhyAnswer> {
    const status = this.#timer.status()
    const decisions = this.#timer.journal.list()
    return { unit: status.name, status, decisions, next: timerNext(status) }
  }

  async logs(): Promise<LogPage> {
    const { record, unit } = this.#timer
    const what = `${record.name} has no logs; \`holon logs ${unit}\` has those of its service`
    throw new HolonError('unsupported', what)
  }

  async #want(wanted: boolean, signal: AbortSignal): Promise<UnitStatus> {
    this.#mayAct(wanted ? 'start' : 'stop')
    await this.#timer.want(wanted, `uid ${this.#caller.uid}`, signal)
    this.#deps.timers.look()
    return this.#timer.status()
  }

  async #enable(enabled: boolean, signal: AbortSignal): Promise<UnitStatus> {
    this.#mayAct(enabled ? 'enable' : 'disable')
    await this.#timer.enable(enabled, signal)
    return this.#timer.status()
  }

  #mayAct(verb: string): void {
    requireOwner(this.#caller, this.#deps.agentUid, `${verb} ${this.#timer.record.name}; root may`)
  }

  #unsupported(verb: string): HolonError {
    const { name } = this.#timer.record
    return new HolonError('unsupported', `${verb} ${name}: a timer has no instances`)
  }
}
