/**
 * The way to instances on other machines: from front to front, by TLS with the machines' own
 * certificates. Bytes pass from one to the other as they are, so that a request is read and written
 * by one front only.
 *
 * Who connects says in one line which instance it wants, or none for a pulse. `+` says that it is
 * connected, `-` that there is no such instance or nobody listens: then nothing of what was meant
 * for it was sent, and it may be tried elsewhere. While connections are open, a pulse tells whether
 * the other front is there; when it is not, they are broken off.
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
import { Pulse } from './pulse.ts'
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
  /** What is open, by machine: from there, and to it. */
  readonly #from = new Map<string, Set<Duplex>>()
  readonly #to = new Map<string, Set<Duplex>>()
  /** Of machines with connections to them; undefined while one is being begun. */
  readonly #pulses = new Map<string, Pulse | undefined>()

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
    for (const machineId of [...this.#from.keys(), ...this.#to.keys()]) {
      if (!this.#machines.has(machineId)) this.#drop(machineId)
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
    for (const machineId of [...this.#from.keys(), ...this.#to.keys()]) this.#drop(machineId)
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
    this.#keep(this.#to, machineId, socket)
    void this.#watch(machine, identity)
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
        if (this.#machineOf(connection) === machine.machineId) return connection
        connection.socket.destroy()
        last = new HolonError('unavailable', `who answers at ${address} is not ${machine.name}`)
      } catch (error) {
        if (signal.aborted) throw error
        last = error
      }
    }
    throw last
  }

  /** From the first connection to a machine to the last. */
  async #watch(machine: FrontMachine, identity: Identity): Promise<void> {
    const { machineId } = machine
    if (this.#pulses.has(machineId)) return
    this.#pulses.set(machineId, undefined)
    const { clock } = this.#deps
    try {
      using limit = deadline(clock, limits.frontSilenceMs)
      const { socket } = await this.#dial(machine, identity, limit.signal)
      socket.write(`${JSON.stringify({ instance: '', port: 0 })}\n`)
      if (!this.#to.has(machineId)) {
        this.#pulses.delete(machineId)
        socket.destroy()
      } else {
        this.#pulses.set(machineId, new Pulse(clock, socket, () => this.#drop(machineId)))
      }
    } catch {
      this.#drop(machineId)
    }
  }

  /** All that is open to that machine or from there ends. */
  #drop(machineId: string): void {
    this.#endPulse(machineId)
    for (const socket of this.#to.get(machineId) ?? []) socket.destroy()
    for (const socket of this.#from.get(machineId) ?? []) socket.destroy()
  }

  #endPulse(machineId: string): void {
    const pulse = this.#pulses.get(machineId)
    this.#pulses.delete(machineId)
    pulse?.[Symbol.dispose]()
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
    this.#keep(this.#from, machineId, socket)
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
    if (wish.instance === '') {
      socket.pipe(socket)
      return
    }
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

  #keep(among: Map<string, Set<Duplex>>, machineId: string, socket: Duplex): void {
    const sockets = among.get(machineId) ?? new Set()
    among.set(machineId, sockets)
    sockets.add(socket)
    socket.once('close', () => {
      sockets.delete(socket)
      if (sockets.size > 0) return
      if (among.get(machineId) === sockets) among.delete(machineId)
      if (among === this.#to) this.#endPulse(machineId)
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
