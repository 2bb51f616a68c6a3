/**
 * The connections to other machines that are open now, whoever opened them, so that a removed
 * machine's end at once and those with an expired certificate end soon.
 *
 * A link for calls ends with the certificate it was opened with: it comes back by itself, with the
 * renewed one. A byte stream does not come back, so it may live for as long as its machine goes on
 * showing valid certificates on other connections.
 *
 * When either end loses the address that a connection began with, no packet of it will arrive any
 * more, and nobody says so. Waiting for its silence would only delay the next one.
 */
import type { Duplex } from 'node:stream'
import type { Clock, Timer } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'

interface Live {
  readonly socket: Duplex
  /** Undefined: does not end with its own certificate. */
  readonly notAfterMs: number | undefined
  readonly between: Ends
}

/** The addresses of a connection's two ends; "" where they are not known. */
export interface Ends {
  readonly localAddress: string
  readonly remoteAddress: string
}

interface Machine {
  readonly connections: Set<Live>
  /** Of the newest certificate it has shown. */
  notAfterMs: number
}

const checkMs = 3600_000

export class LiveConnections implements Disposable {
  readonly #clock: Clock
  readonly #isRemoved: (machineId: string) => boolean
  readonly #machines = new Map<string, Machine>()
  #timer: Timer | undefined

  constructor(clock: Clock, isRemoved: (machineId: string) => boolean) {
    this.#clock = clock
    this.#isRemoved = isRemoved
  }

  /** How many there are to this machine, or altogether. */
  count(machineId?: string): number {
    if (machineId !== undefined) return this.#machines.get(machineId)?.connections.size ?? 0
    let count = 0
    for (const { connections } of this.#machines.values()) count += connections.size
    return count
  }

  /** Watches over a checked connection until it closes. */
  add(
    machineId: string,
    socket: Duplex,
    how: {
      readonly kind: 'link' | 'stream'
      readonly notAfterMs: number
      readonly between?: Ends
    },
  ): void {
    const machine = this.#machines.get(machineId) ?? { connections: new Set(), notAfterMs: 0 }
    machine.notAfterMs = Math.max(machine.notAfterMs, how.notAfterMs)
    this.#machines.set(machineId, machine)
    const notAfterMs = how.kind === 'link' ? how.notAfterMs : undefined
    const { localAddress = '', remoteAddress = '' } = how.between ?? {}
    const between = { localAddress, remoteAddress }
    const live: Live = { socket, notAfterMs, between }
    machine.connections.add(live)
    socket.once('close', () => {
      machine.connections.delete(live)
      if (machine.connections.size === 0) this.#machines.delete(machineId)
    })
    this.#arm()
  }

  /** Ends all connections to a machine; how many those were. */
  revoke(machineId: string): number {
    const machine = this.#machines.get(machineId)
    if (machine === undefined) return 0
    const count = machine.connections.size
    for (const { socket } of machine.connections) socket.destroy()
    return count
  }

  /** This host has lost these addresses. */
  endFrom(localAddresses: ReadonlySet<string>): void {
    for (const { connections } of this.#machines.values()) {
      for (const { socket, between } of connections) {
        if (localAddresses.has(between.localAddress)) socket.destroy()
      }
    }
  }

  /** That machine has lost these addresses. */
  endTo(machineId: string, remoteAddresses: ReadonlySet<string>): void {
    for (const { socket, between } of this.#machines.get(machineId)?.connections ?? []) {
      if (remoteAddresses.has(between.remoteAddress)) socket.destroy()
    }
  }

  /** Ends what has expired or was removed. Runs by itself every hour. */
  check(): void {
    const nowMs = this.#clock.wallMs() - limits.clockGraceMs
    for (const [machineId, machine] of this.#machines) {
      if (this.#isRemoved(machineId)) {
        this.revoke(machineId)
        continue
      }
      for (const { socket, notAfterMs } of machine.connections) {
        // Two checks more, in which the links come back and bring the new certificate.
        if (nowMs > (notAfterMs ?? machine.notAfterMs + 2 * checkMs)) socket.destroy()
      }
    }
  }

  [Symbol.dispose](): void {
    this.#timer?.[Symbol.dispose]()
    this.#timer = undefined
    for (const machineId of [...this.#machines.keys()]) this.revoke(machineId)
  }

  #arm(): void {
    if (this.#timer !== undefined) return
    const tick = () => {
      this.#timer = undefined
      this.check()
      if (this.#machines.size > 0) this.#arm()
    }
    this.#timer = this.#clock.timer(checkMs, tick, { background: true })
  }
}
