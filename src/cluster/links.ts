/**
 * Links to other machines: opened when first needed, one for each machine, shared by everyone here,
 * kept warm, and made anew when they break.
 *
 * Invariants: at most one attempt to connect to a machine at a time, and after a failed one a pause
 * in which everybody gets its error at once, so that a dead machine costs a caller nothing but the
 * first wait. A caller's signal ends its waiting, never the attempt that others wait for too. When
 * a link ends, whoever ended it, its calls are `unavailable`: their callers cancelled nothing.
 */
import type { Duplex } from 'node:stream'
import { type Clock, deadline, withSignal } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { DirectReader } from '../io/sockets.ts'
import { type RpcClient, rpcClient } from '../rpc/connect.ts'
import type { Remote } from '../rpc/remote.ts'
import { type MachinePart, type Peer, type PeerCaller, peerInterface } from './peer.ts'

/**
 * Connects to a machine and proves that it is that one. `unavailable` when it cannot be reached,
 * `permission_denied` when who answers is another one, `not_found` when no such machine is known.
 */
export type Dial = (
  machineId: string,
  protocol: 'rpc' | 'stream',
  signal: AbortSignal,
  reader?: DirectReader,
) => Promise<Duplex>

export interface LinksDeps {
  readonly clock: Clock
  readonly dial: Dial
  /** This program's version. */
  readonly version: string
  /** For messages: the name of a machine. */
  readonly nameOf: (machineId: string) => string
}

interface Link {
  readonly client: RpcClient<Peer>
  readonly parts: Map<string, Promise<Remote<MachinePart>>>
  usedAtMs: number
}

interface Failure {
  readonly error: HolonError
  readonly untilMs: number
  readonly pauseMs: number
}

/** What is kept for one machine. */
interface Place {
  link?: Link | undefined
  dialing?: Promise<Link> | undefined
  failure?: Failure | undefined
  seenAtMs?: number
}

const firstPauseMs = 100
const pauseMaxMs = 1000

export class Links implements AsyncDisposable {
  readonly #deps: LinksDeps
  readonly #places = new Map<string, Place>()
  readonly #life = new AbortController()

  constructor(deps: LinksDeps) {
    this.#deps = deps
  }

  /** Its main object, on a link that is made if there is none. Owned by the link. */
  async peer(machineId: string, signal: AbortSignal): Promise<Remote<Peer>> {
    return (await this.#link(machineId, signal)).client.main
  }

  /** Its part of the system for `caller`. Owned by the link. */
  async part(
    machineId: string,
    caller: PeerCaller,
    signal: AbortSignal,
  ): Promise<Remote<MachinePart>> {
    const { client, parts } = await this.#link(machineId, signal)
    const key = caller.user ?? ''
    let part = parts.get(key)
    if (part === undefined) {
      part = this.#askPart(client, caller)
      parts.set(key, part)
      part.catch(() => parts.delete(key))
    }
    return withSignal(part, signal)
  }

  /** Tells that a machine was heard of, by a beat of its own or an answer. */
  seen(machineId: string): void {
    this.#place(machineId).seenAtMs = this.#deps.clock.wallMs()
  }

  /** Wall-clock time of its last sign of life here; undefined when there was none. */
  seenAtMs(machineId: string): number | undefined {
    return this.#places.get(machineId)?.seenAtMs
  }

  /** Ends the link to a machine, which is not to be talked to any more. `why` is for its calls. */
  drop(machineId: string, why: string): void {
    const place = this.#places.get(machineId)
    this.#places.delete(machineId)
    void place?.link?.client.end(new HolonError('unavailable', why))
  }

  /** The next call tries at once, whatever failed before: its address may have changed. */
  retryNow(machineId: string): void {
    const place = this.#places.get(machineId)
    if (place !== undefined) place.failure = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const stopping = new HolonError('unavailable', 'the agent is stopping')
    this.#life.abort(stopping)
    const open = [...this.#places.values()].flatMap(({ link }) =>
      link === undefined ? [] : [link],
    )
    this.#places.clear()
    await Promise.all(open.map(({ client }) => client.end(stopping)))
  }

  #place(machineId: string): Place {
    let place = this.#places.get(machineId)
    if (place === undefined) {
      place = {}
      this.#places.set(machineId, place)
    }
    return place
  }

  async #link(machineId: string, signal: AbortSignal): Promise<Link> {
    const place = this.#place(machineId)
    const { link, failure } = place
    const nowMs = this.#deps.clock.nowMs()
    if (link !== undefined) {
      link.usedAtMs = nowMs
      return link
    }
    if (place.dialing === undefined) {
      if (failure !== undefined && nowMs < failure.untilMs) throw failure.error
      place.dialing = this.#open(machineId, place)
      // Who waits hears of it; nobody may be waiting any more.
      place.dialing.catch(() => {})
    }
    return withSignal(place.dialing, signal)
  }

  async #open(machineId: string, place: Place): Promise<Link> {
    const { clock, version, nameOf } = this.#deps
    using limit = deadline(clock, limits.dialTimeoutMs, this.#life.signal)
    try {
      const socket = await this.#deps.dial(machineId, 'rpc', limit.signal)
      const client = rpcClient(clock, socket, peerInterface, {
        version,
        peer: `the agent of ${nameOf(machineId)}`,
        limits: {
          heartbeatIntervalMs: limits.peerHeartbeatIntervalMs,
          heartbeatTimeoutMs: limits.peerHeartbeatTimeoutMs,
        },
      })
      const link: Link = { client, parts: new Map(), usedAtMs: clock.nowMs() }
      place.link = link
      place.failure = undefined
      this.seen(machineId)
      void client.closed.then(() => {
        if (place.link === link) place.link = undefined
      })
      this.#closeSurplus()
      return link
    } catch (thrown) {
      const error = unreachable(nameOf(machineId), thrown)
      const pauseMs = Math.min(2 * (place.failure?.pauseMs ?? firstPauseMs / 2), pauseMaxMs)
      place.failure = { error, pauseMs, untilMs: clock.nowMs() + pauseMs }
      throw error
    } finally {
      place.dialing = undefined
    }
  }

  #askPart(client: RpcClient<Peer>, caller: PeerCaller): Promise<Remote<MachinePart>> {
    const limit = deadline(this.#deps.clock, limits.callTimeoutMs, this.#life.signal)
    const asked = client.main.part(caller, limit) as Promise<Remote<MachinePart>>
    return asked.finally(() => limit[Symbol.dispose]())
  }

  /** Beyond the bound those go that were not used for longest and have nothing in flight. */
  #closeSurplus(): void {
    const open = [...this.#places.entries()].flatMap(([id, { link }]) =>
      link === undefined ? [] : [{ id, link }],
    )
    if (open.length <= limits.linksMax) return
    const idle = open
      .filter(({ link }) => link.client.stats.callsInFlight === 0)
      .sort((a, b) => a.link.usedAtMs - b.link.usedAtMs)
    for (const { id } of idle.slice(0, open.length - limits.linksMax)) {
      this.drop(id, `the link to ${this.#deps.nameOf(id)} was not used and gave way to others`)
    }
  }
}

function unreachable(name: string, thrown: unknown): HolonError {
  const { code, message, details, retryable } = asHolonError(thrown)
  if (code === 'permission_denied' || code === 'not_found') {
    return new HolonError(code, message, { details, cause: thrown })
  }
  return new HolonError('unavailable', `${name} cannot be reached: ${message}`, {
    retryable: retryable || code !== 'internal',
    details,
    cause: thrown,
  })
}
