/**
 * Whether another machine's front is still there, while connections to it are open: a byte to it
 * and one back, again and again, on a connection of their own. When a machine dies nobody says so,
 * and what is under way to it would wait for minutes.
 */
import type { Duplex } from 'node:stream'
import type { Clock, Timer } from '../base/clock.ts'
import { limits } from '../base/limits.ts'

export class Pulse implements Disposable {
  readonly #clock: Clock
  readonly #socket: Duplex
  readonly #lost: () => void
  #heardMs: number
  #timer: Timer | undefined

  /** `socket` is its own; `lost` is called once, when the other side has been silent for too long. */
  constructor(clock: Clock, socket: Duplex, lost: () => void) {
    this.#clock = clock
    this.#socket = socket
    this.#lost = lost
    this.#heardMs = clock.nowMs()
    socket.on('data', () => {
      this.#heardMs = clock.nowMs()
    })
    socket.on('error', () => this.#end())
    socket.once('close', () => this.#end())
    this.#beat()
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    this.#socket.destroy()
  }

  #beat(): void {
    if (this.#clock.nowMs() - this.#heardMs > limits.frontSilenceMs) {
      this.#end()
      return
    }
    this.#socket.write('?')
    this.#timer = this.#clock.timer(limits.frontPulseMs, () => this.#beat(), { background: true })
  }

  #end(): void {
    if (this.#timer === undefined) return
    this[Symbol.dispose]()
    this.#lost()
  }
}
