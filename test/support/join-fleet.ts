/**
 * A fleet of one machine that listens on loopback, with everything real but the state's disk: what
 * tests of joining, renewing and the port knock at.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Clock, Timer } from '../../src/base/clock.ts'
import { version } from '../../src/base/version.ts'
import { type Identity, saveIdentity } from '../../src/cluster/identity/identity.ts'
import { LiveConnections } from '../../src/cluster/identity/live.ts'
import { loadOrMakeMachineKey, type MachineKey } from '../../src/cluster/identity/machine-key.ts'
import { StateAuthority } from '../../src/cluster/join/authority.ts'
import { type JoinOptions, type JoinResult, joinFleet } from '../../src/cluster/join/client.ts'
import { foundFleet } from '../../src/cluster/join/found.ts'
import { createInvite } from '../../src/cluster/join/invites.ts'
import { JoinServer } from '../../src/cluster/join/server.ts'
import { type MachinePort, openMachinePort } from '../../src/cluster/port.ts'
import { realClock } from '../../src/io/clock.ts'
import { realRandom } from '../../src/io/random.ts'
import type { TlsConnection } from '../../src/io/tls.ts'
import type { Chaos } from '../../src/state/chaos.ts'
import { SimulatedState, SimulatedStore } from '../../src/state/simulated.ts'

/** The real clock, with a wall that can be moved. */
export class MovableClock implements Clock {
  shiftMs = 0
  nowMs = (): number => realClock.nowMs()
  wallMs = (): number => realClock.wallMs() + this.shiftMs
  timer(delayMs: number, fire: () => void, options?: { readonly background?: boolean }): Timer {
    return realClock.timer(delayMs, fire, options)
  }
}

export interface Accepted {
  readonly kind: 'rpc' | 'stream'
  readonly connection: TlsConnection
  readonly machineId: string
}

export class JoinFleet implements AsyncDisposable {
  readonly dir = mkdtempSync(join(tmpdir(), 'holon-join-'))
  readonly clock = new MovableClock()
  readonly state: SimulatedState
  readonly removed = new Set<string>()
  readonly accepted: Accepted[] = []
  readonly bugs: unknown[] = []
  readonly #life = new AbortController()
  #parts:
    | {
        readonly identity: Identity
        readonly live: LiveConnections
        readonly joins: JoinServer
        readonly port: MachinePort
      }
    | undefined

  constructor(chaos: Partial<Chaos> = {}) {
    const deps = { clock: realClock, random: realRandom }
    this.state = new SimulatedState(deps, new SimulatedStore(), chaos)
  }

  static async open(chaos: Partial<Chaos> = {}): Promise<JoinFleet> {
    const fleet = new JoinFleet(chaos)
    await fleet.#open()
    return fleet
  }

  get signal(): AbortSignal {
    return this.#life.signal
  }

  get identity(): Identity {
    return this.#have().identity
  }

  get live(): LiveConnections {
    return this.#have().live
  }

  get joins(): JoinServer {
    return this.#have().joins
  }

  get port(): MachinePort {
    return this.#have().port
  }

  get address(): string {
    return `127.0.0.1:${this.port.port}`
  }

  key(name: string): MachineKey {
    return loadOrMakeMachineKey(join(this.dir, name))
  }

  async invite(wish: { readonly uses?: number; readonly ttlMs?: number } = {}): Promise<string> {
    const deps = { clock: this.clock, random: realRandom }
    const { caPem } = this.identity
    const options = { ...wish, caPem, createdBy: 'n1', signal: this.signal }
    return (await createInvite(deps, this.state, options)).token
  }

  /** Joins as a machine of that name, whose clock is `clock`. */
  join(
    name: string,
    token: string,
    options: Partial<JoinOptions> & { readonly clock?: Clock } = {},
  ): Promise<JoinResult> {
    return joinFleet(options.clock ?? this.clock, {
      address: this.address,
      token,
      key: this.key(name),
      name,
      zone: '',
      labels: {},
      addresses: [],
      listenPort: 4656,
      version,
      signal: this.signal,
      ...options,
    })
  }

  /** A machine that has joined. */
  async member(name: string): Promise<Identity> {
    const { papers } = await this.join(name, await this.invite())
    return saveIdentity(join(this.dir, name), this.key(name), papers)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort()
    const { port, live, joins } = this.#have()
    await port[Symbol.asyncDispose]()
    joins[Symbol.dispose]()
    live[Symbol.dispose]()
    await until(
      () => port.stats.connections === 0 && joins.size === 0 && live.count() === 0,
      () => `left: ${JSON.stringify(port.stats)}, joins ${joins.size}, live ${live.count()}`,
    )
    await this.state.close()
    rmSync(this.dir, { recursive: true })
    assert.deepEqual(this.bugs, [])
  }

  async #open(): Promise<void> {
    const { clock, state } = this
    const isRemoved = (id: string) => this.removed.has(id)
    const key = this.key('n1')
    const papers = await foundFleet(
      { clock, random: realRandom, state },
      key,
      { name: 'n1', addresses: [], zone: '', labels: {}, version },
      { signal: this.signal },
    )
    const identity = saveIdentity(join(this.dir, 'n1'), key, papers)
    const live = new LiveConnections(clock, isRemoved)
    const joins = new JoinServer({
      clock,
      random: realRandom,
      state,
      writer: 'agent n1',
      identity,
      authority: new StateAuthority(clock, state, identity.clusterId),
      isRemoved,
      version,
      onInternalError: (error) => this.bugs.push(error),
    })
    const port = await openMachinePort(
      { clock, identity, isRemoved, live },
      {
        onRpc: (connection, machineId) => this.#accept('rpc', connection, machineId),
        onStream: (connection, machineId) => this.#accept('stream', connection, machineId),
        onJoin: (connection) => joins.accept(connection),
      },
      { host: '127.0.0.1', port: 0 },
    )
    this.#parts = { identity, live, joins, port }
  }

  #accept(kind: Accepted['kind'], connection: TlsConnection, machineId: string): void {
    this.accepted.push({ kind, connection, machineId })
    connection.socket.resume()
    connection.socket.on('end', () => connection.socket.end())
  }

  #have() {
    assert.ok(this.#parts, 'the fleet is open')
    return this.#parts
  }
}

/** Polls; fails with what `state` says after ten seconds. */
export async function until(holds: () => boolean, state: () => string): Promise<void> {
  const endMs = realClock.nowMs() + 10_000
  while (!holds()) {
    assert.ok(realClock.nowMs() < endMs, state())
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
