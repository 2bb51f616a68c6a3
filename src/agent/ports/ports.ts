/**
 * This machine's part in public ports, put together: what is served here, and on other machines of
 * the fleet, becomes the table of its front.
 */
import { isDeepStrictEqual } from 'node:util'
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { ServiceRunner } from '../../cluster/etcd/service-runner.ts'
import type {
  LocalPorts,
  OtherPorts,
  PortReport,
  ServedInstance,
  ServedUnit,
} from '../../cluster/ports/served.ts'
import { type Endpoint, type FrontTable, type Route, routeKey } from '../../front/table.ts'
import { isPortFree } from '../../io/tcp.ts'
import type { PortTerms } from '../../unit/port-terms.ts'
import { Changes } from '../emitter.ts'
import { type FrontProgram, FrontService } from './front-service.ts'
import { PortNumbers } from './port-numbers.ts'
import { Serving } from './serving.ts'
import { TlsPairs } from './tls-files.ts'

/** A unit that is wanted here and has a public port, whether an instance of it is up or not. */
export interface WantedPort {
  readonly unit: string
  readonly terms: PortTerms
}

export interface PortsDeps {
  readonly clock: Clock
  readonly service: ServiceRunner
  readonly wanted: () => readonly WantedPort[]
  readonly report: (message: string) => void
}

/** Fronts elsewhere have so long to hear that an instance is drained. */
const othersMs = 1_000

export class Ports implements LocalPorts, AsyncDisposable {
  readonly serving: Serving
  readonly front: FrontService
  readonly #deps: PortsDeps
  readonly #changes = new Changes()
  readonly #pairs = new TlsPairs()
  /** Ports that cannot be told to the front, and why. */
  readonly #problems = new Map<number, string>()
  #others: OtherPorts | undefined
  #units: readonly ServedUnit[] = []
  /** Another one for another agent, too. */
  #number: number
  #isOpen = false

  constructor(deps: PortsDeps, program: FrontProgram) {
    const { clock } = deps
    this.#deps = deps
    this.#number = clock.wallMs()
    this.serving = new Serving({
      clock,
      numbers: new PortNumbers(isPortFree, this.#number),
      toldHere: (signal) => this.front.applied(signal),
      told: (signal) => this.#tellAll(signal),
      underWay: (instance, signal) => this.front.underWay(instance, signal),
    })
    this.front = new FrontService(
      { ...deps, table: () => this.#table(), moved: () => this.#tellOthers() },
      program,
    )
    this.serving.changes.listen(() => this.changed())
  }

  /** From now on the front does what this agent says, which knows what is here. */
  open(): void {
    this.#isOpen = true
    this.changed()
    this.front.start()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.serving[Symbol.dispose]()
    await this.front[Symbol.asyncDispose]()
  }

  /** Something about units here may be another thing now. */
  changed(): void {
    if (!this.#isOpen) return
    const units = this.#served()
    if (isDeepStrictEqual(units, this.#units)) return
    this.#units = units
    this.front.changed()
    this.#tellOthers()
  }

  #tellOthers(): void {
    this.#number += 1
    this.#changes.notify()
  }

  report(): PortReport {
    return { number: this.#number, frontPort: this.front.state.port, units: this.#units }
  }

  onChange(changed: () => void): Disposable {
    return this.#changes.listen(changed)
  }

  /** Why a public port is not open here, if it should be and is not. */
  problemOf(port: number): string | undefined {
    return this.#problems.get(port) ?? this.front.problemOf(port)
  }

  applied(signal: AbortSignal): Promise<void> {
    return this.front.applied(signal)
  }

  join(others: OtherPorts): Disposable {
    this.#others = others
    this.front.changed()
    const listening = others.onChange(() => this.front.changed())
    return {
      [Symbol.dispose]: () => {
        listening[Symbol.dispose]()
        if (this.#others === others) this.#others = undefined
      },
    }
  }

  async #tellAll(signal: AbortSignal): Promise<void> {
    using limit = deadline(this.#deps.clock, othersMs, signal)
    const others = this.#others?.heard(limit.signal) ?? Promise.resolve()
    await Promise.all([this.front.applied(signal), others.catch(() => {})])
  }

  #served(): readonly ServedUnit[] {
    const units = new Map<string, WantedPort & { readonly instances: ServedInstance[] }>()
    const find = (unit: string, terms: PortTerms) => {
      const key = routeKey({ unit, ...terms })
      const known = units.get(key) ?? { unit, terms, instances: [] }
      units.set(key, known)
      return known.instances
    }
    for (const { unit, terms } of this.#deps.wanted()) find(unit, terms)
    for (const { unit, number, served, host, state } of this.serving.endpoints()) {
      find(unit, served.terms).push({ number, host, port: served.port, state })
    }
    return [...units.values()]
  }

  /** Undefined while it is not known what others serve. */
  #table(): FrontTable | undefined {
    const others = this.#others?.reports()
    if (this.#others !== undefined && others === undefined) return undefined
    const routes = new Map<string, Route & { readonly endpoints: Endpoint[] }>()
    this.#problems.clear()
    const add = ({ unit, terms, instances }: ServedUnit, machineId?: string) => {
      const route = routes.get(routeKey({ unit, ...terms })) ?? this.#route(unit, terms)
      if (route === undefined) return
      routes.set(routeKey(route), route)
      for (const { number, host, port: at, state } of instances) {
        if (state === 'starting') continue
        const where = machineId === undefined ? {} : { machineId }
        route.endpoints.push({ instance: `${unit}/${number}`, ...where, host, port: at, state })
      }
    }
    for (const unit of this.#units) add(unit)
    for (const [machineId, { units }] of others ?? []) {
      for (const unit of units) add(unit, machineId)
    }
    const fleet = this.#others?.fleet()
    const inOrder = [...routes.values()].sort((a, b) => (a.unit < b.unit ? -1 : 1))
    return { routes: inOrder, ...(fleet === undefined ? {} : { fleet }) }
  }

  /** Without anybody to answer yet. Undefined, and a problem, without its certificate. */
  #route(
    unit: string,
    { port, protocol, hosts, tls }: PortTerms,
  ): (Route & { readonly endpoints: Endpoint[] }) | undefined {
    const route = { unit, port, protocol, hosts, endpoints: [] }
    if (tls === undefined) return route
    try {
      return { ...route, tls: this.#pairs.read(tls) }
    } catch (error) {
      this.#problems.set(port, asHolonError(error).message)
      return undefined
    }
  }
}
