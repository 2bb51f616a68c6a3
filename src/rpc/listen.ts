/** Listening for links on a unix socket. Each gets a main object of its own. */
import type { Duplex } from 'node:stream'
import { RpcSession } from 'capnweb'
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { type ListenOptions, listenUnix } from '../io/listen-socket.ts'
import type { Interface } from './interface.ts'
import { type RpcLimits, rpcLimits } from './rpc-limits.ts'
import { serveMain } from './serve.ts'
import { type OnInternalError, ServerSession, type ServerStats } from './server.ts'
import { Transport } from './transport.ts'
import { WireError } from './wire-errors.ts'

export interface RpcServerOptions {
  /** This program's version. */
  readonly version: string
  /** Told of bugs in targets; the caller gets `internal`. */
  readonly onInternalError: OnInternalError
  readonly limits?: Partial<RpcLimits>
}

export interface RpcServerSession extends AsyncDisposable {
  /** Resolves when the link has ended, with why. */
  readonly closed: Promise<HolonError>
  readonly stats: ServerStats
  /** Ends the link, telling the peer. Resolves once the socket is closed. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Makes the main object of a new link. If it has `[Symbol.dispose]`, that is called at its end. */
export type Accept<T> = () => T

export interface RpcListener extends AsyncDisposable {
  readonly path: string
  readonly sessions: ReadonlySet<RpcServerSession>
  /** Accepts no more links and ends those there are; answers already given still arrive. */
  [Symbol.asyncDispose](): Promise<void>
}

/** Listens at `path`; who may connect is said by the socket's owner and mode, and its directory. */
export async function listenRpc<T extends object>(
  clock: Clock,
  path: string,
  described: Interface<T>,
  accept: Accept<T>,
  options: RpcServerOptions & ListenOptions,
): Promise<RpcListener> {
  const sessions = new Set<RpcServerSession>()
  const { sessionsMax } = { ...rpcLimits, ...options.limits }
  const onConnection = (socket: Duplex) => {
    if (sessions.size >= sessionsMax) {
      refuse(clock, socket, options, sessionsMax)
      return
    }
    const session = rpcServerSession(clock, socket, described, accept, options)
    sessions.add(session)
    session.closed.then(() => sessions.delete(session))
  }
  const listener = await listenUnix(path, onConnection, options)
  return {
    path,
    sessions,
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]()
      await Promise.all([...sessions].map((session) => session[Symbol.asyncDispose]()))
    },
  }
}

/** One link over any byte stream, which is owned by the result. */
export function rpcServerSession<T extends object>(
  clock: Clock,
  socket: Duplex,
  described: Interface<T>,
  accept: Accept<T>,
  options: RpcServerOptions,
): RpcServerSession {
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
    { role: 'server', version: options.version, peer: 'the caller', limits },
  )
  const session = new ServerSession(clock, {
    limits,
    onInternalError: options.onInternalError,
    wake: () => transport.wake(),
  })
  const main = serveMain(described, accept(), session)
  session.adopt(main)
  const rpc = new RpcSession(transport, main, { onSendError: typedError })
  return {
    closed: ended.promise,
    get stats() {
      return { ...session.stats, ...rpc.getStats() }
    },
    [Symbol.asyncDispose]() {
      transport.end(new HolonError('unavailable', 'the agent is stopping'), true)
      return transport.closed
    },
  }
}

/**
 * Errors of calls come typed. What else capnweb wants to send is its own: a call of something that
 * is not in the descriptor, as from a program that is newer than this one.
 */
function typedError(error: Error): Error {
  if (error instanceof WireError) return error
  return new WireError(
    new HolonError('unsupported', `this agent does not know the call: ${error.message}`),
  )
}

function refuse(
  clock: Clock,
  socket: Duplex,
  { version, limits }: RpcServerOptions,
  sessionsMax: number,
): void {
  const hooks = { busy: () => false, ended: () => {} }
  const ends = { role: 'server', version, peer: 'the caller' } as const
  const transport = new Transport(clock, socket, hooks, {
    ...ends,
    limits: { ...rpcLimits, ...limits },
  })
  const reason = new HolonError(
    'exhausted',
    `the agent has ${sessionsMax} links on this socket, which is the most it takes; ` +
      'close some of them',
    { retryable: true },
  )
  transport.end(reason, true)
}
