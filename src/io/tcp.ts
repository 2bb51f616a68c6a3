/** TCP as services speak it: connections that may be half closed, and listening for them. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { abortError } from '../base/clock.ts'
import { asHolonError, errnoOf, HolonError } from '../base/errors.ts'

/** Named here, so that nobody else has to know where sockets come from. */
export type TcpSocket = Socket

export interface TcpPlace {
  readonly host: string
  readonly port: number
}

/** "10.77.0.1:53", "[fd00::1]:53". */
export function formatPlace({ host, port }: TcpPlace): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** The kernel asks whether the other side is there after this silence. */
const keepAlive = { keepAlive: true, keepAliveInitialDelay: 15_000 }

/** Connects, or throws `unavailable`. Its writable side stays open when the other side ends. */
export function connectTcp({ host, port }: TcpPlace, signal: AbortSignal): Promise<TcpSocket> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) return reject(abortError(signal))
    const socket = connect({ host, port, allowHalfOpen: true, noDelay: true, ...keepAlive })
    const onAbort = () => socket.destroy(abortError(signal))
    const onError = (error: Error) => {
      signal.removeEventListener('abort', onAbort)
      if (signal.aborted) return reject(abortError(signal))
      const action = `connect to ${host} port ${port}`
      reject(new HolonError('unavailable', `${action}: ${error.message}`, { cause: error }))
    }
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('error', onError)
    socket.once('connect', () => {
      signal.removeEventListener('abort', onAbort)
      socket.off('error', onError)
      resolve(socket)
    })
  })
}

export interface PortListener extends AsyncDisposable {
  readonly port: number
  /** Accepts no more. Connections stay open: they are their handler's. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Listens on all addresses, IPv6 and IPv4, or on that of `host`. `already_exists` when the port is taken,
 * `permission_denied` when it is not for this user.
 */
export async function listenTcp(
  port: number,
  connectionsMax: number,
  onConnection: (socket: TcpSocket) => void,
  host?: string,
): Promise<PortListener> {
  const server = createServer({ allowHalfOpen: true, noDelay: true, ...keepAlive }, onConnection)
  server.maxConnections = connectionsMax
  return listenOn(server, port, host)
}

/** Any server of Node's on a port of all addresses, or of one. */
export function listenOn(server: Server, port: number, host?: string): Promise<PortListener> {
  const where = host === undefined ? `port ${port}` : formatPlace({ host, port })
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, where)))
    const address = host === undefined ? {} : { host }
    server.listen({ port, ...address, backlog: 1024 }, () => {
      server.removeAllListeners('error')
      // A connection lost while it is accepted (EMFILE and the like) must not end the process.
      server.on('error', () => {})
      resolve({
        port: (server.address() as { port: number }).port,
        [Symbol.asyncDispose]() {
          server.close()
          return Promise.resolve()
        },
      })
    })
  })
}

function listenError(error: Error, where: string): HolonError {
  const action = `listen on ${where}`
  if (errnoOf(error) !== 'EADDRINUSE') return asHolonError(error, action)
  return new HolonError('already_exists', `${action}: another program listens there`, {
    cause: error,
  })
}

/** Whether a program that listens on this port now would get it, on every address. */
export async function isPortFree(port: number): Promise<boolean> {
  try {
    const listener = await listenTcp(port, 1, (socket) => socket.destroy())
    await listener[Symbol.asyncDispose]()
    return true
  } catch {
    return false
  }
}
