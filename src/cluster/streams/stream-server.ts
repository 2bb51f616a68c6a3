/**
 * The far side of byte streams: a peer asks for a run's stdio here, and its frames are passed
 * between that connection and the run's keeper.
 */
import type { Duplex } from 'node:stream'
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { DirectReader } from '../../io/sockets.ts'
import type { CallOptions } from '../../kernel/types.ts'
import { ByteSource } from './byte-source.ts'
import { type Begun, parseStreamRequest, type StreamRequest } from './route.ts'
import { StreamEnd } from './stream-end.ts'

/** The keeper's socket of a run that this user may use; `begun` if it was started just now. */
export type AttachRun = (
  request: StreamRequest,
  options: CallOptions & { readonly reader: DirectReader },
) => Promise<{ readonly socket: Duplex; readonly begun?: Begun }>

export class StreamServer implements Disposable {
  readonly #clock: Clock
  readonly #attach: AttachRun
  readonly #ends = new Set<StreamEnd>()

  constructor(clock: Clock, attach: AttachRun) {
    this.#clock = clock
    this.#attach = attach
  }

  /** Serves one connection, for one stream after another. Owns it. */
  accept(socket: Duplex): void {
    const end: StreamEnd = new StreamEnd(this.#clock, socket, new ByteSource(), {
      onRoute: (payload) => void this.#serve(end, payload),
      onFree: () => {},
      onClosed: () => this.#ends.delete(end),
    })
    this.#ends.add(end)
  }

  [Symbol.dispose](): void {
    for (const end of this.#ends) end.destroy()
  }

  async #serve(end: StreamEnd, payload: Buffer): Promise<void> {
    end.hold()
    using limit = deadline(this.#clock, limits.dialTimeoutMs)
    try {
      const request = parseStreamRequest(payload.toString())
      const source = new ByteSource()
      const { signal } = limit
      const { socket, begun } = await this.#attach(request, { signal, reader: source.reader })
      if (begun !== undefined) end.begun(JSON.stringify(begun))
      end.join(socket, source)
    } catch (thrown) {
      const { code, message } = asHolonError(thrown)
      end.refuse(JSON.stringify({ code, message }))
    }
  }
}
