/** Connecting to another machine, and making sure that it is the one that was meant. */
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { DirectReader } from '../../io/sockets.ts'
import { connectTls, type TlsConnection } from '../../io/tls.ts'
import { parseAddress } from './address.ts'
import type { Identity } from './identity.ts'
import type { LiveConnections } from './live.ts'
import { alpnOf, type MachineProtocol } from './protocols.ts'
import { verifyPeer } from './verify.ts'

export interface DialDeps {
  readonly clock: Clock
  readonly identity: Identity
  readonly isRemoved: (machineId: string) => boolean
  readonly live: LiveConnections
}

export interface DialOptions {
  readonly machineId: string
  /** "10.77.0.1:4656", tried in this order. */
  readonly addresses: readonly string[]
  readonly protocol: MachineProtocol
  readonly signal: AbortSignal
  readonly reader?: DirectReader
}

/** No less for each of several addresses, so that a slow one still has a chance. */
const attemptMsMin = 1000

/**
 * An open, checked connection, known to `live`. `unavailable` when it cannot be reached,
 * `permission_denied` when who answers is not that machine (`details.kind`: why).
 */
export async function dialMachine(deps: DialDeps, options: DialOptions): Promise<TlsConnection> {
  const { addresses, machineId, signal } = options
  if (deps.isRemoved(machineId)) {
    throw denied(`connect to the machine ${machineId}: it was removed from the fleet`, 'removed')
  }
  const attemptMs = Math.max(attemptMsMin, limits.dialTimeoutMs / Math.max(1, addresses.length))
  let last: HolonError | undefined
  for (const address of addresses) {
    using limit = deadline(deps.clock, attemptMs, signal)
    try {
      return await dialAddress(deps, options, address, limit.signal)
    } catch (error) {
      if (signal.aborted) throw error
      // That somebody else answers says more than that nobody does.
      if (last?.code !== 'permission_denied') last = asHolonError(error)
    }
  }
  throw last ?? new HolonError('unavailable', `connect to ${machineId}: it has no known address`)
}

async function dialAddress(
  { clock, identity, isRemoved, live }: DialDeps,
  { machineId, protocol, reader }: DialOptions,
  address: string,
  signal: AbortSignal,
): Promise<TlsConnection> {
  const connection = await connectTls({
    ...parseAddress(address),
    alpn: alpnOf[protocol],
    credentials: identity.credentials,
    signal,
    ...(reader === undefined ? {} : { reader }),
  })
  const verdict = verifyPeer({
    chain: connection.peerChain,
    caPem: identity.caPem,
    clusterId: identity.clusterId,
    nowMs: clock.wallMs(),
    isRemoved,
  })
  if (verdict.kind === 'machine' && verdict.machineId === machineId) {
    live.add(machineId, connection.socket, { ...verdict, kind: protocol, between: connection })
    return connection
  }
  connection.socket.destroy()
  const action = `connect to "${address}"`
  if (verdict.kind === 'refused') throw denied(`${action}: ${verdict.why}`, verdict.reason)
  if (verdict.kind === 'expired')
    throw denied(`${action}: its certificate has expired; it renews by itself`, 'expired')
  throw denied(`${action}: another machine of the fleet answers there`, 'other-machine')
}

function denied(message: string, kind: string): HolonError {
  return new HolonError('permission_denied', message, { details: { kind } })
}
