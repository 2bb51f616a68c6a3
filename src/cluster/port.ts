/**
 * The one port on which a machine hears others. TLS 1.3, the protocol chosen by ALPN; a connection
 * is given to its handler only when it is known which machine it comes from. Whoever is not a
 * machine of this fleet is closed without a word and may speak one protocol only: joining.
 */
import type { Clock } from '../base/clock.ts'
import { listenTls, type TlsListener } from '../io/listen-tls.ts'
import type { TlsConnection } from '../io/tls.ts'
import type { Identity } from './identity/identity.ts'
import type { LiveConnections } from './identity/live.ts'
import { alpnOf, type MachineProtocol } from './identity/protocols.ts'
import { verifyPeer } from './identity/verify.ts'

export interface MachinePortDeps {
  readonly clock: Clock
  readonly identity: Identity
  readonly isRemoved: (machineId: string) => boolean
  /** Shared with who dials, so that removing a machine ends both kinds. */
  readonly live: LiveConnections
}

export interface PortHandlers {
  /** Each owns its connection, whose other end is that machine. */
  readonly onRpc: (connection: TlsConnection, machineId: string) => void
  readonly onStream: (connection: TlsConnection, machineId: string) => void
  /** From anybody: nothing may be sent before its message proves a right to it. */
  readonly onJoin: (connection: TlsConnection) => void
  /** Someone was turned away: for a log that counts, never one that grows with each. */
  readonly onRefused?: (remoteAddress: string, why: string) => void
}

export interface PortOptions {
  /** Default: all addresses. */
  readonly host?: string
  /** 0: any free one. */
  readonly port: number
}

export interface PortStats {
  readonly connections: number
  readonly handshakes: number
  readonly refused: number
}

/** Opens the port. Errors as `listenTls`. */
export async function openMachinePort(
  deps: MachinePortDeps,
  handlers: PortHandlers,
  options: PortOptions,
): Promise<MachinePort> {
  const port = new MachinePort(deps, handlers)
  await port.listen(options)
  return port
}

export class MachinePort implements AsyncDisposable {
  readonly #deps: MachinePortDeps
  readonly #handlers: PortHandlers
  #listener: TlsListener | undefined
  #refused = 0

  /** Made by `openMachinePort`. */
  constructor(deps: MachinePortDeps, handlers: PortHandlers) {
    this.#deps = deps
    this.#handlers = handlers
  }

  async listen(options: PortOptions): Promise<void> {
    this.#listener = await listenTls({
      ...options,
      alpns: [alpnOf.link, alpnOf.stream, alpnOf.join],
      credentials: () => this.#deps.identity.credentials,
      onConnection: (connection) => this.#accept(connection),
    })
  }

  /** The port's number. */
  get port(): number {
    return this.#listener?.port ?? 0
  }

  get stats(): PortStats {
    const { connections = 0, handshakes = 0 } = this.#listener ?? {}
    return { connections, handshakes, refused: this.#refused }
  }

  /** Ends every connection to and from that machine, at once; how many those were. */
  revoke(machineId: string): number {
    return this.#deps.live.revoke(machineId)
  }

  /** Accepts no more. Connections stay open: they are their handlers'. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#listener?.[Symbol.asyncDispose]()
  }

  #accept(connection: TlsConnection): void {
    if (connection.alpn === alpnOf.join) {
      this.#handlers.onJoin(connection)
      return
    }
    const { identity, clock, isRemoved, live } = this.#deps
    const verdict = verifyPeer({
      chain: connection.peerChain,
      caPem: identity.caPem,
      clusterId: identity.clusterId,
      nowMs: clock.wallMs(),
      isRemoved,
    })
    if (verdict.kind !== 'machine') {
      connection.socket.destroy()
      this.#refused += 1
      const why = verdict.kind === 'refused' ? verdict.why : `${verdict.machineId} has expired`
      this.#handlers.onRefused?.(connection.remoteAddress, why)
      return
    }
    const { machineId, notAfterMs } = verdict
    const kind: MachineProtocol = connection.alpn === alpnOf.link ? 'link' : 'stream'
    live.add(machineId, connection.socket, { kind, notAfterMs, between: connection })
    if (kind === 'link') this.#handlers.onRpc(connection, machineId)
    else this.#handlers.onStream(connection, machineId)
  }
}
