/**
 * Listening for TLS.
 *
 * Invariants: before the handshake is over nothing of ours is sent, and what strangers can hold is
 * bounded: a connection in its handshake lives for `handshakeMs`, and the oldest gives way when
 * there are too many, since an honest handshake takes milliseconds and only a hostile one waits.
 * A resumed session is closed.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TLSSocket } from 'node:tls'
import { asHolonError, errnoOf, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import {
  connectionOf,
  keepAliveMs,
  type TlsConnection,
  type TlsCredentials,
  tlsRules,
} from './tls.ts'

export interface ListenTlsOptions {
  /** Default: all addresses, IPv6 and IPv4. */
  readonly host?: string
  /** 0: any free one. */
  readonly port: number
  /** Protocols spoken here; a connection that asks for none of them is closed. */
  readonly alpns: readonly string[]
  /** Asked before each handshake, so that a renewed certificate is shown at once. */
  readonly credentials: () => TlsCredentials
  /** A finished handshake. The connection is the callee's. */
  readonly onConnection: (connection: TlsConnection) => void
  /** Connections together with those in their handshake. Default limits.portConnectionsMax. */
  readonly connectionsMax?: number
  /** Default limits.portHandshakesMax. */
  readonly handshakesMax?: number
  /** Default limits.handshakeMs. */
  readonly handshakeMs?: number
  /** The other side's end leaves this side's writing open. */
  readonly allowHalfOpen?: boolean
}

export interface TlsListener extends AsyncDisposable {
  readonly port: number
  /** Open now, with those in their handshake. */
  readonly connections: number
  readonly handshakes: number
  /** Accepts no more and ends what is in its handshake. Finished connections are not its own. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Listens. `already_exists` when the address is taken, `permission_denied`, and others. */
export async function listenTls(options: ListenTlsOptions): Promise<TlsListener> {
  const tls = new Handshakes(options)
  const connectionsMax = options.connectionsMax ?? limits.portConnectionsMax
  const sockets = new Set<Socket>()
  const server = createServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveMs,
      allowHalfOpen: options.allowHalfOpen ?? false,
    },
    (socket) => {
      socket.on('error', () => {})
      if (sockets.size >= connectionsMax) {
        socket.destroy()
        return
      }
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
      tls.begin(socket)
    },
  )
  await listening(server, options)
  return {
    port: (server.address() as AddressInfo).port,
    get connections() {
      return sockets.size
    },
    get handshakes() {
      return tls.size
    },
    [Symbol.asyncDispose]() {
      // close() calls back once every connection has ended; those are not the listener's.
      server.close()
      tls.endAll()
      return Promise.resolve()
    },
  }
}

/** Takes accepted sockets through their handshake. */
class Handshakes {
  readonly #options: ListenTlsOptions
  readonly #max: number
  readonly #server: ReturnType<typeof createTlsServer>
  #shown: TlsCredentials
  // By the connection's addresses: Node does not say which socket is below a TLS socket.
  readonly #open = new Map<string, Socket>()

  constructor(options: ListenTlsOptions) {
    this.#options = options
    this.#max = options.handshakesMax ?? limits.portHandshakesMax
    this.#shown = options.credentials()
    this.#server = createTlsServer({
      ...tlsRules,
      ...this.#shown,
      requestCert: true,
      ALPNProtocols: [...options.alpns],
      handshakeTimeout: options.handshakeMs ?? limits.handshakeMs,
      allowHalfOpen: options.allowHalfOpen ?? false,
    })
    this.#server.on('secureConnection', (socket) => this.#done(socket))
    // Strangers fail all the time; there is nobody to tell, and Node has closed the socket.
    this.#server.on('tlsClientError', (_error, socket) => socket.destroy())
  }

  get size(): number {
    return this.#open.size
  }

  begin(socket: Socket): void {
    const id = addressesOf(socket)
    // Gone before it was accepted.
    if (socket.remotePort === undefined) {
      socket.destroy()
      return
    }
    this.#open.set(id, socket)
    socket.once('close', () => this.#forget(id, socket))
    if (this.#open.size > this.#max) this.#endOldest()
    const credentials = this.#options.credentials()
    if (credentials.cert !== this.#shown.cert || credentials.key !== this.#shown.key) {
      this.#server.setSecureContext({ ...tlsRules, ...credentials })
      this.#shown = credentials
    }
    this.#server.emit('connection', socket)
  }

  endAll(): void {
    for (const socket of this.#open.values()) socket.destroy()
  }

  #endOldest(): void {
    const [oldest] = this.#open
    if (oldest === undefined) return
    const [id, socket] = oldest
    this.#open.delete(id)
    socket.destroy()
  }

  #forget(id: string, socket: Socket): void {
    if (this.#open.get(id) === socket) this.#open.delete(id)
  }

  #done(socket: TLSSocket): void {
    socket.on('error', () => {})
    this.#open.delete(addressesOf(socket))
    const alpn = socket.alpnProtocol
    if (typeof alpn !== 'string' || socket.isSessionReused()) {
      socket.destroy()
      return
    }
    this.#options.onConnection(connectionOf(socket, alpn))
  }
}

function addressesOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`
}

function listening(server: Server, { host, port }: ListenTlsOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)))
    server.listen({ port, backlog: 1024, ...(host === undefined ? {} : { host }) }, () => {
      server.removeAllListeners('error')
      // A connection lost while it is accepted (EMFILE and the like) must not end the process.
      server.on('error', () => {})
      resolve()
    })
  })
}

function listenError(error: Error, host: string | undefined, port: number): HolonError {
  const action = `listen on port ${port}${host === undefined ? '' : ` of "${host}"`}`
  if (errnoOf(error) !== 'EADDRINUSE') return asHolonError(error, action)
  return new HolonError(
    'already_exists',
    `${action}: another program listens there; end it, or choose another with \`--listen\``,
    { cause: error },
  )
}
