/** Connecting to an agent: a link over a unix socket, with the object it begins with. */
import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { connectUnix } from '../io/sockets.ts'
import { ClientSession, type ClientStats } from './client.ts'
import type { Interface } from './interface.ts'
import { type Remote, remote } from './remote.ts'
import { type RpcLimits, rpcLimits } from './rpc-limits.ts'
import { Transport } from './transport.ts'

export interface RpcClientOptions {
  /** This program's version. */
  readonly version: string
  readonly limits?: Partial<RpcLimits>
}

export interface RpcClient<T> extends AsyncDisposable {
  readonly main: Remote<T>
  /** Resolves when the link has ended, with why. */
  readonly closed: Promise<HolonError>
  readonly stats: ClientStats
  /** Ends the link; calls in flight and later ones fail with this. Resolves once it is closed. */
  end(reason: HolonError): Promise<void>
  /** The same by who uses it: its calls are `cancelled`. */
  [Symbol.asyncDispose](): Promise<void>
}

/**
 * Connects to the agent that listens at `path`. `unavailable` when none runs, `permission_denied`
 * when its socket is not for this user; both say what to do.
 */
export async function connectRpc<T extends object>(
  clock: Clock,
  path: string,
  described: Interface<T>,
  options: RpcClientOptions & { readonly signal: AbortSignal },
): Promise<RpcClient<T>> {
  try {
    const socket = await connectUnix(path, { signal: options.signal })
    return rpcClient(clock, socket, described, { ...options, peer: `the agent at "${path}"` })
  } catch (error) {
    throw connectError(error, path)
  }
}

/** The same over any byte stream, which is owned by the result. */
export function rpcClient<T extends object>(
  clock: Clock,
  socket: Duplex,
  described: Interface<T>,
  options: RpcClientOptions & { readonly peer: string },
): RpcClient<T> {
  const limits = { ...rpcLimits, ...options.limits }
  const ended = Promise.withResolvers<HolonError>()
  const transport = new Transport(
    clock,
    socket,
    {
      busy: () => session.busy,
      ended(reason) {
        session.end(reason)
        ended.resolve(reason)
      },
    },
    { role: 'client', version: options.version, peer: options.peer, limits },
  )
  const session = new ClientSession(clock, transport, limits)
  const end = (reason: HolonError) => {
    transport.end(reason)
    return transport.closed
  }
  return {
    main: remote(described, session.main, session),
    closed: ended.promise,
    get stats() {
      return session.stats
    },
    end,
    [Symbol.asyncDispose]: () =>
      end(new HolonError('cancelled', 'the link was closed by this side')),
  }
}

function connectError(error: unknown, path: string): unknown {
  if (!(error instanceof HolonError)) return error
  const errno = error.details['errno']
  if (errno === 'ENOENT' || errno === 'ECONNREFUSED')
    return new HolonError(
      'unavailable',
      `the agent is not running here (no socket at "${path}"); start it with \`holon up\``,
      { cause: error, details: { path, errno } },
    )
  if (errno !== 'EACCES' && errno !== 'EPERM') return error
  return new HolonError(
    'permission_denied',
    `the agent's socket at "${path}" is not for this user; ` +
      'start an agent of your own with `holon up`, or call as the user who runs this one',
    { cause: error, details: { path, errno } },
  )
}
