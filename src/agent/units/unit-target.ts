/**
 * The kernel's Unit as one caller may use it: everyone may look, root and the agent's own user act.
 */
import { HolonError } from '../../base/errors.ts'
import type { WhyAnswer } from '../../kernel/decisions.ts'
import type { Unit, UnitFile } from '../../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { CallOptions, UnitStatus } from '../../kernel/types.ts'
import { type Logs, unitLogs } from '../logs.ts'
import { type Caller, requireOwner } from '../users.ts'
import type { ManagedUnit } from './managed-unit.ts'
import {
  type ShownUnit,
  type UnitStatusDeps,
  unitProperties,
  unitStatus,
  whatComesNext,
} from './unit-status.ts'

/** A unit of this machine: its own, or one of the fleet, which nobody rules from here. */
export type MachineUnit = ShownUnit & Pick<ManagedUnit, 'start' | 'stop' | 'restart' | 'enable'>

export interface UnitTargetDeps {
  readonly status: UnitStatusDeps
  readonly agentUid: number
  readonly logs: Logs
  readonly logDir: (job: string) => string
  readonly unload: (name: string, signal: AbortSignal) => Promise<void>
}

export class UnitTarget implements Unit {
  readonly #deps: UnitTargetDeps
  readonly #unit: MachineUnit
  readonly #caller: Caller

  constructor(deps: UnitTargetDeps, unit: MachineUnit, caller: Caller) {
    this.#deps = deps
    this.#unit = unit
    this.#caller = caller
  }

  async status(): Promise<UnitStatus> {
    return this.#status()
  }

  async start({ signal }: CallOptions): Promise<UnitStatus> {
    this.#mayAct('start')
    await this.#unit.start(this.#by(), signal)
    return this.#status()
  }

  async stop({ signal }: CallOptions): Promise<UnitStatus> {
    this.#mayAct('stop')
    await this.#unit.stop(this.#by(), signal)
    return this.#status()
  }

  async restart(which: { readonly instance?: number }, { signal }: CallOptions) {
    this.#mayAct('restart')
    await this.#unit.restart(this.#by(), which.instance, signal)
    return this.#status()
  }

  async enable({ signal }: CallOptions): Promise<UnitStatus> {
    this.#mayAct('enable')
    await this.#unit.enable(true, signal)
    return this.#status()
  }

  async disable({ signal }: CallOptions): Promise<UnitStatus> {
    this.#mayAct('disable')
    await this.#unit.enable(false, signal)
    return this.#status()
  }

  async scale(): Promise<UnitStatus> {
    throw this.#ofOneMachine('scale')
  }

  async undo(): Promise<UnitStatus> {
    throw this.#ofOneMachine('take back a change of')
  }

  unload({ signal }: CallOptions): Promise<void> {
    this.#mayAct('unload')
    return this.#deps.unload(this.#unit.name, signal)
  }

  async cat(): Promise<UnitFile> {
    const { name, text, sourcePath } = this.#unit.record
    return sourcePath === undefined ? { name, text } : { name, text, sourcePath }
  }

  async show(): Promise<Readonly<Record<string, string>>> {
    return unitProperties(this.#unit, this.#status())
  }

  async why(): Promise<WhyAnswer> {
    const status = this.#status()
    return {
      unit: this.#unit.name,
      status,
      decisions: this.#unit.journal.list(),
      next: whatComesNext(this.#unit, status),
    }
  }

  async logs(query: LogQuery, { signal }: CallOptions): Promise<LogPage> {
    this.#mayAct('read the logs of')
    const { logDir, logs } = this.#deps
    const { name } = this.#unit
    // Also what those wrote that were here earlier: why one went is mostly in its last lines.
    const earlier = unitLogs(logDir('unit'), name, query.instances)
    const present = this.#unit.instances().map(({ number }) => number)
    const sources = (query.instances ?? present).map((number) => ({
      instance: `${name}/${number}`,
      dir: logDir(`unit/${name}/${number}`),
    }))
    const all = new Map([...earlier, ...sources].map((each) => [each.instance, each]))
    return logs.read([...all.values()], query, { signal })
  }

  #status(): UnitStatus {
    return unitStatus(this.#deps.status, this.#unit, true)
  }

  #mayAct(verb: string): void {
    requireOwner(this.#caller, this.#deps.agentUid, `${verb} ${this.#unit.name}; root may`)
  }

  #ofOneMachine(verb: string): HolonError {
    return new HolonError(
      'unsupported',
      `${verb} ${this.#unit.name}: it belongs to one machine; only units of a fleet can be, ` +
        'which are loaded in a fleet without -m',
    )
  }

  #by(): string {
    return `uid ${this.#caller.uid}`
  }
}
