/**
 * Listening for HTTP/1.1 from anybody: Node's server with bounds that suit a public port. Long
 * answers and slow uploads are as long as they are; what has to be quick is the head of a request.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { Duplex } from 'node:stream'
import { listenOn, type PortListener } from './tcp.ts'

export type HttpRequest = IncomingMessage
export type HttpResponse = ServerResponse

export interface HttpHandlers {
  readonly onRequest: (request: HttpRequest, response: HttpResponse) => void
  /** A request to speak something else on its connection; `head`: what came behind it already. */
  readonly onUpgrade: (request: HttpRequest, socket: Duplex, head: Buffer) => void
}

export interface HttpListenerOptions {
  readonly port: number
  /** Default: all addresses. */
  readonly host?: string
  readonly connectionsMax: number
  /** The head of a request must be there after this. */
  readonly headersMs: number
  /** A connection without a request is closed after this. */
  readonly idleMs: number
}

/** Errors as `listenTcp`. Disposing closes idle connections too; requests under way go on. */
export async function listenHttp(
  { port, host, connectionsMax, headersMs, idleMs }: HttpListenerOptions,
  { onRequest, onUpgrade }: HttpHandlers,
): Promise<PortListener> {
  const server = createServer(
    {
      noDelay: true,
      keepAliveTimeout: idleMs,
      headersTimeout: headersMs,
      requestTimeout: 0,
      // What goes on is decided by Connection: close of requests and by `idleMs`.
      maxRequestsPerSocket: 0,
    } as Parameters<typeof createServer>[0] & object,
    onRequest,
  )
  server.timeout = 0
  server.maxConnections = connectionsMax
  server.on('upgrade', onUpgrade)
  return listenOn(server, port, host)
}
