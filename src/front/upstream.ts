/** Connections to an instance, kept for the requests to come. */
import { Client } from 'undici'
import { type Clock, deadline } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { TcpSocket } from '../io/tcp.ts'
import type { Target } from './balancer.ts'

/** To an instance, wherever it is. `unavailable` when it cannot be reached. */
export type Connect = (target: Target, signal: AbortSignal) => Promise<TcpSocket>

/** An instance's own server closes idle connections after 5 s where it is Node's. */
const idleMs = 4_000

/** Of one target. Each client has one connection at most, and one request at a time. */
export class Upstream {
  readonly #clock: Clock
  readonly #target: Target
  readonly #connect: Connect
  readonly #free: Client[] = []

  constructor(clock: Clock, target: Target, connect: Connect) {
    this.#clock = clock
    this.#target = target
    this.#connect = connect
    target.onClosing = () => this.#close()
  }

  take(): Client {
    return this.#free.pop() ?? this.#make()
  }

  /** After a request that ended well. */
  give(client: Client): void {
    if (this.#target.isClosing) void client.close()
    else this.#free.push(client)
  }

  #make(): Client {
    return new Client('http://instance', {
      pipelining: 1,
      keepAliveTimeout: idleMs,
      headersTimeout: limits.frontAnswerMs,
      bodyTimeout: 0,
      maxHeaderSize: 64 * 1024,
      connect: (_options, callback) => {
        const limit = deadline(this.#clock, limits.frontConnectMs)
        this.#connect(this.#target, limit.signal)
          .then(
            (socket) => callback(null, socket),
            (error: unknown) => callback(error as Error, null),
          )
          .finally(() => limit[Symbol.dispose]())
      },
    })
  }

  #close(): void {
    for (const client of this.#free.splice(0)) void client.close()
  }
}
