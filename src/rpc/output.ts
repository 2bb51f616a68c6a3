/**
 * One output byte stream of a run (stdout or stderr), on its way from the socket to whoever reads
 * it: a Node stream, or a sink that takes the bytes where they lie. It says when it is full; then
 * the socket is not read, the keeper stops reading the program's pipe, and the program waits.
 */
import { Readable, type Writable } from 'node:stream'
import { assert } from '../base/assert.ts'
import type { Slab } from './slabs.ts'

/** Takes bytes; they are valid until it calls `done`, with an error when nobody wants more. */
export type ByteSink = (bytes: Buffer, done: (error?: Error | null) => void) => void

/** How a pump ended: at the end of the byte stream, or because the sink takes no more. */
export type PumpEnd =
  | { readonly kind: 'ended' }
  | { readonly kind: 'closed'; readonly error: Error }

export interface OutputHooks {
  /** It was full, and has room again. */
  drained(): void
  /** Nobody reads it any more. */
  closed(): void
}

/** Bytes under way in a sink at which the socket is no longer read. */
const sinkBytesMax = 1024 * 1024
/** What a Node stream holds before it is full: a pipe's worth. */
const readableBytesMax = 64 * 1024
/** Of less than this a copy is cheaper than to give its slab away. */
const copyBytesMax = 64 * 1024

export class Output {
  readonly #hooks: OutputHooks
  #readable: Readable | undefined
  #readableFull = false
  #sink: ByteSink | undefined
  #sinkBytes = 0
  #state: 'open' | 'ended' | 'closed' = 'open'
  #pumped: PromiseWithResolvers<PumpEnd> | undefined

  constructor(hooks: OutputHooks) {
    this.#hooks = hooks
  }

  /** Made when first needed: most programs write little, and a stream costs more than that. */
  get readable(): Readable {
    if (this.#readable === undefined) {
      this.#readable = new Readable({
        highWaterMark: readableBytesMax,
        read: () => this.#readMore(),
        destroy: (error, done) => {
          if (this.#sink === undefined) this.close()
          done(error)
        },
      })
      if (this.#state === 'ended') this.#readable.push(null)
      else if (this.#state === 'closed') this.#readable.destroy()
    }
    return this.#readable
  }

  get full(): boolean {
    // Once its end has come nothing more will: it must not hold back the frames behind it.
    if (this.#state !== 'open') return false
    return this.#sink === undefined ? this.#readableFull : this.#sinkBytes >= sinkBytesMax
  }

  /** `bytes` are a part of `slab`, held by the caller during the call only. */
  take(bytes: Buffer, slab: Slab): void {
    if (this.#state !== 'open') return
    if (this.#sink !== undefined) {
      slab.hold()
      this.#toSink(bytes, () => slab.release())
      return
    }
    if (bytes.length < copyBytesMax) this.#readableFull = !this.readable.push(Buffer.from(bytes))
    else {
      // Given away: never released, so never used again.
      slab.hold()
      this.#readableFull = !this.readable.push(bytes)
    }
  }

  /** The byte stream is at its end. */
  end(): void {
    if (this.#state !== 'open') return
    this.#state = 'ended'
    if (this.#sink === undefined) this.#readable?.push(null)
    else this.#settle()
  }

  /** Nobody reads it any more: what still comes is dropped. */
  close(error: Error = new Error('closed')): void {
    if (this.#state !== 'open') return
    this.#state = 'closed'
    this.#pumped?.resolve({ kind: 'closed', error })
    this.#hooks.closed()
    this.#readable?.destroy()
    this.#hooks.drained()
  }

  /**
   * From now on the bytes go to `sink`, what is buffered first. Not after reading from `readable`.
   */
  pumpTo(sink: ByteSink): Promise<PumpEnd> {
    const readable = this.#readable
    assert(this.#sink === undefined && !readable?.readableFlowing, 'an output has one reader')
    this.#sink = sink
    this.#pumped = Promise.withResolvers<PumpEnd>()
    if (this.#state === 'closed')
      this.#pumped.resolve({ kind: 'closed', error: new Error('closed') })
    for (;;) {
      const buffered = readable?.read() as Buffer | null | undefined
      if (!buffered) break
      this.#toSink(buffered, () => {})
    }
    if (this.#state === 'ended') this.#settle()
    this.#hooks.drained()
    return this.#pumped.promise
  }

  #readMore(): void {
    if (!this.#readableFull) return
    this.#readableFull = false
    this.#hooks.drained()
  }

  #toSink(bytes: Buffer, release: () => void): void {
    const { length } = bytes
    this.#sinkBytes += length
    this.#sink?.(bytes, (error) => {
      const wasFull = this.full
      this.#sinkBytes -= length
      release()
      if (error) this.#sinkFailed(error)
      else if (this.#state === 'ended') this.#settle()
      else if (wasFull && !this.full) this.#hooks.drained()
    })
  }

  #sinkFailed(error: Error): void {
    if (this.#state === 'ended') this.#pumped?.resolve({ kind: 'closed', error })
    else this.close(error)
  }

  #settle(): void {
    if (this.#sinkBytes === 0) this.#pumped?.resolve({ kind: 'ended' })
  }
}

/** A Node stream as a sink. It is not ended by it, and an error of it ends only the pump. */
export function writableSink(writable: Writable): ByteSink {
  // The error also comes to the callback of the write that met it; unheard it ends the process.
  if (!guarded.has(writable)) {
    guarded.add(writable)
    writable.on('error', () => {})
  }
  return (bytes, done) => {
    writable.write(bytes, done)
  }
}

const guarded = new WeakSet<Writable>()
