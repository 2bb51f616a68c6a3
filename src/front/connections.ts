/** Connections that are passed on whole: TCP, and those of HTTP that become something else. */
import type { Duplex } from 'node:stream'
import { type Clock, deadline } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { HttpRequest } from '../io/http-listener.ts'
import type { TcpSocket } from '../io/tcp.ts'
import type { Target } from './balancer.ts'
import { forwardedHeaders } from './headers.ts'
import { plainAddress } from './http-exchange.ts'
import type { LiveRoute } from './live-route.ts'
import { splice } from './splice.ts'

/** A connection to a port of TCP. */
export async function passConnection(
  clock: Clock,
  route: LiveRoute,
  socket: TcpSocket,
): Promise<void> {
  const first = route.route.protocol === 'proxy' ? proxyLine(socket) : undefined
  if (!(await pass(clock, route, socket, first))) socket.destroy()
}

/** A request that asks to speak something else, such as WebSocket: the instance decides. */
export async function passUpgrade(
  clock: Clock,
  route: LiveRoute,
  request: HttpRequest,
  socket: Duplex,
  head: Buffer,
): Promise<void> {
  const { method = 'GET', url = '/', rawHeaders } = request
  const client = { address: plainAddress(request.socket.remoteAddress), protocol: route.scheme }
  const headers = forwardedHeaders(rawHeaders, client, true)
  const lines = [`${method} ${url} HTTP/1.1`]
  for (let i = 0; i + 1 < headers.length; i += 2) lines.push(`${headers[i]}: ${headers[i + 1]}`)
  const first = Buffer.concat([Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), head])
  if (await pass(clock, route, socket, first)) return
  const text = `${route.route.unit}: no instance is ready\n`
  socket.end(
    `HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 1\r\nContent-Length: ${text.length}\r\n\r\n${text}`,
  )
}

/** False when no instance could be reached; the socket is the caller's then. */
async function pass(
  clock: Clock,
  route: LiveRoute,
  socket: Duplex,
  first: Buffer | undefined,
): Promise<boolean> {
  // Until it is passed on nobody listens, and a client that goes away is no bug.
  const gone = new AbortController()
  const onGone = () => gone.abort()
  socket.on('error', onGone)
  socket.once('close', onGone)
  const tried = new Set<Target>()
  route.stats.connected()
  while (tried.size < limits.frontTriesMax) {
    const target = await route.balancer.choose(tried, gone.signal)
    if (target === undefined || gone.signal.aborted) return gone.signal.aborted
    target.active += 1
    try {
      const instance = await connectIn(clock, route, target, gone.signal)
      target.worked()
      if (first !== undefined) instance.write(first)
      await splice(socket, instance)
      return true
    } catch {
      if (gone.signal.aborted) return true
      target.failed(clock.nowMs())
      tried.add(target)
    } finally {
      target.active -= 1
    }
  }
  return false
}

async function connectIn(
  clock: Clock,
  route: LiveRoute,
  target: Target,
  signal: AbortSignal,
): Promise<TcpSocket> {
  using limit = deadline(clock, limits.frontConnectMs, signal)
  return await route.connect(target, limit.signal)
}

/** https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt, section 2.1. */
function proxyLine({ remoteAddress, localAddress, remotePort, localPort }: TcpSocket): Buffer {
  const from = plainAddress(remoteAddress)
  const to = plainAddress(localAddress)
  const family = from.includes(':') ? 'TCP6' : 'TCP4'
  if (from === '' || to === '') return Buffer.from('PROXY UNKNOWN\r\n')
  return Buffer.from(`PROXY ${family} ${from} ${to} ${remotePort} ${localPort}\r\n`)
}
