/**
 * Which ports instances listen on, `$PORT`. Below those that Linux gives to outgoing connections
 * by itself, so that none is taken by chance; each is tried before it is given away.
 */
import { HolonError } from '../../base/errors.ts'

export interface PortRange {
  readonly first: number
  readonly last: number
}

/** 8,000 instances on one machine. */
export const instancePorts: PortRange = { first: 20_000, last: 27_999 }

export class PortNumbers {
  readonly #range: PortRange
  readonly #isFree: (port: number) => Promise<boolean>
  #next: number

  /** Begins somewhere in the range: what was in use a moment ago is not used again at once. */
  constructor(isFree: (port: number) => Promise<boolean>, startAt: number, range = instancePorts) {
    this.#isFree = isFree
    this.#range = range
    this.#next = range.first + (startAt % (range.last - range.first + 1))
  }

  /** One that nobody listens on and that is not in `taken`. `exhausted` when there is none. */
  async take(taken: ReadonlySet<number>): Promise<number> {
    const { first, last } = this.#range
    for (let tried = first; tried <= last; tried++) {
      const port = this.#next
      this.#next = port === last ? first : port + 1
      if (!taken.has(port) && (await this.#isFree(port))) return port
    }
    throw new HolonError('exhausted', `no port from ${first} to ${last} is free for an instance`)
  }
}
