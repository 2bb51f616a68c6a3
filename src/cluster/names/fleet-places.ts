/**
 * Where instances of the fleet's units are, but for this machine's own: places from State, how they
 * are from the machines themselves. Units with a public port are told of by their machines all the
 * time (FleetPorts); for others the machines that have one are asked when the name is, and their
 * answers kept for limits.namesFreshMs.
 *
 * Whoever is slow or gone delays an answer by limits.namesAskMs at most, once in namesFreshMs; what
 * it said last is given until then.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { PlaceState } from '../../kernel/names.ts'
import type { MissingMachine, StateHealth } from '../../kernel/types.ts'
import type { State } from '../../state/port.ts'
import type { Links } from '../links.ts'
import type { MachineRecord } from '../members.ts'
import type { Sighting } from '../peer.ts'
import type { PortReport } from '../ports/served.ts'
import type { HostedPhase } from '../reconcile/host.ts'
import type { HostedReport } from '../reconcile/reports.ts'
import { Fresh } from './fresh.ts'
import { SlotPlaces } from './slot-places.ts'
import type { FleetFreshness, FleetNames, FleetPlace, FleetPlacesOfUnit } from './sources.ts'

export interface FleetPlacesDeps {
  readonly clock: Clock
  readonly state: State
  readonly links: Links
  /** This machine's id. */
  readonly self: string
  readonly machines: () => readonly MachineRecord[]
  readonly ports: {
    readonly reports: () => ReadonlyMap<string, PortReport> | undefined
    readonly onChange: (changed: () => void) => Disposable
  }
  readonly sightings: (signal: AbortSignal) => Promise<readonly Sighting[]>
  readonly stateHealth: (signal: AbortSignal) => Promise<StateHealth>
  readonly report: (message: string) => void
}

/** Others are not asked: the place is not there any more, or nothing runs. */
const states: Readonly<Record<HostedPhase, PlaceState | undefined>> = {
  starting: 'starting',
  ready: 'ready',
  stopping: 'draining',
  ended: undefined,
  failed: undefined,
  stopped: undefined,
  refused: undefined,
}

export class FleetPlaces implements FleetNames, Disposable {
  readonly #deps: FleetPlacesDeps
  readonly #life = new AbortController()
  readonly #slots: SlotPlaces
  readonly #sightings: Fresh<ReadonlyMap<string, Sighting>>
  readonly #health: Fresh<StateHealth>
  readonly #hosted = new Map<string, Fresh<HostedReport>>()
  readonly #listeners = new Set<() => void>()
  readonly #portsListening: Disposable

  constructor(deps: FleetPlacesDeps) {
    const { clock, state, report } = deps
    this.#deps = deps
    const changed = () => this.#notify()
    this.#slots = new SlotPlaces({ clock, state, changed, report })
    this.#portsListening = deps.ports.onChange(changed)
    this.#sightings = this.#fresh(limits.namesFreshMs / 2, async (signal) => {
      const sightings = await deps.sightings(signal)
      return new Map(sightings.map((sighting) => [sighting.machineId, sighting]))
    })
    this.#health = this.#fresh(limits.namesFreshMs, deps.stateHealth)
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#portsListening[Symbol.dispose]()
    this.#slots[Symbol.dispose]()
    this.#listeners.clear()
  }

  async prepare(signal: AbortSignal): Promise<FleetFreshness> {
    using limit = deadline(this.#deps.clock, limits.namesAskMs, signal)
    const slots = this.#slots.known(limit.signal).catch(() => {})
    const [health] = await Promise.all([this.#health.get(), slots, this.#sightings.get()])
    const sinceMs = health?.unavailableSinceMs
    if (sinceMs !== undefined || this.#slots.isKnown) return { staleSinceMs: sinceMs }
    return { staleSinceMs: this.#deps.clock.wallMs() }
  }

  has(unit: string): boolean {
    return this.#slots.has(unit) || [...this.#served()].includes(unit)
  }

  *units(): Iterable<string> {
    yield* this.#slots.units()
    yield* this.#served()
  }

  onChange(changed: () => void): Disposable {
    this.#listeners.add(changed)
    return { [Symbol.dispose]: () => this.#listeners.delete(changed) }
  }

  async missing(machineId: string): Promise<MissingMachine | undefined> {
    const { machines, links, self } = this.#deps
    const sighting = (await this.#sightings.get())?.get(machineId)
    if (machineId === self || sighting === undefined || sighting.status === 'up') return undefined
    const machine = machines().find((each) => each.machineId === machineId)?.name ?? machineId
    const seenAtMs = Math.max(sighting.lastSeenAtMs ?? 0, links.seenAtMs(machineId) ?? 0)
    const seen = seenAtMs === 0 ? {} : { lastSeenAtMs: seenAtMs }
    return { machine, code: 'unavailable', ...seen }
  }

  async placesOf(unit: string): Promise<FleetPlacesOfUnit> {
    const slots = this.#slots.slotsOf(unit)
    const belongs = ({ instance, machineId }: FleetPlace) =>
      !this.#slots.isKnown || slots.get(instance)?.includes(machineId) === true
    const told = this.#told(unit)
    const asked = await this.#asked(unit, slots, told)
    const missing = new Map<string, MissingMachine>()
    const places: FleetPlace[] = []
    for (const place of [...told, ...asked]) {
      const lack = await this.missing(place.machineId)
      if (lack === undefined) places.push(place)
      else if (belongs(place)) {
        // What it said is of before; its place may be given to another by now.
        places.push({ ...place, state: 'unknown' })
        missing.set(place.machineId, lack)
      }
    }
    return { places, missing: [...missing.values()] }
  }

  *#served(): Iterable<string> {
    for (const { units } of this.#reports().values()) for (const { unit } of units) yield unit
  }

  #reports(): ReadonlyMap<string, PortReport> {
    return this.#deps.ports.reports() ?? new Map()
  }

  /** What machines have told of a unit with a public port. */
  #told(unit: string): readonly FleetPlace[] {
    return [...this.#reports()].flatMap(([machineId, report]) =>
      report.units
        .filter((served) => served.unit === unit)
        .flatMap(({ terms, instances }) =>
          instances.map(({ number, state }) => {
            return { instance: number, machineId, state, port: terms.port }
          }),
        ),
    )
  }

  /** Places that State knows and their machines have not told of by themselves. */
  async #asked(
    unit: string,
    slots: ReadonlyMap<number, readonly string[]>,
    told: readonly FleetPlace[],
  ): Promise<readonly FleetPlace[]> {
    const { self } = this.#deps
    const port = told[0]?.port
    const places = [...slots].flatMap(([instance, machineIds]) =>
      machineIds
        .filter((machineId) => machineId !== self)
        .filter((id) => !told.some((p) => p.instance === instance && p.machineId === id))
        .map((machineId) => ({ instance, machineId })),
    )
    const found = await Promise.all(
      places.map(async ({ instance, machineId }): Promise<FleetPlace | undefined> => {
        const state = await this.#stateOf(unit, instance, machineId)
        if (state === undefined) return undefined
        return { instance, machineId, state, ...(port === undefined ? {} : { port }) }
      }),
    )
    return found.filter((place) => place !== undefined)
  }

  /** Undefined: nothing of it runs there. */
  async #stateOf(unit: string, slot: number, machineId: string): Promise<PlaceState | undefined> {
    if ((await this.missing(machineId)) !== undefined) return 'unknown'
    let hosted = this.#hosted.get(machineId)
    if (hosted === undefined) {
      hosted = this.#fresh(limits.namesFreshMs, async (signal) =>
        (await this.#deps.links.peer(machineId, signal)).hosted({ signal }),
      )
      this.#hosted.set(machineId, hosted)
    }
    const report = await hosted.get()
    if (report === undefined) return 'unknown'
    const found = report.instances.find((each) => each.unit === unit && each.slot === slot)
    return found === undefined ? 'starting' : states[found.phase]
  }

  #fresh<T>(freshMs: number, ask: (signal: AbortSignal) => Promise<T>): Fresh<T> {
    const { namesAskMs } = limits
    const options = { freshMs, waitMs: namesAskMs, askMs: 2 * namesAskMs }
    return new Fresh(this.#deps.clock, ask, { ...options, life: this.#life.signal })
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
