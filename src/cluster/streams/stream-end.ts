/**
 * One end of a byte stream between two machines: frames that pass go to a partner socket here, the
 * others keep the connection: `over` when a side is done, `ask`/`here` while nothing else is heard.
 *
 * When the other machine dies in the middle: silence ends it after `peerHeartbeatTimeoutMs`, the
 * partner is destroyed, and what hangs on it (a keeper hangs up its program, a program at the other
 * end says that the machine was lost) follows. While this side itself does not read, because its
 * partner is slow, silence means nothing and is not counted.
 *
 * When a program here lets go of a run, its keeper there must hear of it: a half-closed connection
 * would only be the end of stdin to it. So the far side closes its partner once what came is
 * written, and the near side closes the whole connection when the far side cannot read that,
 * because the program there does not read its stdin.
 *
 * Invariants: what the relays say to each other goes between two frames of the stream, never into
 * one. A connection is free for another stream only after both sides have said `over`, at a frame's
 * boundary; else it is destroyed.
 */
import type { Duplex } from 'node:stream'
import type { Clock, Timer } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { encodeFrame } from '../../rpc/keeper-frames.ts'
import { Liveness } from '../../rpc/liveness.ts'
import type { Slab } from '../../rpc/slabs.ts'
import { type ByteSource, listen } from './byte-source.ts'
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

/** A keeper's frame that nothing comes after: how the job ended. */
const lastWord = 'X'
/** How long the far side may take to say that it is over, too. */
const partingMs = 5_000

export class StreamEnd {
  readonly #clock: Clock
  readonly #socket: Duplex
  readonly #hooks: StreamEndHooks
  readonly #gate: FrameGate
  readonly #liveness: Liveness
  #partner: Duplex | undefined
  /** Lets go of the partner at the end of the stream, if it is to stay open then. */
  #release: (() => void) | undefined
  /** Of the partner, towards the other machine. */
  #outgoing: FrameGate | undefined
  /** Said by this side and not yet sent: a frame of the partner is under way. */
  #unsaid: Buffer[] = []
  /** What came before there was a partner: at most what one read brought. */
  #early: Buffer[] | undefined
  /** This side asked for the stream: its partner is who uses it, not who serves it. */
  #near = false
  #parting: Timer | undefined
  #spokeAtMs = 0
  #inUse = false
  #saidOver = false
  #heardOver = false
  #closed = false

  /** `source`: what reads the socket. Owns the socket. */
  constructor(clock: Clock, socket: Duplex, source: ByteSource, hooks: StreamEndHooks) {
    this.#clock = clock
    this.#socket = socket
    this.#hooks = hooks
    this.#gate = new FrameGate([route, over, ask, here], {
      pass: (bytes, slab) => this.#toPartner(bytes, slab),
      taken: (type, payload) => this.#taken(type, payload),
    })
    this.#liveness = new Liveness(
      clock,
      {
        busy: () => this.#inUse,
        ping: () => {
          if (this.#socket.isPaused()) this.#liveness.heard()
          this.#say(ask)
          this.#probePartner()
        },
        dead: () => this.destroy(),
      },
      {
        heartbeatIntervalMs: limits.peerHeartbeatIntervalMs,
        heartbeatTimeoutMs: limits.peerHeartbeatTimeoutMs,
      },
    )
    source.read(socket, (bytes, slab) => this.#data(bytes, slab))
    socket.on('drain', () => this.#partner?.resume())
    socket.on('error', () => this.destroy())
    socket.on('end', () => this.destroy())
    socket.on('close', () => this.#close())
  }

  /** A stream begins, asked for by this side. */
  begin(request: string): void {
    this.#start()
    this.#near = true
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

  /**
   * Frames go between the other machine and `partner` from now on, which is owned from now on:
   * until `onReleased`, at the end of the stream; without it the partner ends with the stream.
   */
  join(partner: Duplex, source: ByteSource, onReleased?: () => void): void {
    this.#partner = partner
    for (const bytes of this.#early ?? []) partner.write(bytes)
    this.#early = undefined
    const gate = new FrameGate(this.#near ? [] : [lastWord], {
      pass: (bytes, slab) => this.#toPeer(bytes, slab),
      taken: (_type, payload) => this.#partnerDone(partner, payload),
      boundary: () => this.#sayRest(),
    })
    this.#outgoing = gate
    const stopReading = source.read(partner, (bytes, slab) => {
      try {
        gate.push(bytes, slab)
      } catch {
        this.destroy()
      }
    })
    const stopListening = listen(partner, {
      error: () => {},
      drain: () => this.#socket.resume(),
      end: () => partner.end(),
      close: () => this.#partnerClosed(partner, gate),
    })
    if (onReleased !== undefined) {
      this.#release = () => {
        stopReading()
        stopListening()
        onReleased()
      }
    }
    partner.resume()
    this.#socket.resume()
    // Who asked has gone meanwhile.
    if (this.#closed || this.#heardOver) partner.destroy()
  }

  /** A keeper has said how its job ended: that goes out together with the end of the stream. */
  #partnerDone(partner: Duplex, payload: Buffer): void {
    if (this.#partner !== partner) return
    this.#partner = undefined
    this.#outgoing = undefined
    this.#socket.cork()
    this.#socket.write(encodeFrame(lastWord, payload))
    this.#sayOver()
    this.#socket.uncork()
    this.#socket.resume()
    partner.destroy()
  }

  #partnerClosed(partner: Duplex, gate: FrameGate): void {
    if (this.#partner !== partner) return
    this.#partner = undefined
    this.#outgoing = undefined
    // A frame that was begun cannot be ended by anybody any more; and behind input that the other
    // side does not take, nobody would hear that it is over.
    const heard = !this.#near || !this.#socket.writableNeedDrain
    if (gate.atBoundary && heard) this.#sayOver()
    else this.destroy()
    this.#socket.resume()
  }

  /** The stream is over; its user's connection is not, unless a frame was begun on it. */
  #releasePartner(partner: Duplex): void {
    const release = this.#release
    if (release === undefined || this.#outgoing?.atBoundary !== true || partner.readableEnded) {
      partner.end()
      return
    }
    this.#partner = undefined
    this.#outgoing = undefined
    partner.write(encodeFrame(over))
    // It need not wait for what is said to the other machine.
    partner.uncork()
    release()
    this.#sayOver()
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
    this.#near = false
    this.#saidOver = false
    this.#heardOver = false
    this.#release = undefined
    this.#early = []
    this.#liveness.wake()
  }

  #data(bytes: Buffer, slab?: Slab): void {
    this.#liveness.heard()
    const partner = this.#partner
    // What came in pieces leaves in one.
    partner?.cork()
    try {
      this.#gate.push(bytes, slab)
    } catch {
      this.destroy()
    }
    partner?.uncork()
    this.#acknowledge()
  }

  /**
   * Who sends much cannot ask whether anybody reads: the question would wait behind what it sent.
   * So who hears says now and then that it does.
   */
  #acknowledge(): void {
    const nowMs = this.#clock.nowMs()
    if (!this.#inUse || nowMs - this.#spokeAtMs < limits.peerHeartbeatIntervalMs) return
    this.#spokeAtMs = nowMs
    this.#say(here)
  }

  /**
   * That a program here has ended is seen by reading from it, which stops while the other machine
   * takes no more. Then a frame that says nothing finds out.
   */
  #probePartner(): void {
    const partner = this.#partner
    if (!this.#near || partner === undefined || !partner.isPaused()) return
    if (this.#gate.atBoundary && !partner.writableNeedDrain) partner.write(encodeFrame(here))
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
      // Before it has a partner: join() or refuse() answers.
      if (partner === undefined && this.#early === undefined) this.#sayOver()
      else if (partner === undefined) return
      else if (this.#near) this.#releasePartner(partner)
      else partner.end(() => partner.destroy())
      this.#maybeFree()
    }
  }

  #toPartner(bytes: Buffer, slab?: Slab): void {
    const partner = this.#partner
    if (partner === undefined) {
      // Over for this side already, or not yet joined: only the latter has a place for it.
      this.#early?.push(slab === undefined ? bytes : Buffer.from(bytes))
      return
    }
    if (!write(partner, bytes, slab)) this.#socket.pause()
  }

  #toPeer(bytes: Buffer, slab?: Slab): void {
    if (this.#saidOver) return
    if (!write(this.#socket, bytes, slab)) this.#partner?.pause()
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
    if (this.#near && !this.#heardOver) {
      this.#parting = this.#clock.timer(partingMs, () => this.destroy(), { background: true })
    }
    this.#maybeFree()
  }

  #maybeFree(): void {
    if (!this.#saidOver || !this.#heardOver || this.#partner !== undefined) return
    if (!this.#inUse) return
    this.#inUse = false
    this.#parting?.[Symbol.dispose]()
    if (this.#gate.atBoundary) this.#hooks.onFree()
    else this.destroy()
  }

  #close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#parting?.[Symbol.dispose]()
    this.#liveness[Symbol.dispose]()
    const inUse = this.#inUse
    this.#inUse = false
    this.#partner?.destroy()
    this.#partner = undefined
    this.#hooks.onClosed(inUse)
  }
}

/** The slab is held until the bytes have left. */
function write(socket: Duplex, bytes: Buffer, slab: Slab | undefined): boolean {
  if (slab === undefined) return socket.write(bytes)
  slab.hold()
  return socket.write(bytes, () => slab.release())
}
