/**
 * Lets the frames of docs/keeper.md through as bytes, as they come, but takes out those that are
 * meant for the relays themselves. Nothing is copied but headers that came in two parts.
 */
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { frameHeaderBytes } from '../../rpc/keeper-frames.ts'
import type { Slab } from '../../rpc/slabs.ts'

/** Frames between relays. */
export const relayFrames = {
  /** First on a connection: where it leads. */
  route: 'R',
  /** What was asked for has begun; the payload says which run it is, as JSON. */
  begun: 'B',
  /** It does not lead there; the payload says why, as JSON. */
  refused: 'Q',
  /** This side of the stream is over; once both have said so the connection is free again. */
  over: 'Z',
  /** "Are you there?" and the answer. */
  ask: 'H',
  here: 'Y',
} as const

export interface FrameGateHandlers {
  /** Frames, or parts of them, to be handed on in this order. */
  pass(bytes: Buffer, slab?: Slab): void
  /** One that was taken out. */
  taken(type: string, payload: Buffer): void
  /** After `callAtBoundary`: what was passed so far ends between two frames. */
  boundary?(): void
}

const takenBytesMax = limits.jobSpecBytesMax
const passedBytesMax = 4 * 1024 * 1024

export class FrameGate {
  readonly #take: ReadonlySet<number>
  readonly #handlers: FrameGateHandlers
  readonly #header = Buffer.alloc(frameHeaderBytes)
  #headerBytes = 0
  /** Bytes of the payload still to come. */
  #left = 0
  #taken: Buffer[] | undefined
  #wantsBoundary = false

  /** `take`: the types that are taken out. */
  constructor(take: readonly string[], handlers: FrameGateHandlers) {
    this.#take = new Set(take.map((type) => type.charCodeAt(0)))
    this.#handlers = handlers
  }

  /** Whether what came so far ends between two frames. */
  get atBoundary(): boolean {
    return this.#left === 0 && this.#headerBytes === 0
  }

  /** `boundary` is called once, at the next one: at once, if this is one. */
  callAtBoundary(): void {
    this.#wantsBoundary = true
    if (this.#left === 0) this.#boundary()
  }

  /** `slab`: what the chunk is a part of. Throws `invalid_argument` for what is no frame; the byte stream is of no use after that. */
  push(chunk: Buffer, slab?: Slab): void {
    let at = 0
    let passFrom = 0
    const passUntil = (end: number) => {
      if (end > passFrom) this.#handlers.pass(chunk.subarray(passFrom, end), slab)
    }
    while (at < chunk.length) {
      if (this.#left > 0) {
        const end = Math.min(chunk.length, at + this.#left)
        this.#left -= end - at
        if (this.#taken !== undefined) {
          this.#taken.push(Buffer.from(chunk.subarray(at, end)))
          passFrom = end
          if (this.#left === 0) this.#deliver()
        }
        at = end
        if (this.#left === 0 && this.#wantsBoundary) {
          passUntil(at)
          passFrom = at
          this.#boundary()
        }
        continue
      }
      const start = at
      const had = this.#headerBytes
      at = Math.min(chunk.length, at + frameHeaderBytes - had)
      chunk.copy(this.#header, had, start, at)
      this.#headerBytes = had + at - start
      if (this.#headerBytes < frameHeaderBytes) {
        // The rest of this header comes with the next chunk; it is decided then.
        passUntil(start)
        return
      }
      this.#headerBytes = 0
      this.#begin()
      if (this.#taken !== undefined) {
        passUntil(start)
        passFrom = at
        if (this.#left === 0) this.#deliver()
      } else if (had > 0) {
        this.#handlers.pass(Buffer.from(this.#header))
        passFrom = at
      }
    }
    passUntil(chunk.length)
  }

  #boundary(): void {
    this.#wantsBoundary = false
    this.#handlers.boundary?.()
  }

  #begin(): void {
    const type = this.#header.readUInt8(0)
    this.#left = this.#header.readUInt32BE(1)
    const taken = this.#take.has(type)
    const isFrame = type >= 0x41 && type <= 0x5a
    if (!isFrame || this.#left > (taken ? takenBytesMax : passedBytesMax)) {
      throw new HolonError(
        'invalid_argument',
        `a frame of type ${type} and ${this.#left} bytes is none of a byte stream's`,
      )
    }
    this.#taken = taken ? [] : undefined
  }

  #deliver(): void {
    const payload = Buffer.concat(this.#taken ?? [])
    this.#taken = undefined
    this.#handlers.taken(String.fromCharCode(this.#header.readUInt8(0)), payload)
  }
}
