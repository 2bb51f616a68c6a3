/**
 * Listening for HTTP/1.1 from anybody: Node's server with bounds that suit a public port. Long
 * answers and slow uploads are as long as they are; what has to be quick is the head of a request.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { createSecureContext, type SecureContext } from 'node:tls'
import { HolonError } from '../base/errors.ts'
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
  /**
   * It speaks TLS, with what this gives for the name that a client asks for, "" for none; undefined
   * turns it away. Asked for each connection.
   */
  readonly tls?: (name: string) => TlsPair | undefined
}

/** PEM: a certificate with its issuers, and its key. */
export interface TlsPair {
  readonly certificate: string
  readonly key: string
}

const contexts = new WeakMap<TlsPair, SecureContext>()

/** Made once for the same object. `invalid_argument` when the two are not a pair. */
export function tlsContext(pair: TlsPair): SecureContext {
  const known = contexts.get(pair)
  if (known !== undefined) return known
  try {
    const { certificate: cert, key } = pair
    const context = createSecureContext({ cert, key, minVersion: 'TLSv1.2' })
    contexts.set(pair, context)
    return context
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error)
    throw new HolonError('invalid_argument', `the certificate and its key cannot be used: ${why}`)
  }
}

export interface HttpPort extends PortListener {
  /** What `tls` gives for clients that ask for no name may be something else now. */
  renew(): void
}

/** Errors as `listenTcp`. Disposing closes idle connections too; requests under way go on. */
export async function listenHttp(
  { port, host, connectionsMax, headersMs, idleMs, tls }: HttpListenerOptions,
  { onRequest, onUpgrade }: HttpHandlers,
): Promise<HttpPort> {
  const options = {
    noDelay: true,
    keepAliveTimeout: idleMs,
    headersTimeout: headersMs,
    requestTimeout: 0,
    // What goes on is decided by Connection: close of requests and by `idleMs`.
    maxRequestsPerSocket: 0,
  } as Parameters<typeof createServer>[0] & object
  const tlsServer =
    tls === undefined
      ? undefined
      : createTlsServer({ ...options, ...secure(tls, headersMs) }, onRequest)
  const server = tlsServer ?? createServer(options, onRequest)
  server.timeout = 0
  server.maxConnections = connectionsMax
  server.on('upgrade', onUpgrade)
  const renew = () => {
    const pair = tls?.('')
    if (pair === undefined) return
    const { certificate: cert, key } = pair
    tlsServer?.setSecureContext({ cert, key, minVersion: 'TLSv1.2' })
  }
  renew()
  return { ...(await listenOn(server, port, host)), renew }
}

function secure(tls: (name: string) => TlsPair | undefined, handshakeMs: number) {
  return {
    ALPNProtocols: ['http/1.1'],
    minVersion: 'TLSv1.2',
    handshakeTimeout: handshakeMs,
    SNICallback(name: string, done: (error: Error | null, context?: SecureContext) => void) {
      const pair = tls(name.toLowerCase())
      if (pair === undefined) done(new Error(`no certificate for ${name}`))
      else done(null, tlsContext(pair))
    },
  } as const
}
