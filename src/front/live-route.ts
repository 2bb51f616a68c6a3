/** A route with what happens on it: who answers, the connections kept for it, what was counted. */
import type { Clock } from '../base/clock.ts'
import { Balancer, type Target } from './balancer.ts'
import { RouteStats, type UnitTraffic } from './stats.ts'
import type { Route } from './table.ts'
import { type Connect, Upstream } from './upstream.ts'

export class LiveRoute {
  readonly balancer: Balancer
  readonly stats = new RouteStats()
  readonly connect: Connect
  readonly #clock: Clock
  readonly #upstreams = new WeakMap<Target, Upstream>()
  #route: Route

  constructor(clock: Clock, route: Route, connect: Connect) {
    this.#clock = clock
    this.#route = route
    this.connect = connect
    this.balancer = new Balancer(clock)
    this.balancer.update(route.endpoints)
  }

  get scheme(): 'http' | 'https' {
    return this.#route.tls === undefined ? 'http' : 'https'
  }

  get route(): Route {
    return this.#route
  }

  update(route: Route): void {
    this.#route = route
    this.balancer.update(route.endpoints)
  }

  nowMs(): number {
    return this.#clock.nowMs()
  }

  upstream(target: Target): Upstream {
    let upstream = this.#upstreams.get(target)
    if (upstream === undefined) {
      upstream = new Upstream(this.#clock, target, this.connect)
      this.#upstreams.set(target, upstream)
    }
    return upstream
  }

  get traffic(): UnitTraffic {
    const active = this.balancer.targets.reduce((sum, target) => sum + target.active, 0)
    return this.stats.of(this.#route.unit, active)
  }
}
