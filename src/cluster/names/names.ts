/**
 * What names mean on this machine: its own units, and the fleet's wherever they are. It only puts
 * together what is known, see kernel/names.ts, so it answers while the fleet's state is away.
 */
import { type Clock, deadline, withSignal } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { isIpAddress } from '../../io/network.ts'
import type { NameChange, NamedPlace, NameWatch, Resolution } from '../../kernel/names.ts'
import type { CallOptions, MissingMachine } from '../../kernel/types.ts'
import { parseAddress } from '../identity/address.ts'
import type { MachineRecord } from '../members.ts'
import { changeOf, sameAnswer } from './change.ts'
import {
  type AskedName,
  instanceDomain,
  machineDomain,
  meantUnit,
  parseName,
  unitDomain,
} from './name.ts'
import type { FleetFreshness, FleetNames, FleetPlace, LocalNames } from './sources.ts'

export interface NamesDeps {
  readonly clock: Clock
  readonly local: LocalNames
  readonly self: () => MachineRecord
  readonly machines: () => readonly MachineRecord[]
  /** Undefined on a machine on its own. */
  readonly fleet: () => FleetNames | undefined
}

/** The names of machines that are meant; undefined: all. */
export type MeantMachines = () => ReadonlySet<string> | undefined

const alone: FleetFreshness = { staleSinceMs: undefined }
/** Whether machines are up is looked at so often for who watches. */
const lookMs = 1_000

export class Names {
  readonly #deps: NamesDeps

  constructor(deps: NamesDeps) {
    this.#deps = deps
  }

  async resolve(text: string, meant: MeantMachines, { signal }: CallOptions): Promise<Resolution> {
    const asked = parseName(text)
    const fleet = this.#deps.fleet()
    const { staleSinceMs } = (await fleet?.prepare(signal)) ?? alone
    const found = await this.#find(asked, fleet)
    if (found === undefined) throw unknownName(text, staleSinceMs !== undefined)
    const machines = meant()
    const isMeant = ({ machine }: { readonly machine: string }) =>
      machines === undefined || machines.has(machine)
    return {
      name: found.name,
      kind: found.kind,
      places: found.places.filter(isMeant),
      missing: found.missing.filter(isMeant),
      knownAtMs: staleSinceMs ?? this.#deps.clock.wallMs(),
      isStale: staleSinceMs !== undefined,
    }
  }

  watch(text: string, meant: MeantMachines): NameWatch {
    parseName(text)
    let last: Resolution | undefined
    let isFirst = true
    const next = async (options: CallOptions): Promise<NameChange> => {
      using limit = deadline(this.#deps.clock, limits.namePollMs, options.signal)
      for (;;) {
        const now = await this.#resolveIfThere(text, meant, options)
        if (isFirst || limit.signal.aborted || !sameAnswer(last, now)) {
          const change = changeOf(last, now)
          last = now
          isFirst = false
          return change
        }
        await this.#changed(limit.signal)
      }
    }
    return { next, [Symbol.dispose]() {} }
  }

  /** Resolves when something may have changed, or it is time to look. Never rejects. */
  async #changed(signal: AbortSignal): Promise<void> {
    const { clock, local, fleet } = this.#deps
    const news = Promise.withResolvers<void>()
    using _local = local.onChange(news.resolve)
    using _fleet = fleet()?.onChange(news.resolve)
    using look = deadline(clock, lookMs, signal)
    await withSignal(news.promise, look.signal).catch(() => {})
  }

  async #resolveIfThere(
    text: string,
    meant: MeantMachines,
    options: CallOptions,
  ): Promise<Resolution | undefined> {
    try {
      return await this.resolve(text, meant, options)
    } catch (error) {
      if (error instanceof HolonError && error.code === 'not_found') return undefined
      throw error
    }
  }

  async #find(asked: AskedName, fleet: FleetNames | undefined): Promise<Found | undefined> {
    if (asked.kind === 'machine' || asked.kind === 'address') return this.#machine(asked, fleet)
    const unit = meantUnit(asked.unit, {
      has: (name) => this.#deps.local.unit(name) !== undefined || fleet?.has(name) === true,
      units: () => [...this.#deps.local.units(), ...(fleet?.units() ?? [])],
    })
    if (unit === undefined) return undefined
    const all = await this.#unit(unit, fleet)
    if (asked.kind === 'unit') return { ...all, kind: 'unit', name: unitDomain(unit) }
    const { instance } = asked
    const places = all.places.filter((place) => place.instance === instance)
    if (places.length === 0) return undefined
    const machines = new Set(places.map(({ machine }) => machine))
    const missing = all.missing.filter(({ machine }) => machines.has(machine))
    return { kind: 'instance', name: instanceDomain(unit, instance), places, missing }
  }

  async #unit(unit: string, fleet: FleetNames | undefined) {
    const { local, self } = this.#deps
    const here = local.unit(unit)
    const own = self().machineId
    const elsewhere = await fleet?.placesOf(unit)
    const others = elsewhere?.places.filter(({ machineId }) => machineId !== own) ?? []
    const port = here?.port ?? others.find((place) => place.port !== undefined)?.port
    const all: FleetPlace[] = [
      ...(here?.instances ?? []).map(({ number, state }) => {
        return { instance: number, machineId: own, state }
      }),
      ...others,
    ]
    const known = new Map(this.#machines().map((machine) => [machine.machineId, machine]))
    const places = all.flatMap(({ instance, machineId, state }): NamedPlace[] => {
      const machine = known.get(machineId)
      if (machine === undefined) return []
      const name = instanceDomain(unit, instance)
      const at = port === undefined ? {} : { port }
      const { isLocal, ...where } = this.#at(machine)
      return [{ name, unit, instance, ...where, ...at, state, isLocal }]
    })
    return { places: places.sort(byPlace), missing: elsewhere?.missing ?? [] }
  }

  async #machine(
    asked: Extract<AskedName, { readonly kind: 'machine' | 'address' }>,
    fleet: FleetNames | undefined,
  ): Promise<Found | undefined> {
    const machine = this.#machines().find((each) =>
      asked.kind === 'machine'
        ? each.name.toLowerCase() === asked.machine
        : this.#at(each).addresses.includes(asked.address),
    )
    if (machine === undefined) return undefined
    const name = machineDomain(machine.name)
    const lack: MissingMachine | undefined = await fleet?.missing(machine.machineId)
    const state = lack === undefined ? 'ready' : 'unknown'
    const place: NamedPlace = { name, ...this.#at(machine), state }
    return { kind: 'machine', name, places: [place], missing: lack === undefined ? [] : [lack] }
  }

  #machines(): readonly MachineRecord[] {
    return this.#deps.machines()
  }

  #at(machine: MachineRecord) {
    const isLocal = machine.machineId === this.#deps.self().machineId
    const isAlone = machine.machineId === ''
    const hosts = machine.addresses.map((address) => parseAddress(address).host.toLowerCase())
    const addresses = isAlone ? ['127.0.0.1'] : [...new Set(hosts)].filter(isIpAddress)
    return { machine: machine.name, addresses, isLocal }
  }
}

type Found = Pick<Resolution, 'kind' | 'name' | 'places' | 'missing'>

function byPlace(a: NamedPlace, b: NamedPlace): number {
  if (a.isLocal !== b.isLocal) return a.isLocal ? -1 : 1
  if (a.instance !== b.instance) return (a.instance ?? 0) - (b.instance ?? 0)
  return a.machine < b.machine ? -1 : 1
}

function unknownName(text: string, isStale: boolean): HolonError {
  const what = `there is no name ${JSON.stringify(text)}`
  const next = isStale
    ? "; the fleet's state does not answer, and may know it"
    : '; `holon list-units` and `holon machines` show what there is'
  return new HolonError(isStale ? 'unavailable' : 'not_found', what + next, { retryable: isStale })
}
