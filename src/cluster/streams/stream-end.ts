/**
 * One end of a byte stream between two machines: frames that pass go to a partner socket here, the
 * others keep the connection: `over` when a side is done, `ask`/`here` while nothing else is heard.
 *
 * When the other machine dies in the middle: silence ends it after `peerHeartbeatTimeoutMs`, the
 * partner is destroyed, and what hangs on it (a keeper hangs up its program, a program at the other
 * end says that the machine was lost) follows. While this side itself does not read, because its
 * partner is slow, silence means nothing and is not counted.
 *
 * Invariants: what the relays say to each other goes between two frames of the stream, never into
 * one. A connection is free for another stream only after both sides have said `over`, at a frame's
 * boundary; else it is destroyed.
 */
import type { Duplex } from 'node:stream'
import type { Clock } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import { Liveness } from '../../rpc/liveness.ts'
import { FrameGate, relayFrames } from './frame-gate.ts'

const { ask, begun, here, over, refused, route } = relayFrames

export interface StreamEndHooks {
  /** A frame `R` came while no stream was under way. */
  readonly onRoute: (payload: Buffer) => void
  /** Both sides are done; the connection is free. */
  readonly onFree: () => void
  /** The connection is gone. `inUse`: a stream was under way. */
  readonly onClosed: (inUse: boolean) => void
}

export class StreamEnd {
  readonly #socket: Duplex
  readonly #hooks: StreamEndHooks
  readonly #gate: FrameGate
  readonly #liveness: Liveness
  #partner: Duplex | undefined
  /** Of the partner, towards the other machine. */
  #outgoing: FrameGate | undefined
  /** Said by this side and not yet sent: a frame of the partner is under way. */
  #unsaid: Buffer[] = []
  /** What came before there was a partner: at most what one read brought. */
  #early: Buffer[] | undefined
  #inUse = false
  #saidOver = false
  #heardOver = false
  #closed = false

  constructor(clock: Clock, socket: Duplex, hooks: StreamEndHooks) {
    this.#socket = socket
    this.#hooks = hooks
    this.#gate = new FrameGate([route, over, ask, here], {
      pass: (bytes) => this.#toPartner(bytes),
      taken: (type, payload) => this.#taken(type, payload),
    })
    this.#liveness = new Liveness(
      clock,
      {
        busy: () => this.#inUse,
        ping: () => {
          if (this.#socket.isPaused()) this.#liveness.heard()
          this.#say(ask)
        },
        dead: () => this.destroy(),
      },
      {
        heartbeatIntervalMs: limits.peerHeartbeatIntervalMs,
        heartbeatTimeoutMs: limits.peerHeartbeatTimeoutMs,
      },
    )
    socket.on('data', (chunk: Buffer) => this.#data(chunk))
    socket.on('drain', () => this.#partner?.resume())
    socket.on('error', () => this.destroy())
    socket.on('end', () => this.destroy())
    socket.on('close', () => this.#close())
  }

  /** A stream begins, asked for by this side. */
  begin(request: string): void {
    this.#start()
    this.#socket.write(encodeFrame(route, request))
  }

  /** What the other side asked for has begun. */
  begun(what: string): void {
    this.#socket.write(encodeFrame(begun, what))
  }

  /** A stream that the other side asked for leads nowhere. */
  refuse(reason: string): void {
    this.#early = undefined
    this.#socket.write(encodeFrame(refused, reason))
    this.#sayOver()
    this.#socket.resume()
  }

  /** Frames go between the other machine and `partner` from now on, which is owned from now on. */
  join(partner: Duplex): void {
    this.#partner = partner
    for (const bytes of this.#early ?? []) partner.write(bytes)
    this.#early = undefined
    const gate = new FrameGate([], {
      pass: (bytes) => this.#toPeer(bytes),
      taken: () => {},
      boundary: () => this.#sayRest(),
    })
    this.#outgoing = gate
    partner.on('data', (chunk: Buffer) => {
      try {
        gate.push(chunk)
      } catch {
        this.destroy()
      }
    })
    partner.on('drain', () => this.#socket.resume())
    partner.on('error', () => {})
    partner.on('end', () => partner.end())
    partner.on('close', () => {
      if (this.#partner !== partner) return
      this.#partner = undefined
      this.#outgoing = undefined
      // A frame that was begun cannot be ended by anybody any more.
      if (gate.atBoundary) this.#sayOver()
      else this.destroy()
      this.#socket.resume()
    })
    this.#socket.resume()
  }

  /** Nothing is read until join(): what comes meanwhile stays with the sender. */
  hold(): void {
    this.#socket.pause()
  }

  destroy(): void {
    this.#socket.destroy()
    this.#close()
  }

  #start(): void {
    this.#inUse = true
    this.#saidOver = false
    this.#heardOver = false
    this.#early = []
    this.#liveness.wake()
  }

  #data(chunk: Buffer): void {
    this.#liveness.heard()
    try {
      this.#gate.push(chunk)
    } catch {
      this.destroy()
    }
  }

  #taken(type: string, payload: Buffer): void {
    if (type === ask) this.#say(here)
    else if (type === route) {
      if (this.#inUse) this.destroy()
      else {
        this.#start()
        this.#hooks.onRoute(payload)
      }
    } else if (type === over) {
      this.#heardOver = true
      const partner = this.#partner
      if (partner === undefined) this.#sayOver()
      else partner.end()
      this.#maybeFree()
    }
  }

  #toPartner(bytes: Buffer): void {
    const partner = this.#partner
    if (partner === undefined) {
      // Over for this side already, or not yet joined: only the latter has a place for it.
      this.#early?.push(bytes)
      return
    }
    if (!partner.write(bytes)) this.#socket.pause()
  }

  #toPeer(bytes: Buffer): void {
    if (this.#saidOver) return
    if (!this.#socket.write(bytes)) this.#partner?.pause()
  }

  #say(type: string): void {
    this.#unsaid.push(encodeFrame(type))
    if (this.#outgoing === undefined) this.#sayRest()
    else this.#outgoing.callAtBoundary()
  }

  #sayRest(): void {
    for (const frame of this.#unsaid.splice(0)) this.#socket.write(frame)
  }

  #sayOver(): void {
    if (this.#saidOver || this.#closed || !this.#inUse) return
    this.#saidOver = true
    this.#say(over)
    this.#maybeFree()
  }

  #maybeFree(): void {
    if (!this.#saidOver || !this.#heardOver || this.#partner !== undefined) return
    this.#inUse = false
    if (this.#gate.atBoundary) this.#hooks.onFree()
    else this.destroy()
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#liveness[Symbol.dispose]()
    const inUse = this.#inUse
    this.#inUse = false
    this.#partner?.destroy()
    this.#partner = undefined
    this.#hooks.onClosed(inUse)
  }
}
