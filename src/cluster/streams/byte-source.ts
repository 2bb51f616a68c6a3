/**
 * Where a relay's bytes come from. A socket that this machine connected is read into slabs, used
 * again and again, several reads at a time: at gigabytes per second a fresh buffer for each read
 * costs more than the reading. One that was accepted is read as Node does it.
 */
import type { Duplex } from 'node:stream'
import type { DirectReader } from '../../io/sockets.ts'
import { type Slab, slabs } from '../../rpc/slabs.ts'

/** The bytes are valid during the call; longer for who holds the slab, or if there is none. */
export type TakeBytes = (bytes: Buffer, slab?: Slab) => void

/** What is left of a slab that is too little to read into. */
const roomMin = 64 * 1024
/** Handed on at once; less waits for what else comes in the same turn of the event loop. */
const handOnBytes = 128 * 1024

export class ByteSource {
  /** To be given to the connection that this shall read; without it, `read` listens as usual. */
  readonly reader: DirectReader = {
    buffer: () => this.#room(),
    chunk: (bytes) => this.#came(bytes.length),
  }
  #take: TakeBytes | undefined
  #slab: Slab | undefined
  #from = 0
  #to = 0
  #asked = false

  /** Hands on what `socket` reads, from now on until it closes, or the result is called. */
  read(socket: Duplex, take: TakeBytes): () => void {
    this.#take = take
    // Only one of the two ever brings bytes.
    return listen(socket, {
      data: (bytes: Buffer) => take(bytes),
      end: () => this.#handOn(),
      close: () => {
        this.#handOn()
        this.#slab?.release()
        this.#slab = undefined
        this.#take = undefined
      },
    })
  }

  #room(): Buffer {
    if (this.#slab !== undefined && this.#slab.buffer.length - this.#to < roomMin) {
      this.#handOn()
      this.#slab.release()
      this.#slab = undefined
    }
    if (this.#slab === undefined) {
      this.#slab = slabs.take()
      this.#from = 0
      this.#to = 0
    }
    return this.#slab.buffer.subarray(this.#to)
  }

  #came(bytes: number): boolean {
    this.#to += bytes
    if (this.#to - this.#from >= handOnBytes) this.#handOn()
    else if (!this.#asked) {
      this.#asked = true
      process.nextTick(() => this.#handOn())
    }
    return true
  }

  #handOn(): void {
    this.#asked = false
    const slab = this.#slab
    if (slab === undefined || this.#to === this.#from) return
    const bytes = slab.buffer.subarray(this.#from, this.#to)
    this.#from = this.#to
    this.#take?.(bytes, slab)
  }
}

type Listeners = {
  readonly [event in 'data' | 'drain' | 'end' | 'error' | 'close']?: (bytes: Buffer) => void
}

/** Adds listeners; the result takes them off again. */
export function listen(socket: Duplex, listeners: Listeners): () => void {
  const entries = Object.entries(listeners)
  for (const [event, listener] of entries) socket.on(event, listener)
  return () => {
    for (const [event, listener] of entries) socket.off(event, listener)
  }
}
