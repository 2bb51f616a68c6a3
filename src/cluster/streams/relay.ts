/**
 * The near side of byte streams: a program here connects to its user's relay socket, says where it
 * wants to (frame `R`), and its frames are passed between its connection and one to that machine.
 * Both are used again: a run costs no TLS handshake, and a program that starts many connects once.
 */
import type { Duplex } from 'node:stream'
import { type Clock, deadline, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import type { Dial } from '../links.ts'
import type { PeerCaller } from '../peer.ts'
import { ByteSource, listen } from './byte-source.ts'
import { FrameGate, relayFrames } from './frame-gate.ts'
import { encodeStreamRequest, parseRoute } from './route.ts'
import { StreamEnd } from './stream-end.ts'

export interface RelayDeps {
  readonly clock: Clock
  readonly dial: Dial
}

/** Free connections kept for each machine, and for how long. */
const freeMax = 8
const freeMs = 60_000

interface Free {
  readonly end: StreamEnd
  readonly timer: Timer
}

export class Relay implements Disposable {
  readonly #deps: RelayDeps
  readonly #free = new Map<string, Free[]>()
  readonly #ends = new Set<StreamEnd>()

  constructor(deps: RelayDeps) {
    this.#deps = deps
  }

  /** Serves one connection of a program of this user, for one stream after another. Owns it. */
  accept(local: Duplex, caller: PeerCaller): void {
    local.on('error', () => {})
    this.#awaitRoute(local, caller)
  }

  /** Ends all streams to a machine that is not to be talked to any more. */
  drop(machineId: string): void {
    for (const { end, timer } of this.#free.get(machineId) ?? []) {
      timer[Symbol.dispose]()
      end.destroy()
    }
    this.#free.delete(machineId)
  }

  [Symbol.dispose](): void {
    for (const machineId of [...this.#free.keys()]) this.drop(machineId)
    for (const end of this.#ends) end.destroy()
  }

  /** What comes before the route was meant for the stream before. */
  #awaitRoute(local: Duplex, caller: PeerCaller): void {
    const timer = this.#deps.clock.timer(limits.relayWaitMs, () => local.destroy(), {
      background: true,
    })
    const early: Buffer[] = []
    let route: string | undefined
    const gate = new FrameGate([relayFrames.route], {
      pass: (bytes) => {
        if (route !== undefined) early.push(bytes)
      },
      taken: (_type, payload) => {
        route = payload.toString()
      },
    })
    const data = (chunk: Buffer) => {
      try {
        gate.push(chunk)
      } catch {
        local.destroy()
      }
      if (route === undefined) return
      timer[Symbol.dispose]()
      stop()
      local.pause()
      void this.#connect(local, route, caller, early)
    }
    const stop = listen(local, { data, close: () => timer[Symbol.dispose]() })
    local.resume()
  }

  async #connect(
    local: Duplex,
    route: string,
    caller: PeerCaller,
    early: readonly Buffer[],
  ): Promise<void> {
    using limit = deadline(this.#deps.clock, limits.dialTimeoutMs)
    try {
      const { machineId, ...destination } = parseRoute(route)
      const end = this.#takeFree(machineId) ?? (await this.#open(machineId, limit.signal))
      if (local.destroyed) {
        end.destroy()
        return
      }
      end.begin(encodeStreamRequest({ ...destination, ...caller }))
      // What came behind the route in one chunk.
      if (early.length > 0) local.unshift(Buffer.concat(early))
      end.join(local, new ByteSource(), () => this.#awaitRoute(local, caller))
    } catch (thrown) {
      const { code, message } = asHolonError(thrown)
      local.end(encodeFrame(relayFrames.refused, JSON.stringify({ code, message })))
    }
  }

  #takeFree(machineId: string): StreamEnd | undefined {
    const free = this.#free.get(machineId)?.pop()
    free?.timer[Symbol.dispose]()
    return free?.end
  }

  async #open(machineId: string, signal: AbortSignal): Promise<StreamEnd> {
    const source = new ByteSource()
    const socket = await this.#deps.dial(machineId, 'stream', signal, source.reader)
    const end: StreamEnd = new StreamEnd(this.#deps.clock, socket, source, {
      onRoute: () => end.destroy(),
      onFree: () => this.#keepFree(machineId, end),
      onClosed: () => {
        this.#ends.delete(end)
        this.#forget(machineId, end)
      },
    })
    this.#ends.add(end)
    socket.resume()
    return end
  }

  #keepFree(machineId: string, end: StreamEnd): void {
    const free = this.#free.get(machineId) ?? []
    if (free.length >= freeMax) {
      end.destroy()
      return
    }
    const timer = this.#deps.clock.timer(freeMs, () => end.destroy(), { background: true })
    this.#free.set(machineId, [...free, { end, timer }])
  }

  #forget(machineId: string, end: StreamEnd): void {
    const free = this.#free.get(machineId)
    if (free === undefined) return
    for (const each of free) if (each.end === end) each.timer[Symbol.dispose]()
    this.#free.set(
      machineId,
      free.filter((each) => each.end !== end),
    )
  }
}
