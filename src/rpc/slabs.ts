/**
 * Memory that a socket is read into, used again and again: at gigabytes per second, a fresh buffer
 * for each read costs more than the reading. A slab is free again when everyone who kept a part of
 * it has let go. Invariant: no byte of a slab is overwritten while someone still holds it.
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

export class SlabPool {
  readonly #free: Slab[] = []

  take(): Slab {
    return this.#free.pop()?.reuse() ?? new Slab(this)
  }

  put(slab: Slab): void {
    if (this.#free.length < freeMax) this.#free.push(slab)
  }
}
