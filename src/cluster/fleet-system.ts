/**
 * The kernel's System over all machines, or over those that a selector names, for one caller. It
 * asks each machine for its part and puts the answers together; it decides nothing but where a
 * program runs. A machine on its own is a fleet of one.
 *
 * Consistency: rows are as of the moment their machine answered; who belongs to the fleet is as
 * Members has it. With a partition each side sees itself and names the others as missing.
 */
import type { Clock } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import type { Bundles } from '../kernel/bundles.ts'
import type { EventPage, EventQuery } from '../kernel/decisions.ts'
import type {
  Membership,
  Pages,
  Process,
  Run,
  RunSocket,
  System,
  Unit,
  UnitFile,
} from '../kernel/kernel.ts'
import type { LogUsage } from '../kernel/log-types.ts'
import type { NameWatch, Resolution } from '../kernel/names.ts'
import type { Secrets } from '../kernel/secrets.ts'
import type {
  CallOptions,
  MachineInfo,
  MachineListing,
  MachineReport,
  MachineWish,
  MissingMachine,
  PlacementAnswer,
  PlacementWish,
  ProcessId,
  ProcessPage,
  ProcessQuery,
  RunListing,
  RunSpec,
  StateHealth,
  SystemStatus,
  UnitListing,
} from '../kernel/types.ts'
import { choose } from '../sched/choose.ts'
import { parseRequire } from '../sched/require.ts'
import { fullUnitName } from '../unit/unit-name.ts'
import { CallersFleetUnits } from './callers-fleet-units.ts'
import { type FanOutAnswer, fanOut } from './fan-out.ts'
import { FleetPages } from './fleet-pages.ts'
import type { FleetUnits } from './fleet-units.ts'
import type { Links } from './links.ts'
import { type FindKept, findKept, type KeptSource } from './logs-kept/find-kept.ts'
import { machineInfos, missingOf } from './machine-infos.ts'
import type { MachineRecord } from './members.ts'
import type { Names } from './names/names.ts'
import type { MachinePart, PeerCaller, Sighting } from './peer.ts'
import { RelayedRun } from './relayed-run.ts'
import { parseSelector, selectMachines } from './selector.ts'
import { notOne, sought } from './sought.ts'
import { UnitOfMany } from './unit-of-many.ts'

/** One for each agent. */
export interface FleetSystemDeps {
  readonly clock: Clock
  readonly random: Random
  /** This machine. */
  readonly self: () => MachineRecord
  /** All machines by name, this one included. */
  readonly machines: () => readonly MachineRecord[]
  readonly links: Links
  readonly names: Names
  readonly sightings: (signal: AbortSignal) => Promise<readonly Sighting[]>
  readonly report: () => MachineReport
  /** Asks the engine, within the signal's time. */
  readonly stateHealth: (signal: AbortSignal) => Promise<StateHealth>
  readonly stateKeepers: () => readonly string[]
  /** The fleet's units; undefined on a machine on its own. */
  readonly units: () => FleetUnits | undefined
  /** What SystemStatus says of this agent alone. */
  readonly about: () => Omit<SystemStatus, 'machines' | 'missing' | 'units' | 'runs' | 'state'>
}

/** One for each link to the agent. */
export interface FleetCaller {
  /** This machine's part, for this caller. */
  readonly local: MachinePart
  /** Who it is to other machines. */
  readonly peer: PeerCaller
  /** These throw `permission_denied` when the caller may not. */
  readonly membership: () => Membership
  readonly bundles: () => Bundles
  readonly owns: (what: string) => void
  /** Who it is in records: "uid 0". */
  readonly by: string
  readonly shutdown: (how: { readonly stopJobs: boolean }, signal: AbortSignal) => Promise<void>
  /** The socket through which this caller reaches the stdio of runs elsewhere. */
  readonly relaySocket: () => Promise<string>
}

/** Machines tried for one run when the first choice cannot be reached after all. */
const runAttempts = 3
/** Who did not answer is not waited for again in the next question of one operation. */
const notAskedAgainMs = 5_000

export class FleetSystem implements System {
  readonly #deps: FleetSystemDeps
  readonly #caller: FleetCaller
  readonly #selector: string | undefined
  readonly #fleetUnits: CallersFleetUnits

  constructor(deps: FleetSystemDeps, caller: FleetCaller, selector?: string) {
    this.#deps = deps
    this.#caller = caller
    this.#selector = selector
    this.#fleetUnits = new CallersFleetUnits(deps, caller, {
      holders: (name, signal) => this.#holders(name, signal),
      kept: (name) => this.#kept(name),
    })
  }

  async ping(payload: string): Promise<string> {
    return payload
  }

  async status({ signal }: CallOptions): Promise<SystemStatus> {
    const [{ machines, state }, { units, missing, stateUnavailable: lacks }, runs] =
      await Promise.all([this.machines({ signal }), this.units({ signal }), this.runs({ signal })])
    const counts: Record<string, number> = {}
    for (const { active } of units) counts[active] = (counts[active] ?? 0) + 1
    const about = this.#deps.about()
    return {
      ...about,
      warnings: lacks === undefined ? about.warnings : [...about.warnings, lacks],
      state,
      machines,
      missing,
      units: counts,
      runs: runs.runs.filter((run) => run.state === 'running').length,
    }
  }

  async machines({ signal }: CallOptions): Promise<MachineListing> {
    const [machines, state, pauses] = await Promise.all([
      this.#infos(signal),
      this.#deps.stateHealth(signal),
      this.#fleetUnits.pauses(signal),
    ])
    return { machines, state: { ...state, notes: [...state.notes, ...pauses] } }
  }

  async part(selector: string): Promise<System> {
    const narrowed = this.#selector === undefined ? selector : `${this.#selector}&${selector}`
    this.#select(narrowed)
    return new FleetSystem(this.#deps, this.#caller, narrowed)
  }

  async processes(query: ProcessQuery): Promise<Pages<ProcessPage>> {
    const { clock, links } = this.#deps
    return new FleetPages<MachineRecord, ProcessPage>(clock, this.#select(), {
      lists: ['processes', 'machines'],
      ask: (machine, page, signal) =>
        this.#askOne(machine, signal, (part) => part.processPage(query, page, { signal })),
      timeoutMs: query.fanOutMs,
      lastSeenAtMs: ({ machineId }) => links.seenAtMs(machineId),
    })
  }

  async process(id: ProcessId, { signal }: CallOptions): Promise<Process> {
    return (await this.#part(this.#named(id.machine), signal)).process(id, { signal })
  }

  async run(spec: RunSpec, { signal }: CallOptions): Promise<Run> {
    const tried: string[] = []
    for (;;) {
      const machine = await this.#place(spec, tried, signal)
      try {
        return await this.#runOn(machine, spec, signal)
      } catch (thrown) {
        const error = asHolonError(thrown)
        tried.push(machine.name)
        const certainlyNot = error.code === 'unavailable' && error.outcome === 'none'
        if (!certainlyNot || tried.length >= runAttempts || this.#select().length === 1) throw error
      }
    }
  }

  async runSocket(): Promise<RunSocket> {
    const machines = this.#select()
    const [only] = machines
    const elsewhere = only !== undefined && only.machineId !== this.#deps.self().machineId
    if (!elsewhere || machines.length > 1) return {}
    return { socketPath: await this.#caller.relaySocket(), machineId: only.machineId }
  }

  async place(wish: PlacementWish, { signal }: CallOptions): Promise<PlacementAnswer> {
    const infos = await this.#infos(signal)
    const missing = infos.filter(({ status }) => status !== 'up').map(missingOf)
    return { ...this.#choose(infos, wish), missing }
  }

  async runs({ signal }: CallOptions): Promise<RunListing> {
    const ask = (part: MachinePart, limit: AbortSignal) => part.runs({ signal: limit })
    const { answers, missing } = await this.#ask(ask, signal)
    const runs = answers.flatMap(({ value }) => value.runs)
    return { runs: runs.sort((a, b) => a.startedAtMs - b.startedAtMs), missing }
  }

  async findRun(id: string, { signal }: CallOptions): Promise<Run> {
    const { found, missing } = await this.#find(
      (part, limit) => part.findRun(id, { signal: limit }),
      signal,
    )
    const [only, another] = found
    if (only !== undefined && another === undefined) return this.#wrap(only.machine, only.value)
    for (const { value } of found) (value as Run & Partial<Disposable>)[Symbol.dispose]?.()
    throw notOne('run', id, found, missing)
  }

  async units({ signal }: CallOptions): Promise<UnitListing> {
    const ask = (part: MachinePart, limit: AbortSignal) => part.units({ signal: limit })
    const isWhole = this.#selector === undefined
    const [{ answers, missing }, known] = await Promise.all([
      this.#ask(ask, signal),
      isWhole ? this.#fleetUnits.known(signal) : undefined,
    ])
    const rows = answers.flatMap(({ value }) => value.units)
    const { units, ...rest } = this.#fleetUnits.merge(rows, known)
    return { units: units.toSorted((a, b) => (a.name < b.name ? -1 : 1)), missing, ...rest }
  }

  async unit(name: string, { signal }: CallOptions): Promise<Unit> {
    const isWhole = this.#selector === undefined
    const asked = this.#holders(name, signal)
    const ofFleet = isWhole && (await this.#fleetUnits.find(name, signal))
    if (ofFleet && ofFleet.kind === 'found') {
      // The machines' answers are not needed, and not waited for.
      asked.then(
        ({ holders, missing }) =>
          new UnitOfMany(this.#deps.clock, name, holders, missing)[Symbol.dispose](),
        () => {},
      )
      return ofFleet.unit
    }
    const { holders, missing } = await asked
    const unknown = ofFleet && ofFleet.kind === 'unknown' ? ofFleet.error : undefined
    const kept = this.#kept(name, missing)
    const absent = holders.length > 0 ? undefined : notOne('unit', name, holders, missing)
    const refusal = unknown ?? absent
    if (absent !== undefined) {
      // Of one that was there, or is on a machine that does not answer, logs at least may be had.
      const silent = new Set(missing.map(({ machine }) => machine))
      const logs = await kept({}, signal)
      if (!logs.some(({ isOwn, machine }) => isOwn || silent.has(machine))) throw refusal
    }
    return new UnitOfMany(this.#deps.clock, name, holders, missing, { refusal, kept })
  }

  /** Of the machines that are meant, on whichever machine but for those that are `missing` now. */
  #kept(name: string, missing: readonly MissingMachine[] = []): FindKept {
    const { clock, machines } = this.#deps
    const silent = new Set(missing.map(({ machine }) => machine))
    const silentUntilMs = clock.nowMs() + notAskedAgainMs
    const source: KeptSource = {
      machines,
      ask: (ask, signal) => {
        const isNow = clock.nowMs() < silentUntilMs
        const asked = machines().filter((machine) => !(isNow && silent.has(machine.name)))
        return this.#ask(ask, signal, { machines: asked })
      },
      part: (machine, signal) => this.#part(machine, signal),
    }
    return async (query, signal) => {
      const found = await findKept(source, fullUnitName(name), query, signal)
      if (this.#selector === undefined) return found
      const meant = this.#meant()
      return found.filter(({ machine, isMember }) => isMember && meant?.has(machine) !== false)
    }
  }

  async #holders(name: string, signal: AbortSignal) {
    const { found, missing } = await this.#find(
      (part, limit) => part.unit(name, { signal: limit }),
      signal,
    )
    const holders = found.map(({ machine, value }) => ({ machine: machine.name, unit: value }))
    return { holders, missing }
  }

  async resolve(name: string, options: CallOptions): Promise<Resolution> {
    return this.#deps.names.resolve(name, () => this.#meant(), options)
  }

  async watchName(name: string): Promise<NameWatch> {
    return this.#deps.names.watch(name, () => this.#meant())
  }

  async load(file: UnitFile, { signal }: CallOptions): Promise<Unit> {
    const machines = this.#select()
    const self = this.#deps.self()
    const [first] = machines
    const here = machines.some(({ machineId }) => machineId === self.machineId)
    const ofFleet = this.#selector === undefined && (await this.#fleetUnits.load(file, signal))
    if (ofFleet) return ofFleet
    if (first !== undefined && (here || machines.length === 1)) {
      return (await this.#part(here ? self : first, signal)).load(file, { signal })
    }
    throw new HolonError(
      'invalid_argument',
      `load ${file.name}: ${machines.length} machines are meant; name one with -m`,
    )
  }

  async logUsage({ signal }: CallOptions): Promise<LogUsage> {
    const ask = (part: MachinePart, limit: AbortSignal) => part.logUsage({ signal: limit })
    const { answers, missing } = await this.#ask(ask, signal)
    return {
      bytes: answers.reduce((sum, { value }) => sum + value.bytes, 0),
      files: answers.reduce((sum, { value }) => sum + value.files, 0),
      missing,
    }
  }

  async intend(machine: string, wish: MachineWish, { signal }: CallOptions): Promise<void> {
    await this.#fleetUnits.intend(this.#named(machine).machineId, wish, signal)
  }

  async events(query: EventQuery, { signal }: CallOptions): Promise<EventPage> {
    return this.#fleetUnits.events(query, signal)
  }

  async secrets({ signal }: CallOptions): Promise<Secrets> {
    this.#caller.owns('use secrets; root may')
    const ofFleet = this.#selector === undefined ? this.#fleetUnits.secrets() : undefined
    const [machine, ...others] = this.#select()
    if (ofFleet !== undefined) return ofFleet
    if (machine !== undefined && others.length === 0) {
      return (await this.#part(machine, signal)).secrets({ signal })
    }
    throw new HolonError('invalid_argument', 'secrets are of the fleet, or of one machine (-m)')
  }

  async shutdown(how: { readonly stopJobs: boolean }, { signal }: CallOptions): Promise<void> {
    const self = this.#deps.self()
    if (this.#select().every(({ machineId }) => machineId !== self.machineId)) {
      throw new HolonError(
        'unsupported',
        `end an agent where it runs: only the one of ${self.name} can be ended from here`,
      )
    }
    await this.#caller.shutdown(how, signal)
  }

  async bundles(): Promise<Bundles> {
    return this.#caller.bundles()
  }

  async membership(): Promise<Membership> {
    return this.#caller.membership()
  }

  // ---- machines

  #select(selector = this.#selector): readonly MachineRecord[] {
    if (selector === undefined) return this.#deps.machines()
    // A part of a part: what both name.
    const [outer = '', ...inner] = selector.split('&')
    const machines = selectMachines(this.#deps.machines(), outer)
    return inner.reduce((left, each) => left.filter(parseSelector(each)), machines)
  }

  /** Names of the machines of a part; undefined for the whole. */
  #meant(): ReadonlySet<string> | undefined {
    if (this.#selector === undefined) return undefined
    return new Set(this.#select().map(({ name }) => name))
  }

  #named(name: string): MachineRecord {
    const found = this.#select().find((machine) => machine.name === name)
    if (found !== undefined) return found
    throw new HolonError(
      'not_found',
      `there is no machine ${JSON.stringify(name)}; \`holon machines\` lists them`,
    )
  }

  async #part(machine: MachineRecord, signal: AbortSignal): Promise<MachinePart> {
    const { links, self } = this.#deps
    if (machine.machineId === self().machineId) return this.#caller.local
    return links.part(machine.machineId, this.#caller.peer, signal)
  }

  async #askOne<T>(
    machine: MachineRecord,
    signal: AbortSignal,
    ask: (part: MachinePart) => Promise<T>,
  ): Promise<T> {
    const { links, self } = this.#deps
    const value = await ask(await this.#part(machine, signal))
    if (machine.machineId !== self().machineId) links.seen(machine.machineId)
    return value
  }

  #ask<T>(
    ask: (part: MachinePart, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
    { machines = this.#select() }: { readonly machines?: readonly MachineRecord[] } = {},
  ): Promise<FanOutAnswer<MachineRecord, T>> {
    const { clock, links } = this.#deps
    const one = (machine: MachineRecord, limit: AbortSignal) =>
      this.#askOne(machine, limit, (part) => ask(part, limit))
    return fanOut(clock, machines, one, {
      signal,
      lastSeenAtMs: ({ machineId }) => links.seenAtMs(machineId),
    })
  }

  /**
   * What the machines that have it answer. `permission_denied` when one has it, but not for this
   * caller.
   */
  async #find<T>(
    ask: (part: MachinePart, signal: AbortSignal) => Promise<T>,
    signal: AbortSignal,
  ): Promise<{
    readonly found: readonly { readonly machine: MachineRecord; readonly value: T }[]
    readonly missing: readonly MissingMachine[]
  }> {
    const { answers, missing } = await this.#ask((part, limit) => sought(ask(part, limit)), signal)
    const found: { machine: MachineRecord; value: T }[] = []
    for (const { machine, value } of answers) {
      if (value.kind === 'denied') throw value.error
      if (value.kind === 'found') found.push({ machine, value: value.value })
    }
    return { found, missing }
  }

  #infos(signal: AbortSignal): Promise<readonly MachineInfo[]> {
    return machineInfos(this.#deps, this.#select(), signal)
  }

  // ---- runs

  async #place(
    spec: RunSpec,
    tried: readonly string[],
    signal: AbortSignal,
  ): Promise<MachineRecord> {
    const machines = this.#select()
    const [only] = machines
    if (only !== undefined && machines.length === 1 && spec.require === undefined) return only
    const infos = await this.#infos(signal)
    const answer = this.#choose(
      infos.filter(({ name }) => !tried.includes(name)),
      spec,
    )
    if (answer.machine !== undefined) return this.#named(answer.machine)
    const reasons = answer.candidates.map(({ machine, why }) => `${machine}: ${why}`).join('; ')
    throw new HolonError('unavailable', `run: ${answer.why} (${reasons})`, { retryable: true })
  }

  #choose(infos: readonly MachineInfo[], wish: PlacementWish) {
    return choose(this.#deps.random, infos, {
      requirements: parseRequire(wish.require ?? ''),
      local: this.#deps.self().name,
      asked: this.#selector,
    })
  }

  async #runOn(machine: MachineRecord, spec: RunSpec, signal: AbortSignal): Promise<Run> {
    const part = await this.#part(machine, signal)
    return this.#wrap(machine, await part.run(spec, { signal }))
  }

  #wrap(machine: MachineRecord, run: Run): Run {
    if (machine.machineId === this.#deps.self().machineId) return run
    return new RelayedRun(run, machine, this.#caller.relaySocket)
  }
}
