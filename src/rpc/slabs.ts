/**
 * Memory that sockets are read into, used again and again: at gigabytes per second, a fresh buffer
 * for each read costs more than the reading, and so does one for each of a thousand short runs. A
 * slab is free again when everyone who kept a part of it has let go. Invariant: no byte of a slab
 * is overwritten while someone still holds it.
 */
import { assert } from '../base/assert.ts'

/** As much as a unix socket's buffer holds by default: one read empties it. */
const slabBytes = 256 * 1024
/** Slabs kept for later; more than this are left to the garbage collector. */
const freeMax = 8

export class Slab {
  readonly buffer = Buffer.allocUnsafeSlow(slabBytes)
  readonly #pool: SlabPool
  #holders = 1

  constructor(pool: SlabPool) {
    this.#pool = pool
  }

  hold(): void {
    this.#holders++
  }

  /** Ends one hold; the last one gives the slab back. */
  release(): void {
    assert(this.#holders > 0, 'a slab is released once for each hold')
    if (--this.#holders === 0) this.#pool.put(this)
  }

  /** The slab as new, for one holder. */
  reuse(): this {
    this.#holders = 1
    return this
  }
}

class SlabPool {
  readonly #free: Slab[] = []

  take(): Slab {
    return this.#free.pop()?.reuse() ?? new Slab(this)
  }

  put(slab: Slab): void {
    if (this.#free.length < freeMax) this.#free.push(slab)
  }
}

/** Reads a socket into slabs (a `DirectReader`), one for each read. */
export class SlabReader {
  /**
   * Takes what was read, a part of `slab`, which is held for it during the call; false pauses the
   * socket. Another may take over between two reads, but not have the slab: it is the socket's.
   */
  take: (bytes: Buffer, slab: Slab) => boolean
  #slab: Slab | undefined

  constructor(take: (bytes: Buffer, slab: Slab) => boolean) {
    this.take = take
  }

  buffer(): Buffer {
    this.#slab ??= slabs.take()
    return this.#slab.buffer
  }

  chunk(bytes: Buffer): boolean {
    const slab = this.#slab
    assert(slab !== undefined, 'what was read lies in a slab')
    this.#slab = undefined
    const more = this.take(bytes, slab)
    slab.release()
    return more
  }
}

/** The process's: what one byte stream has let go of serves the next. */
export const slabs = new SlabPool()
