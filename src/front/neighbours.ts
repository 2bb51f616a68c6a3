/**
 * The way to instances on other machines: from front to front, by TLS with the machines' own
 * certificates. Bytes pass from one to the other as they are, so that a request is read and written
 * by one front only.
 *
 * Who connects says in one line which instance it wants. `+` says that it is connected, `-` that
 * there is no such instance or nobody listens: then nothing of what was meant for it was sent, and
 * it may be tried elsewhere. Where the other machine dies the connection breaks off.
 */
import type { Duplex } from 'node:stream'
import { type Clock, deadline } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { parseAddress } from '../cluster/identity/address.ts'
import { type Identity, loadIdentity } from '../cluster/identity/identity.ts'
import { verifyPeer } from '../cluster/identity/verify.ts'
import { listenTls, type TlsListener } from '../io/listen-tls.ts'
import { connectTcp, type TcpSocket } from '../io/tcp.ts'
import { connectTls, type TlsConnection } from '../io/tls.ts'
import { splice } from './splice.ts'
import type { Endpoint, FrontFleet, FrontMachine } from './table.ts'

const alpn = 'holon-front/1'
const lineBytesMax = 1024
const yes = '+'

export interface NeighboursDeps {
  readonly clock: Clock
  /** An instance here by its name and port, if it may be reached. */
  readonly local: (instance: string, port: number) => Endpoint | undefined
  /** A connection from elsewhere to that instance is under way, or has ended. */
  readonly passing: (instance: string, change: 1 | -1) => void
}

export class Neighbours implements AsyncDisposable {
  readonly #deps: NeighboursDeps
  #fleet: FrontFleet | undefined
  #identity: Identity | undefined
  #machines: ReadonlyMap<string, FrontMachine> = new Map()
  #listener: TlsListener | undefined
  readonly #open = new Map<string, Set<Duplex>>()

  constructor(deps: NeighboursDeps) {
    this.#deps = deps
  }

  /** Where it listens; 0 while it does not. */
  get port(): number {
    return this.#listener?.port ?? 0
  }

  /** Connections with machines that are not among them any more end. */
  async update(fleet: FrontFleet | undefined): Promise<void> {
    const before = this.#fleet
    this.#fleet = fleet
    this.#machines = new Map(fleet?.machines.map((machine) => [machine.machineId, machine]))
    for (const [machineId, sockets] of this.#open) {
      if (this.#machines.has(machineId)) continue
      for (const socket of sockets) socket.destroy()
    }
    if (fleet?.certificate !== before?.certificate || fleet?.identityDir !== before?.identityDir) {
      this.#identity = fleet === undefined ? undefined : loadIdentity(fleet.identityDir)
    }
    if (fleet === undefined || fleet.port !== before?.port) {
      await this.#listener?.[Symbol.asyncDispose]()
      this.#listener = undefined
    }
    const identity = this.#identity
    if (fleet === undefined || identity === undefined || this.#listener !== undefined) return
    this.#listener = await listenTls({
      port: fleet.port,
      alpns: [alpn],
      credentials: () => (this.#identity ?? identity).credentials,
      connectionsMax: limits.frontConnectionsMax,
      onConnection: (connection) => void this.#accept(connection),
      allowHalfOpen: true,
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]()
    for (const sockets of this.#open.values()) for (const socket of sockets) socket.destroy()
  }

  /** Connects to an instance on another machine. `unavailable`: nothing was sent to it. */
  async connect(
    { instance, machineId = '', port }: Endpoint,
    signal: AbortSignal,
  ): Promise<TcpSocket> {
    const machine = this.#machines.get(machineId)
    const identity = this.#identity
    if (machine === undefined || identity === undefined) {
      throw new HolonError('unavailable', `connect to ${instance}: its machine is not known`)
    }
    const { socket } = await this.#dial(machine, identity, signal)
    try {
      socket.write(`${JSON.stringify({ instance, port })}\n`)
      if ((await readByte(socket, signal)) === yes) return socket as TcpSocket
      throw new HolonError('unavailable', `connect to ${instance}: it does not listen`)
    } catch (error) {
      socket.destroy()
      throw error
    }
  }

  async #dial(machine: FrontMachine, identity: Identity, signal: AbortSignal) {
    let last: unknown = new HolonError('unavailable', `${machine.name} has no known address`)
    for (const address of machine.addresses) {
      const { credentials } = identity
      try {
        const where = parseAddress(address)
        const connection = await connectTls({
          ...where,
          alpn,
          credentials,
          signal,
          allowHalfOpen: true,
        })
        if (this.#machineOf(connection) === machine.machineId) {
          this.#keep(machine.machineId, connection.socket)
          return connection
        }
        connection.socket.destroy()
        last = new HolonError('unavailable', `who answers at ${address} is not ${machine.name}`)
      } catch (error) {
        if (signal.aborted) throw error
        last = error
      }
    }
    throw last
  }

  /** Undefined unless it is one of the fleet's, with a good certificate. */
  #machineOf({ peerChain }: TlsConnection): string | undefined {
    const identity = this.#identity
    if (identity === undefined) return undefined
    const verdict = verifyPeer({
      chain: peerChain,
      caPem: identity.caPem,
      clusterId: identity.clusterId,
      nowMs: this.#deps.clock.wallMs(),
      isRemoved: (machineId) => !this.#machines.has(machineId),
    })
    return verdict.kind === 'machine' ? verdict.machineId : undefined
  }

  async #accept(connection: TlsConnection): Promise<void> {
    const { socket } = connection
    const machineId = this.#machineOf(connection)
    if (machineId === undefined) {
      socket.destroy()
      return
    }
    this.#keep(machineId, socket)
    try {
      await this.#serve(socket)
    } catch {
      socket.destroy()
    }
  }

  async #serve(socket: Duplex): Promise<void> {
    const { clock, local, passing } = this.#deps
    using limit = deadline(clock, limits.handshakeMs)
    const wish = parseWish(await readLine(socket, limit.signal))
    const endpoint = local(wish.instance, wish.port)
    if (endpoint === undefined) {
      socket.end('-')
      return
    }
    const instance = await connectTcp(endpoint, limit.signal).catch(() => undefined)
    if (instance === undefined) {
      socket.end('-')
      return
    }
    passing(wish.instance, 1)
    try {
      socket.write(yes)
      await splice(socket, instance)
    } finally {
      passing(wish.instance, -1)
    }
  }

  #keep(machineId: string, socket: Duplex): void {
    const sockets = this.#open.get(machineId) ?? new Set()
    this.#open.set(machineId, sockets)
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size === 0) this.#open.delete(machineId)
    })
  }
}

function parseWish(line: string): { readonly instance: string; readonly port: number } {
  const wish = JSON.parse(line) as { instance?: unknown; port?: unknown }
  const { instance, port } = wish
  if (typeof instance === 'string' && typeof port === 'number') return { instance, port }
  throw new HolonError('invalid_argument', 'a front asks for an instance in an unknown form')
}

/** Bytes up to a newline, and not one more. */
async function readLine(socket: Duplex, signal: AbortSignal): Promise<string> {
  let line = ''
  while (line.length < lineBytesMax) {
    const byte = await readByte(socket, signal)
    if (byte === '\n') return line
    line += byte
  }
  throw new HolonError('exhausted', 'the line of a front is too long')
}

function readByte(socket: Duplex, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const look = () => {
      const byte: Buffer | null = socket.read(1)
      if (byte === null) return
      leave()
      resolve(byte.toString('latin1'))
    }
    const end = () => {
      leave()
      reject(asHolonError(signal.reason ?? new HolonError('unavailable', 'the connection ended')))
    }
    const leave = () => {
      socket.off('readable', look)
      socket.off('end', end)
      socket.off('close', end)
      signal.removeEventListener('abort', end)
    }
    socket.on('readable', look)
    socket.once('end', end)
    socket.once('close', end)
    signal.addEventListener('abort', end, { once: true })
    look()
  })
}
