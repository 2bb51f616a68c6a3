/**
 * A timer of the fleet, as the kernel has it: what it has done is in State, what it will do follows
 * from that on any machine. It has no instances; what it starts is a unit like any other.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { localTimeZone } from '../io/time-zone.ts'
import type { WhyAnswer } from '../kernel/decisions.ts'
import type { Unit, UnitFile } from '../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../kernel/log-types.ts'
import type { CallOptions, TimerPart, UnitStatus } from '../kernel/types.ts'
import { timerNext, timerProperties, timerSub } from '../unit/timer-text.ts'
import type { FleetUnits } from './fleet-units.ts'
import { readDecisions } from './reconcile/decision-log.ts'
import type { SpecRecord } from './reconcile/records.ts'
import {
  decideFleetTimer,
  nextDueMs,
  type TimerView,
  whyTimerWaits,
} from './reconcile/timer-view.ts'
import { readTimer } from './reconcile/unit-facts.ts'

export interface FleetTimerDeps {
  readonly clock: Clock
  readonly units: FleetUnits
  readonly nameOf: (machineId: string) => string
  /** Throws `permission_denied` when the caller may not. */
  readonly owns: (what: string) => void
  readonly by: string
}

export class FleetTimer implements Unit {
  readonly #deps: FleetTimerDeps
  readonly #name: string

  constructor(deps: FleetTimerDeps, name: string) {
    this.#deps = deps
    this.#name = name
  }

  async status({ signal }: CallOptions): Promise<UnitStatus> {
    const view = await this.#view(signal)
    const { spec, timer } = view
    const part = this.#part(view)
    return {
      name: this.#name,
      scope: 'fleet',
      machines: [],
      description: timer.description,
      load: 'loaded',
      active: spec.wanted ? 'active' : 'inactive',
      sub: timerSub(spec.wanted, part, decideFleetTimer(view, this.#deps.clock.wallMs()).kind),
      enabled: spec.enabled,
      wanted: spec.wanted,
      instances: [],
      instancesWanted: 0,
      loadedAtMs: spec.changedAtMs,
      notes: spec.wanted && view.target === undefined ? [part.waits] : [],
      timer: part,
      ...(spec.sourcePath === undefined ? {} : { sourcePath: spec.sourcePath }),
    }
  }

  start(options: CallOptions): Promise<UnitStatus> {
    return this.#want(true, options)
  }

  stop(options: CallOptions): Promise<UnitStatus> {
    return this.#want(false, options)
  }

  /** Spans count from now again. */
  async restart(_: { readonly instance?: number }, options: CallOptions): Promise<UnitStatus> {
    await this.#want(false, options)
    return this.#want(true, options)
  }

  enable(options: CallOptions): Promise<UnitStatus> {
    return this.#enable(true, options)
  }

  disable(options: CallOptions): Promise<UnitStatus> {
    return this.#enable(false, options)
  }

  async scale(): Promise<UnitStatus> {
    throw this.#unsupported('scale')
  }

  async undo(): Promise<UnitStatus> {
    throw this.#unsupported('take back a change of')
  }

  async unload({ signal }: CallOptions): Promise<void> {
    const { units, owns, by } = this.#deps
    owns(`unload ${this.#name}; root may`)
    await units.verbs.unload(this.#name, { signal })
    units.asked(this.#name, 'unload', by)
  }

  async cat({ signal }: CallOptions): Promise<UnitFile> {
    const { spec, sourcePath } = await this.#spec(signal)
    const text = await this.#deps.units.texts.get(this.#name, spec, signal)
    return { name: this.#name, text, ...(sourcePath === undefined ? {} : { sourcePath }) }
  }

  async show(options: CallOptions): Promise<Readonly<Record<string, string>>> {
    return timerProperties(await this.status(options))
  }

  async why(options: CallOptions): Promise<WhyAnswer> {
    const [status, decisions] = await Promise.all([
      this.status(options),
      readDecisions(this.#deps.units.state, this.#name, options),
    ])
    return { unit: this.#name, status, decisions, next: timerNext(status) }
  }

  async logs(_: LogQuery, { signal }: CallOptions): Promise<LogPage> {
    const { timer } = await this.#view(signal)
    throw new HolonError(
      'unsupported',
      `logs of ${this.#name}: a timer has none; \`holon logs ${timer.unit}\` has its service's`,
    )
  }

  // ---- parts

  async #want(wanted: boolean, options: CallOptions): Promise<UnitStatus> {
    const { units, by, owns } = this.#deps
    owns(`${wanted ? 'start' : 'stop'} ${this.#name}; root may`)
    const { timer, target } = await this.#view(options.signal)
    if (wanted && target === undefined) {
      throw new HolonError(
        'not_found',
        `start ${this.#name}: it starts ${timer.unit}, which the fleet does not have; ` +
          `load its file, too: \`holon enable ./${timer.unit}\``,
      )
    }
    await units.verbs.wantTimer(this.#name, { wanted, zone: localTimeZone() }, by, options)
    units.asked(this.#name, wanted ? 'start' : 'stop', by)
    return this.status(options)
  }

  async #enable(enabled: boolean, options: CallOptions): Promise<UnitStatus> {
    const { units, by, owns } = this.#deps
    owns(`${enabled ? 'enable' : 'disable'} ${this.#name}; root may`)
    await units.verbs.enable(this.#name, enabled, by, options)
    units.asked(this.#name, enabled ? 'enable' : 'disable', by)
    return this.status(options)
  }

  async #spec(signal: AbortSignal): Promise<SpecRecord> {
    const spec = await this.#deps.units.verbs.spec(this.#name, { signal })
    if (spec !== undefined) return spec
    throw new HolonError('not_found', `the fleet has no ${this.#name} any more`)
  }

  async #view(signal: AbortSignal): Promise<TimerView> {
    const { verbs, texts, seed } = this.#deps.units
    const spec = await this.#spec(signal)
    const timer = readTimer(this.#name, await texts.get(this.#name, spec.spec, signal))
    const [target, slots] = await Promise.all([
      verbs.spec(timer.unit, { signal }),
      verbs.slots(timer.unit, { signal }),
    ])
    return { timer, spec, target, slots: slots.map(({ record }) => record), seed }
  }

  #part(view: TimerView): TimerPart {
    const { timer, spec, slots } = view
    const wallMs = this.#deps.clock.wallMs()
    const nextMs = nextDueMs(view, wallMs)
    const { lastFiredAtMs: lastMs, lastScheduledMs } = spec.timer ?? {}
    const machines = slots.filter(({ machineId }) => machineId !== '')
    return {
      unit: timer.unit,
      ...(nextMs === undefined ? {} : { nextMs }),
      ...(lastMs === undefined ? {} : { lastMs }),
      ...(lastScheduledMs === undefined ? {} : { lastScheduledMs }),
      machines: machines.map(({ machineId }) => this.#deps.nameOf(machineId)),
      waits: whyTimerWaits(view, decideFleetTimer(view, wallMs)),
    }
  }

  #unsupported(verb: string): HolonError {
    return new HolonError('unsupported', `${verb} ${this.#name}: a timer has no instances`)
  }
}
