/** One public port, open. What comes is given to the route that is meant. */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import { type HttpRequest, listenHttp } from '../io/http-listener.ts'
import { listenTcp, type PortListener } from '../io/tcp.ts'
import type { PortProtocol } from '../unit/port-terms.ts'
import { passConnection, passUpgrade } from './connections.ts'
import { hostName } from './headers.ts'
import { HttpExchange } from './http-exchange.ts'
import type { LiveRoute } from './live-route.ts'

export interface PublicPort {
  readonly port: number
  readonly protocol: PortProtocol
  readonly isTls: boolean
}

/** `renew` of the result: certificates of its routes may be others now. */
export async function openPublicPort(
  clock: Clock,
  { port, protocol, isTls }: PublicPort,
  routes: () => readonly LiveRoute[],
): Promise<PortListener & { renew(): void }> {
  if (protocol !== 'http') {
    const listener = await listenTcp(port, limits.frontConnectionsMax, (socket) => {
      const [route] = routes()
      if (route === undefined) socket.destroy()
      else void passConnection(clock, route, socket)
    })
    return { ...listener, renew() {} }
  }
  const options = {
    port,
    connectionsMax: limits.frontConnectionsMax,
    headersMs: limits.frontHeadersMs,
    idleMs: limits.frontIdleMs,
    ...(isTls ? { tls: (name: string) => routeFor(routes(), name)?.route.tls } : {}),
  }
  return listenHttp(options, {
    onRequest: (request, response) => {
      const route = routeOf(routes(), request)
      if (route === undefined) {
        response.writeHead(404, { 'Content-Type': 'text/plain; charset=utf-8' })
        response.end(`no unit answers for ${JSON.stringify(hostName(request.headers.host))} here\n`)
      } else new HttpExchange(route, request, response, clock.nowMs()).start()
    },
    onUpgrade: (request, socket, head) => {
      const route = routeOf(routes(), request)
      if (route === undefined) socket.destroy()
      else void passUpgrade(clock, route, request, socket, head)
    },
  })
}

function routeOf(routes: readonly LiveRoute[], { headers }: HttpRequest): LiveRoute | undefined {
  const [only] = routes
  if (only !== undefined && routes.length === 1 && only.route.hosts.length === 0) return only
  return routeFor(routes, hostName(headers.host))
}

/** By its name; then by the longest pattern; then what has no names, or, asked for none, any. */
function routeFor(routes: readonly LiveRoute[], host: string): LiveRoute | undefined {
  let best: LiveRoute | undefined
  let bestLength = -1
  for (const live of routes) {
    const { hosts } = live.route
    if (hosts.length === 0 && bestLength < 0) {
      best ??= live
      continue
    }
    for (const pattern of hosts) {
      if (pattern === host) return live
      const isMatch = pattern.startsWith('*.') && host.endsWith(pattern.slice(1))
      if (!isMatch || pattern.length <= bestLength) continue
      best = live
      bestLength = pattern.length
    }
  }
  return best ?? (host === '' ? routes[0] : undefined)
}
