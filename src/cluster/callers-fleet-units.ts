/**
 * The fleet's units for one caller: finding, loading and listing them beside those that machines
 * have of their own. While State is away what the machines themselves know is all there is.
 */
import { deadline } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { EventPage, EventQuery } from '../kernel/decisions.ts'
import type { Unit, UnitFile } from '../kernel/kernel.ts'
import type { Secrets } from '../kernel/secrets.ts'
import type { MachineWish, MissingMachine, UnitListing, UnitStatus } from '../kernel/types.ts'
import { isTimerName } from '../unit/timer-unit.ts'
import { fullUnitName } from '../unit/unit-name.ts'
import type { FleetCaller, FleetSystemDeps } from './fleet-system.ts'
import { FleetTimer } from './fleet-timer.ts'
import { FleetUnit, type KnownUnit } from './fleet-unit.ts'
import { type FleetUnits, noFleet } from './fleet-units.ts'
import type { FindKept } from './logs-kept/find-kept.ts'
import { readEvents } from './reconcile/events.ts'
import type { HeldBack, HeldBackQuery, WaitingRow } from './reconcile/held-back.ts'
import type { SpecRecord } from './reconcile/records.ts'
import { readTimer, unitFacts } from './reconcile/unit-facts.ts'
import { SecretsTarget } from './secrets/secrets-target.ts'
import { requireNoCircle } from './unit-circle.ts'
import { type UnitHolder, worstOf } from './unit-of-many.ts'

/** The machines that have a unit, asked now. */
export type FindHolders = (
  name: string,
  signal: AbortSignal,
) => Promise<{
  readonly holders: readonly UnitHolder[]
  readonly missing: readonly MissingMachine[]
}>

/** What must be asked of machines for a unit. */
export interface AskMachines {
  readonly holders: FindHolders
  readonly kept: (name: string) => FindKept
}

export type Found =
  | { readonly kind: 'found'; readonly unit: Unit }
  | { readonly kind: 'absent' }
  | { readonly kind: 'unknown'; readonly error: HolonError }

/** `unreadable`: why its text says nothing. */
type ListedUnit = KnownUnit | { readonly spec: SpecRecord; readonly unreadable: string }

/** What the state says of all units, and the leader of what waits. */
type KnownUnits =
  | {
      readonly kind: 'known'
      readonly units: readonly ListedUnit[]
      readonly timers: readonly UnitStatus[]
      readonly waiting: readonly WaitingRow[]
    }
  | { readonly kind: 'unavailable'; readonly why: string }

/** Nobody waits longer for a leader's reasons than for the answer itself. */
const heldBackTimeoutMs = 1_000
const wishVerbs = { cordoned: 'cordon', draining: 'drain', none: 'undrain' } as const
const nothingSaid: HeldBack = { waiting: [], pauses: [] }
/** As long as machines have to answer: both are asked at once. */
const stateTimeoutMs = limits.fanOutMs

export class CallersFleetUnits {
  readonly #deps: FleetSystemDeps
  readonly #caller: FleetCaller
  readonly #ask: AskMachines

  constructor(deps: FleetSystemDeps, caller: FleetCaller, ask: AskMachines) {
    this.#deps = deps
    this.#caller = caller
    this.#ask = ask
  }

  /**
   * `absent`: the fleet has no such unit, or this machine is on its own. `unknown`: the state does
   * not say; what machines know of it can still be had.
   */
  async find(name: string, signal: AbortSignal): Promise<Found> {
    const units = this.#deps.units()
    if (units === undefined) return { kind: 'absent' }
    const full = fullUnitName(name)
    using limit = deadline(this.#deps.clock, stateTimeoutMs, signal)
    try {
      const spec = await units.verbs.spec(full, limit)
      if (spec === undefined) return { kind: 'absent' }
      return { kind: 'found', unit: this.#object(units, full) }
    } catch (error) {
      if (signal.aborted) throw error
      const { message } = asHolonError(error)
      const why = `the fleet's state does not answer, and it is needed for this: ${message}`
      return { kind: 'unknown', error: new HolonError('unavailable', why, { cause: error }) }
    }
  }

  /** Undefined on a machine on its own, and for what this machine has of its own already. */
  async load(file: UnitFile, signal: AbortSignal): Promise<Unit | undefined> {
    const units = this.#deps.units()
    if (units === undefined || (await this.#isOwn(file.name, signal))) return undefined
    this.#caller.owns(`load ${file.name}; root may`)
    if (isTimerName(file.name)) readTimer(file.name, file.text)
    else await this.#requireThatItFits(units, file, signal)
    const { name: unit, text, sourcePath } = file
    const given = { unit, text, ...(sourcePath === undefined ? {} : { sourcePath }) }
    await units.verbs.load(given, this.#caller.by, { signal })
    return this.#object(units, unit)
  }

  async #requireThatItFits(units: FleetUnits, file: UnitFile, signal: AbortSignal): Promise<void> {
    const { dependencies, rules } = unitFacts(file.name, file.text)
    await requireNoCircle(units, file.name, dependencies, { signal })
    const before = await units.verbs.slots(file.name, { signal })
    const exclusive = rules.partition === 'at-most'
    const placed = before.filter(({ record }) => record.machineId !== '')
    if (placed.some(({ record }) => record.exclusive !== exclusive)) {
      throw new HolonError(
        'conflict',
        `load ${file.name}: Partition= cannot change while it runs; \`holon stop ${file.name}\` first`,
      )
    }
  }

  /** Undefined on a machine on its own. */
  async known(signal: AbortSignal): Promise<KnownUnits | undefined> {
    const units = this.#deps.units()
    if (units === undefined) return undefined
    const heldBack = this.#heldBack({}, signal)
    using limit = deadline(this.#deps.clock, stateTimeoutMs, signal)
    try {
      const specs = await units.verbs.units(limit)
      const found = await Promise.all(specs.map((spec) => this.#listed(units, spec, limit.signal)))
      const { waiting } = await heldBack
      const all = found.filter((each) => each !== undefined)
      return {
        kind: 'known',
        units: all.filter((each) => 'spec' in each),
        timers: all.filter((each) => 'name' in each),
        waiting,
      }
    } catch (error) {
      if (signal.aborted) throw error
      return { kind: 'unavailable', why: asHolonError(error).message }
    }
  }

  /** Undefined for one that is unloaded meanwhile. One that cannot be read hides no others. */
  async #listed(
    units: FleetUnits,
    { unit }: SpecRecord,
    signal: AbortSignal,
  ): Promise<ListedUnit | UnitStatus | undefined> {
    try {
      if (isTimerName(unit)) return await this.#timer(units, unit).status({ signal })
      const known = await this.#unit(units, unit).known(signal)
      unitFacts(unit, known.text)
      return known
    } catch (error) {
      const { code, message } = asHolonError(error)
      if (code !== 'not_found' && code !== 'invalid_argument') throw error
      const spec = await units.verbs.spec(unit, { signal })
      if (spec === undefined) return undefined
      return { spec, unreadable: `its text ${spec.spec} cannot be read: ${message}` }
    }
  }

  /** One row for each of the fleet's units, in place of its machines' parts. */
  merge(rows: readonly UnitStatus[], known?: KnownUnits): Omit<UnitListing, 'missing'> {
    const units = this.#deps.units()
    if (units === undefined || known === undefined) return { units: rows }
    if (known.kind === 'unavailable') return { units: rows, stateUnavailable: lacking(known.why) }
    const waiting = Map.groupBy(known.waiting, ({ unit }) => unit)
    const parts = Map.groupBy(
      rows.filter(({ scope }) => scope === 'fleet'),
      ({ name }) => name,
    )
    const own = known.units.map((each) => {
      const { unit } = each.spec
      const its = parts.get(unit) ?? []
      if ('unreadable' in each) return unreadableRow(each.spec, its, each.unreadable)
      const said = { missing: [], waiting: waiting.get(unit) ?? [] }
      return this.#unit(units, unit).statusOf(each, its, said)
    })
    return { units: [...rows.filter(({ scope }) => scope === 'machine'), ...own, ...known.timers] }
  }

  /** Why nothing is moved away from a zone: empty while nothing is held back so, or nobody says. */
  async pauses(signal: AbortSignal): Promise<readonly string[]> {
    return (await this.#heldBack({ units: [] }, signal)).pauses
  }

  async intend(machineId: string, wish: MachineWish, signal: AbortSignal): Promise<void> {
    const units = this.#deps.units()
    if (units === undefined) throw noFleet(wish === 'draining' ? 'drain' : 'cordon')
    this.#caller.owns('drain or cordon a machine; root may')
    const intent = wish === 'none' ? undefined : wish
    await units.verbs.intend(machineId, intent, this.#caller.by, { signal })
    units.askedOfMachine(this.#nameOf(machineId), wishVerbs[wish], this.#caller.by)
  }

  /** For who runs the agents; undefined on a machine on its own. */
  secrets(): Secrets | undefined {
    const units = this.#deps.units()
    if (units === undefined) return undefined
    return new SecretsTarget(units.secrets, `${this.#caller.by} on ${this.#deps.self().name}`)
  }

  async events(query: EventQuery, signal: AbortSignal): Promise<EventPage> {
    const units = this.#deps.units()
    if (units === undefined) throw noFleet('events')
    const { unit, ...rest } = query
    const about = unit === undefined ? rest : { ...rest, unit: fullUnitName(unit) }
    return readEvents(this.#deps.clock, units.state, about, { signal })
  }

  async #isOwn(name: string, signal: AbortSignal): Promise<boolean> {
    try {
      const unit = await this.#caller.local.unit(name, { signal })
      return (await unit.status({ signal })).scope === 'machine'
    } catch (error) {
      if (error instanceof HolonError && error.code === 'not_found') return false
      throw error
    }
  }

  #object(units: FleetUnits, name: string): Unit {
    return isTimerName(name) ? this.#timer(units, name) : this.#unit(units, name)
  }

  #timer(units: FleetUnits, name: string): FleetTimer {
    return new FleetTimer(this.#shared(units), name)
  }

  #nameOf(id: string): string {
    return this.#deps.machines().find(({ machineId }) => machineId === id)?.name ?? id
  }

  #shared(units: FleetUnits) {
    const { clock } = this.#deps
    const { owns, by } = this.#caller
    return { clock, units, owns, by, nameOf: (id: string) => this.#nameOf(id) }
  }

  #unit(units: FleetUnits, name: string): FleetUnit {
    return new FleetUnit(
      {
        ...this.#shared(units),
        holders: (signal) => this.#ask.holders(name, signal),
        kept: this.#ask.kept(name),
        heldBack: (about, signal) => this.#heldBack({ units: [name], ...about }, signal),
      },
      name,
    )
  }

  /** From the one machine that leads; nobody may. */
  async #heldBack(about: HeldBackQuery, signal: AbortSignal): Promise<HeldBack> {
    const { clock, links, self, stateKeepers, units } = this.#deps
    const own = units()?.heldBack(about)
    if (own !== undefined) return own
    using limit = deadline(clock, heldBackTimeoutMs, signal)
    const asks = stateKeepers()
      .filter((machineId) => machineId !== self().machineId)
      .map(async (machineId) => (await links.peer(machineId, limit.signal)).heldBack(about, limit))
    return await Promise.any(asks).catch(() => nothingSaid)
  }
}

/** What is known of a unit without its text. */
function unreadableRow(spec: SpecRecord, parts: readonly UnitStatus[], why: string): UnitStatus {
  const instances = parts.flatMap((part) => part.instances)
  const active = worstOf(instances.map((each) => each.active))
  return {
    name: spec.unit,
    scope: 'fleet',
    machines: [...new Set(instances.map(({ machine }) => machine))].sort(),
    description: '',
    load: 'bad-setting',
    active,
    sub: active === 'inactive' ? 'dead' : active,
    enabled: spec.enabled,
    wanted: spec.wanted,
    instances,
    instancesWanted: spec.scale ?? instances.length,
    loadedAtMs: spec.changedAtMs,
    notes: [why],
    ...(spec.sourcePath === undefined ? {} : { sourcePath: spec.sourcePath }),
  }
}

function lacking(why: string): string {
  const what = 'units without an instance, and timers, are not listed'
  return `the fleet's state does not answer: ${what} (${why})`
}
