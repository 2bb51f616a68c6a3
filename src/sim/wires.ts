/**
 * The real links between simulated machines: what Links, the RPC below it and the state served over
 * it do when connections stall, break and are made anew. A connection is a stream of bytes, in
 * order and nothing lost; while nothing passes between its ends it waits, as TCP does, and whoever
 * uses it must know when to give up.
 */
import { Duplex } from 'node:stream'
import { withSignal } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { Links } from '../cluster/links.ts'
import { type Peer, peerInterface } from '../cluster/peer.ts'
import { rpcServerSession } from '../rpc/listen.ts'
import type { Gate } from './gate.ts'
import type { Network } from './network.ts'
import type { PeerCallsDeps, PeerDoor } from './peers.ts'
import type { World } from './world.ts'

const version = '0'
const retransmitMs = 200

interface WireEnd {
  readonly world: World
  readonly network: Network
  readonly door: PeerCallsDeps['door']
  readonly from: string
  readonly to: string
  /** Of the agent that has this end: what happens here happens behind it. */
  readonly gate: Gate
  /**
   * The same for all of a connection: nothing overtakes, and what is given back by a collector of
   * garbage, whenever that is, draws nothing.
   */
  readonly delayMs: number
}

class Wire extends Duplex {
  readonly #end: WireEnd
  readonly #queue: ((far: Wire) => void)[] = []
  #isUnderWay = false
  far: Wire | undefined

  constructor(end: WireEnd) {
    super({ allowHalfOpen: false })
    this.#end = end
    this.on('error', () => {})
    // Who loses its agent closes what that had, unless it lost its power.
    end.gate.onKill(() => {
      if (end.door(end.from, '').kind !== 'silent') this.destroy()
    })
  }

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#send((far) => far.push(chunk))
    done()
  }

  override _final(done: () => void): void {
    this.#send((far) => far.push(null))
    done()
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#send((far) => far.#reset())
    done(error)
  }

  #reset(): void {
    this.destroy(new HolonError('unavailable', 'the connection was reset'))
  }

  #enter(work: (wire: Wire) => void): void {
    this.#end.gate.enter(() => {
      if (!this.destroyed) work(this)
    })
  }

  #send(work: (far: Wire) => void): void {
    this.#queue.push(work)
    if (this.#isUnderWay) return
    this.#isUnderWay = true
    this.#end.world.after(this.#end.delayMs, () => this.#arrive())
  }

  #arrive(): void {
    const { world, network, door, from, to } = this.#end
    const { far } = this
    const at = door(to, '')
    if (far === undefined || at.kind === 'silent' || !network.passes(from, to)) {
      if (!this.destroyed) world.after(retransmitMs, () => this.#arrive())
      return
    }
    this.#isUnderWay = false
    const works = this.#queue.splice(0)
    if (far.#end.gate.isDead) this.#enter((near) => near.#reset())
    else for (const work of works) far.#enter(work)
  }
}

/** The links of one incarnation of an agent. */
export function wiredLinks(world: World, deps: PeerCallsDeps): Links {
  const { network, self, gate, clock, door } = deps
  const dial = (to: string, _protocol: string, signal: AbortSignal): Promise<Duplex> => {
    const connected = new Promise<Duplex>((resolve, reject) => {
      network.send(self, to, () => {
        const found = door(to, self)
        const back = (settle: () => void) => network.send(to, self, () => gate.enter(settle))
        if (found.kind !== 'open') {
          const refusal = new HolonError('unavailable', `${to} refuses`)
          if (found.kind === 'refused') back(() => reject(refusal))
          return
        }
        const { delayMsMin, delayMsMax } = network.weather
        const delayMs = world.between(delayMsMin, delayMsMax)
        const near = new Wire({ world, network, door, delayMs, from: self, to, gate })
        const far = new Wire({
          world,
          network,
          door,
          delayMs,
          from: to,
          to: self,
          gate: found.gate,
        })
        near.far = far
        far.far = near
        // The kernel answers, whether its agent stands still or not.
        found.gate.enter(() => accept(found, far))
        back(() => resolve(near))
      })
    })
    return withSignal(connected, signal)
  }
  return new Links({ clock, dial, version, nameOf: (machineId) => machineId })
}

type OpenDoor = Extract<PeerDoor, { readonly kind: 'open' }>

function accept({ clock, peer }: OpenDoor, wire: Wire): void {
  const onInternalError = (error: unknown) => {
    throw error
  }
  const options = { version, onInternalError }
  rpcServerSession(clock, wire, peerInterface, () => peer as unknown as Peer, options)
}
