/**
 * The frames of docs/keeper.md: one byte type, four bytes length (big endian), payload.
 *
 * Payloads of output (`O`, `E`) are handed on as they come, as parts of the chunks they came in:
 * they are neither copied nor put together. All other frames are small and come whole.
 */
import { assert } from '../base/assert.ts'
import { HolonError } from '../base/errors.ts'

export const frameHeaderBytes = 5
/** The longest payload of stdin (`I`) that a keeper takes. */
export const stdinPayloadBytesMax = 64 * 1024
const outputPayloadBytesMax = 1024 * 1024
const otherPayloadBytesMax = 4 * 1024 * 1024

export interface FrameHandlers {
  /** A part of an `O` or `E` payload; the bytes are the caller's chunk's. */
  output(type: 'O' | 'E', bytes: Buffer): void
  /** An empty `O` or `E`: the end of that byte stream. */
  outputEnd(type: 'O' | 'E'): void
  /** Any other frame. The bytes may be the caller's chunk's. */
  frame(type: string, payload: Buffer): void
}

/** One frame as bytes, for small payloads. */
export function encodeFrame(type: string, payload: Uint8Array | string = ''): Buffer {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload
  return Buffer.concat([frameHeader(type, bytes.length), bytes])
}

/** What goes before a payload of `length` bytes. */
export function frameHeader(type: string, length: number): Buffer {
  assert(
    type.length === 1 && length <= otherPayloadBytesMax,
    `a frame "${type}" of ${length} bytes`,
  )
  const header = Buffer.allocUnsafe(frameHeaderBytes)
  header.writeUInt8(type.charCodeAt(0), 0)
  header.writeUInt32BE(length, 1)
  return header
}

export class FrameDecoder {
  readonly #handlers: FrameHandlers
  readonly #header = Buffer.alloc(frameHeaderBytes)
  #headerBytes = 0
  #type = ''
  /** Bytes of the current payload still to come; only after a whole header. */
  #left = 0
  /** The current payload, when it is to come whole and has begun. */
  #whole: Buffer | undefined

  constructor(handlers: FrameHandlers) {
    this.#handlers = handlers
  }

  /** Whether the bytes so far end between two frames. */
  get atBoundary(): boolean {
    return this.#headerBytes === 0
  }

  /** Throws `invalid_argument` for what is no frame; the byte stream is of no use after that. */
  push(chunk: Buffer): void {
    let at = 0
    while (at < chunk.length) {
      if (this.#headerBytes < frameHeaderBytes) at = this.#readHeader(chunk, at)
      else at = this.#readPayload(chunk, at)
    }
  }

  #readHeader(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + frameHeaderBytes - this.#headerBytes)
    this.#headerBytes += chunk.copy(this.#header, this.#headerBytes, at, end)
    if (this.#headerBytes < frameHeaderBytes) return end
    this.#type = String.fromCharCode(this.#header.readUInt8(0))
    this.#left = this.#header.readUInt32BE(1)
    const max = isOutput(this.#type) ? outputPayloadBytesMax : otherPayloadBytesMax
    if (!/^[A-Z]$/.test(this.#type) || this.#left > max)
      throw new HolonError(
        'invalid_argument',
        `a frame of type ${this.#header.readUInt8(0)} and ${this.#left} bytes is none of a keeper's`,
      )
    if (this.#left === 0) this.#emptyFrame()
    return end
  }

  #readPayload(chunk: Buffer, at: number): number {
    const end = Math.min(chunk.length, at + this.#left)
    const bytes = chunk.subarray(at, end)
    this.#left -= bytes.length
    const type = this.#type
    if (isOutput(type)) {
      if (this.#left === 0) this.#headerBytes = 0
      this.#handlers.output(type, bytes)
    } else this.#collect(type, bytes)
    return end
  }

  #collect(type: string, bytes: Buffer): void {
    const whole = this.#whole
    if (whole === undefined && this.#left === 0) {
      this.#headerBytes = 0
      this.#handlers.frame(type, bytes)
      return
    }
    const target = whole ?? Buffer.allocUnsafe(bytes.length + this.#left)
    bytes.copy(target, target.length - this.#left - bytes.length)
    this.#whole = target
    if (this.#left > 0) return
    this.#whole = undefined
    this.#headerBytes = 0
    this.#handlers.frame(type, target)
  }

  #emptyFrame(): void {
    const type = this.#type
    this.#headerBytes = 0
    if (isOutput(type)) this.#handlers.outputEnd(type)
    else this.#handlers.frame(type, Buffer.alloc(0))
  }
}

function isOutput(type: string): type is 'O' | 'E' {
  return type === 'O' || type === 'E'
}
