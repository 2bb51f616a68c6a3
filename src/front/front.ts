/**
 * A machine's front: it listens on the public ports of all units and passes what comes on to their
 * instances, here or on other machines. It runs in a process of its own, under a keeper: neither an
 * agent's death nor much traffic in one place is felt in the other.
 */
import type { Clock } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { connectTcp } from '../io/tcp.ts'
import type { Target } from './balancer.ts'
import type { FrontControl, FrontState } from './control.ts'
import { LiveRoute } from './live-route.ts'
import { Neighbours } from './neighbours.ts'
import { openPublicPort, type PublicPort } from './public-port.ts'
import type { UnitTraffic } from './stats.ts'
import { type Endpoint, type FrontTable, type Route, routeKey } from './table.ts'
import type { Connect } from './upstream.ts'

interface OpenPort {
  readonly kind: string
  readonly listener: Awaited<ReturnType<typeof openPublicPort>>
  routes: readonly LiveRoute[]
}

export class Front implements FrontControl, AsyncDisposable {
  readonly #clock: Clock
  readonly #routes = new Map<string, LiveRoute>()
  readonly #ports = new Map<number, OpenPort>()
  readonly #neighbours: Neighbours
  /** Connections from other machines, by instance. */
  readonly #passing = new Map<string, number>()
  #problems: FrontState['problems'] = []
  #turn: Promise<unknown> = Promise.resolve()

  constructor(clock: Clock) {
    this.#clock = clock
    this.#neighbours = new Neighbours({
      clock,
      local: (instance, port) => this.#local(instance, port),
      passing: (instance, change) => {
        const count = (this.#passing.get(instance) ?? 0) + change
        if (count === 0) this.#passing.delete(instance)
        else this.#passing.set(instance, count)
      },
    })
  }

  /** Tables are applied one after another. */
  apply(table: FrontTable): Promise<FrontState> {
    const turn = this.#turn.then(() => this.#apply(table))
    this.#turn = turn.catch(() => {})
    return turn
  }

  async underWay(instance: string): Promise<number> {
    let count = this.#passing.get(instance) ?? 0
    for (const { balancer } of this.#routes.values()) {
      for (const { endpoint, active } of balancer.targets) {
        if (endpoint.machineId === undefined && endpoint.instance === instance) count += active
      }
    }
    return count
  }

  async traffic(): Promise<readonly UnitTraffic[]> {
    return [...this.#routes.values()].map(({ traffic }) => traffic)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { listener } of this.#ports.values()) await listener[Symbol.asyncDispose]()
    await this.#neighbours[Symbol.asyncDispose]()
  }

  async #apply({ routes, fleet }: FrontTable): Promise<FrontState> {
    const problems: { port: number; why: string }[] = []
    await this.#neighbours.update(fleet).catch((error: unknown) => {
      problems.push({ port: fleet?.port ?? 0, why: asHolonError(error).message })
    })
    const live = this.#update(routes)
    const byPort = Map.groupBy(live, ({ route }) => route.port)
    for (const [port, open] of this.#ports) {
      const [first] = byPort.get(port) ?? []
      if (first !== undefined && kindOf(first.route) === open.kind) continue
      this.#ports.delete(port)
      await open.listener[Symbol.asyncDispose]()
    }
    for (const [port, here] of byPort) {
      try {
        const why = await this.#serve(port, here)
        if (why !== undefined) problems.push({ port, why })
      } catch (error) {
        problems.push({ port, why: asHolonError(error).message })
      }
    }
    this.#problems = problems
    return { problems: this.#problems, port: this.#neighbours.port }
  }

  #update(routes: readonly Route[]): readonly LiveRoute[] {
    const left = new Set(this.#routes.keys())
    const live = routes.map((route) => {
      const key = routeKey(route)
      left.delete(key)
      const known = this.#routes.get(key)
      known?.update(route)
      const made = known ?? new LiveRoute(this.#clock, route, this.#connect)
      this.#routes.set(key, made)
      return made
    })
    for (const key of left) {
      const gone = this.#routes.get(key)
      gone?.update({ ...gone.route, endpoints: [] })
      this.#routes.delete(key)
    }
    return live
  }

  /** Why some of the routes are not served, if so. */
  async #serve(port: number, routes: readonly LiveRoute[]): Promise<string | undefined> {
    const [first] = routes
    if (first === undefined) return undefined
    const { protocol, tls } = first.route
    const kind = kindOf(first.route)
    const alike = routes.filter(({ route }) => kindOf(route) === kind)
    const served = protocol === 'http' ? alike : alike.slice(0, 1)
    const open = this.#ports.get(port)
    if (open === undefined) {
      const current = (): readonly LiveRoute[] => this.#ports.get(port)?.routes ?? served
      const wish: PublicPort = { port, protocol, isTls: tls !== undefined }
      const listener = await openPublicPort(this.#clock, wish, current)
      this.#ports.set(port, { kind, listener, routes: served })
    } else {
      open.routes = served
      open.listener.renew()
    }
    const refused = routes.filter((each) => !served.includes(each)).map(({ route }) => route.unit)
    if (refused.length === 0) return undefined
    return `it is ${first.route.unit}'s already; not served there: ${refused.join(', ')}`
  }

  readonly #connect: Connect = ({ endpoint }: Target, signal) =>
    endpoint.machineId === undefined
      ? connectTcp(endpoint, signal)
      : this.#neighbours.connect(endpoint, signal)

  #local(instance: string, port: number): Endpoint | undefined {
    for (const { balancer } of this.#routes.values()) {
      for (const { endpoint } of balancer.targets) {
        const isIt = endpoint.instance === instance && endpoint.port === port
        if (isIt && endpoint.machineId === undefined) return endpoint
      }
    }
    return undefined
  }
}

/** Only routes that are spoken alike share a port. */
function kindOf({ protocol, tls }: Route): string {
  return `${protocol}${tls === undefined ? '' : ' tls'}`
}
