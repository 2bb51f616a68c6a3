/**
 * A machine that is in a fleet: its port, its links, what it knows of the others, and its way to
 * the fleet's State, put together.
 */
import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { Random } from '../base/random.ts'
import { recent } from '../base/recent.ts'
import { version } from '../base/version.ts'
import { joinPath } from '../io/files.ts'
import { globalAddresses } from '../io/network.ts'
import type { DirectReader } from '../io/sockets.ts'
import { type RpcServerSession, rpcServerSession } from '../rpc/listen.ts'
import { Scheduler } from '../sched/scheduler.ts'
import type { Beat } from './beat.ts'
import { BundlePeers } from './bundles/bundle-peers.ts'
import type { MachineView } from './etcd/plan.ts'
import type { ServiceRunner } from './etcd/service-runner.ts'
import type { FleetMachine } from './fleet.ts'
import { FleetUnits } from './fleet-units.ts'
import { type FleetRecords, followFleet } from './follow-fleet.ts'
import { parseAddress } from './identity/address.ts'
import { dialMachine } from './identity/dial.ts'
import type { Identity } from './identity/identity.ts'
import { LiveConnections } from './identity/live.ts'
import { firstIssuer, Renewal } from './identity/renewal.ts'
import { type Authority, StateAuthority } from './join/authority.ts'
import { PortIssuer } from './join/client.ts'
import { JoinServer } from './join/server.ts'
import { linkIssuer } from './link-issuer.ts'
import { type Dial, Links } from './links.ts'
import { Liveness } from './liveness.ts'
import { LogKeeper } from './logs-kept/log-keeper.ts'
import { type MachineRecord, Members, type MembersSnapshot } from './members.ts'
import { FleetPlaces } from './names/fleet-places.ts'
import { OwnAddress } from './own-address.ts'
import { peerInterface } from './peer.ts'
import { PeerTarget, type PeerTargetDeps } from './peer-target.ts'
import { type MachinePort, openMachinePort } from './port.ts'
import {
  frontPortOf,
  listenAddress,
  listenPeer,
  type PortSettings,
  peerUrlOf,
  stateSilenceMs,
} from './port-settings.ts'
import { FleetPorts } from './ports/fleet-ports.ts'
import { StateKeeping } from './state-keeping.ts'
import { Relay } from './streams/relay.ts'
import { StreamServer } from './streams/stream-server.ts'

export interface FleetMemberDeps {
  readonly clock: Clock
  readonly random: Random
  readonly report: (message: string) => void
  readonly local: FleetMachine
  readonly service: ServiceRunner
}

export interface FleetMemberOptions {
  readonly stateDir: string
  readonly runtimeDir: string
  readonly identityDir: string
  readonly settings: PortSettings
  readonly membersPath: string
}

/** Beats carry a report that may be so old. */
const reportMs = 900

export class FleetMember implements AsyncDisposable {
  readonly identity: Identity
  readonly members: Members
  readonly links: Links
  readonly relay: Relay
  readonly liveness: Liveness
  readonly keeping: StateKeeping
  readonly units: FleetUnits
  readonly ports: FleetPorts
  readonly bundles: BundlePeers
  /** For names. */
  readonly places: FleetPlaces
  readonly renewal: Renewal
  readonly #deps: FleetMemberDeps
  readonly #options: FleetMemberOptions
  readonly #ends = new AsyncDisposableStack()
  readonly #life = new AbortController()
  readonly #sessions = new Set<RpcServerSession>()
  readonly #live: LiveConnections
  readonly #address: OwnAddress
  #port: MachinePort | undefined

  /** It listens when this resolves; State and the other machines need not answer yet. */
  static async open(
    deps: FleetMemberDeps,
    identity: Identity,
    options: FleetMemberOptions,
  ): Promise<FleetMember> {
    const member = new FleetMember(deps, identity, options)
    try {
      await member.#open()
      return member
    } catch (error) {
      await member[Symbol.asyncDispose]()
      throw error
    }
  }

  private constructor(deps: FleetMemberDeps, identity: Identity, options: FleetMemberOptions) {
    const { clock, random, report, local, service } = deps
    this.#deps = deps
    this.#options = options
    this.identity = identity
    const { machineId } = identity
    this.members = new Members(options.membersPath, (before, now) => this.#changed(before, now))
    const isRemoved = (id: string) => this.members.isRemoved(id)
    this.#live = new LiveConnections(clock, isRemoved)
    const dial: Dial = (id, protocol, signal, reader) => this.#dial(id, protocol, signal, reader)
    this.links = new Links({ clock, dial, version, nameOf: (id) => this.nameOf(id) })
    this.relay = new Relay({ clock, dial })
    const machines = () => this.members.all
    const keepers = () => this.members.stateKeepers
    const ownReport = recent(clock, reportMs, () => local.report())
    this.liveness = new Liveness({
      clock,
      random,
      links: this.links,
      self: () => machineId,
      machines,
      keepers,
      beat: () => this.#beat(ownReport()),
      beatCame: (id, beat) => this.units.beatFrom(id, beat),
      keeperSilent: (keeper) => this.keeping.leave(keeper),
      changed: (id) => this.units.machineChanged(id),
    })
    this.keeping = new StateKeeping(
      {
        clock,
        random,
        report,
        embedded: local.state,
        service,
        links: this.links,
        machines,
        keepers,
        isSilent: (id) => this.liveness.isSilent(id),
        views: () => this.#views(),
      },
      {
        stateDir: options.stateDir,
        runtimeDir: options.runtimeDir,
        machineId,
        listenPeer: listenPeer(options.settings),
        silentMs: stateSilenceMs(options.settings),
        hosts: () => globalAddresses(),
      },
    )
    this.units = new FleetUnits(
      {
        clock,
        random,
        state: this.keeping.state,
        host: local.instanceHost,
        key: identity.key,
        links: this.links,
        liveness: this.liveness,
        self: () => this.self,
        machines,
        keepers,
        ownReport,
        placer: () => new Scheduler(random),
        seed: identity.clusterId,
        report,
      },
      joinPath(options.stateDir, 'fleet-units'),
    )
    this.ports = new FleetPorts(
      {
        clock,
        state: this.keeping.state,
        links: this.links,
        local: local.ports,
        identity,
        machines,
        report,
      },
      {
        identityDir: options.identityDir,
        dir: joinPath(options.stateDir, 'fleet-units'),
        frontPort: () => frontPortOf(this.port),
      },
    )
    this.bundles = new BundlePeers({
      clock,
      store: local.bundles.store,
      links: this.links,
      others: () => this.#othersUp(),
      nameOf: (id) => this.nameOf(id),
    })
    this.places = new FleetPlaces({
      clock,
      state: this.keeping.state,
      links: this.links,
      self: machineId,
      machines,
      ports: this.ports,
      sightings: (signal) => this.liveness.sightings(signal),
      stateHealth: (signal) => this.keeping.health(signal),
      report,
    })
    this.#address = new OwnAddress({
      clock,
      random,
      state: this.keeping.state,
      settings: options.settings,
      port: () => this.port,
      record: () => this.members.byId(machineId),
      onGone: (hosts) => this.#live.endFrom(hosts),
      report,
    })
    const issuer = firstIssuer([
      this.#authority,
      linkIssuer({ clock, links: this.links, keepers, self: machineId }),
      new PortIssuer(clock, identity, () => this.#addressesToAsk()),
    ])
    this.renewal = new Renewal({ clock, random, issuer }, identity, (error) =>
      report(error.message),
    )
  }

  /** This machine's record; before it was heard, what its key alone says. */
  get self(): MachineRecord {
    const { machineId, key } = this.identity
    return (
      this.members.byId(machineId) ?? {
        machineId,
        name: machineId,
        publicKey: key.publicKey,
        addresses: [],
        zone: '',
        labels: {},
        version,
        joinedAtMs: 0,
      }
    )
  }

  /** The port that it listens on. */
  get port(): number {
    return this.#port?.port ?? 0
  }

  nameOf(machineId: string): string {
    return this.members.byId(machineId)?.name ?? machineId
  }

  /** As far as this machine knows; only those that keep the state know better than that. */
  #othersUp(): readonly string[] {
    const { machineId } = this.identity
    const others = this.members.all.filter((each) => each.machineId !== machineId)
    const isUp = (id: string) => !this.liveness.isKeeper || this.liveness.presence(id).up
    return others.map((each) => each.machineId).filter(isUp)
  }

  #beat(report: Beat['report']): Beat {
    const { fitness, sequence } = this.units
    return { report, sequence, ...(fitness === undefined ? {} : { fitness }) }
  }

  /** Where others should find this machine, as it is now. */
  ownAddresses(): readonly string[] {
    return this.#address.now()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#life.abort(new HolonError('unavailable', 'the agent is stopping'))
    await this.#ends.disposeAsync()
  }

  async #open(): Promise<void> {
    const { clock, local } = this.#deps
    const { identity } = this
    // In this order they end, last first.
    this.#ends.use(this.keeping)
    this.#ends.use(this.#live)
    this.#ends.use(this.links)
    this.#ends.use(this.relay)
    this.#ends.use(this.renewal)
    const streams = this.#ends.use(new StreamServer(clock, local.attach))
    const joins = this.#ends.use(this.#joinServer())
    this.#ends.defer(() => this.#endSessions())
    const isRemoved = (id: string) => this.members.isRemoved(id)
    this.#port = await openMachinePort(
      { clock, identity, isRemoved, live: this.#live },
      {
        onRpc: ({ socket }, machineId) => this.#serve(socket, machineId),
        onStream: ({ socket }) => streams.accept(socket),
        onJoin: (connection) => joins.accept(connection),
      },
      listenAddress(this.#options.settings),
    )
    this.#ends.use(this.#port)
    this.#ends.use(this.liveness)
    this.#ends.use(this.units)
    this.#ends.use(this.ports)
    this.#ends.use(local.bundles.join(this.bundles))
    this.#ends.use(this.places)
    this.#ends.use(local.shipLogs(new LogKeeper(clock, this)))
    this.keeping.start()
    this.liveness.start()
    this.units.start()
    this.ports.start()
    const { report } = this.#deps
    const followed = { clock, state: this.keeping.state, report }
    void followFleet(followed, (records) => this.#learn(records), this.#life.signal)
    void this.#address.keep(this.#life.signal)
  }

  // ---- links

  async #dial(
    machineId: string,
    protocol: 'rpc' | 'stream',
    signal: AbortSignal,
    reader?: DirectReader,
  ): Promise<Duplex> {
    const { clock } = this.#deps
    const machine = this.members.byId(machineId)
    if (machine === undefined) {
      throw new HolonError('not_found', `there is no machine ${machineId} in the fleet`)
    }
    const isRemoved = (id: string) => this.members.isRemoved(id)
    const connection = await dialMachine(
      { clock, identity: this.identity, isRemoved, live: this.#live },
      {
        machineId,
        addresses: machine.addresses,
        protocol: protocol === 'rpc' ? 'link' : 'stream',
        signal,
        ...(reader === undefined ? {} : { reader }),
      },
    )
    return connection.socket
  }

  #serve(socket: Duplex, machineId: string): void {
    const { clock, report } = this.#deps
    const onInternalError = (error: unknown, action: string) => {
      report(`bug: ${action}: ${error instanceof Error ? error.stack : String(error)}`)
    }
    const target = new PeerTarget(this.#peerDeps, machineId)
    const session = rpcServerSession(clock, socket, peerInterface, () => target, {
      version,
      onInternalError,
      limits: {
        heartbeatIntervalMs: limits.peerHeartbeatIntervalMs,
        heartbeatTimeoutMs: limits.peerHeartbeatTimeoutMs,
      },
    })
    this.#sessions.add(session)
    void session.closed.then(() => this.#sessions.delete(session))
  }

  async #endSessions(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session[Symbol.asyncDispose]()))
  }

  get #peerDeps(): PeerTargetDeps {
    const { local } = this.#deps
    return {
      partForPeer: (caller) => local.partForPeer(caller),
      report: () => local.report(),
      liveness: this.liveness,
      units: this.units,
      ports: this.ports.feed,
      bundles: local.bundles.store,
      bundlePeers: this.bundles,
      keepLog: (machineId, pieces) => local.logCopies.keep(pieces, machineId, this.members),
      renew: (machineId, publicKey, signal) =>
        this.#authority.issue(machineId, publicKey, { signal }),
      stateService: () => this.keeping.service(),
      stateMember: this.keeping.member,
      // Before anybody is known to keep it, any member of the fleet may be the one.
      keepsState: (id) =>
        this.members.stateKeepers.length === 0 || this.members.stateKeepers.includes(id),
    }
  }

  // ---- certificates

  #joinServer(): JoinServer {
    const { clock, random, report } = this.#deps
    return new JoinServer({
      clock,
      random,
      state: this.keeping.state,
      writer: `agent ${this.self.name}`,
      identity: this.identity,
      authority: this.#authority,
      isRemoved: (id) => this.members.isRemoved(id),
      version,
      onInternalError: (error) => report(`bug: serve a join: ${String(error)}`),
    })
  }

  /** Signs where State is at hand; `unsupported` elsewhere. */
  get #authority(): Authority {
    const { clock } = this.#deps
    const at = async () => new StateAuthority(clock, this.keeping.direct, this.identity.clusterId)
    return {
      issue: async (id, publicKey, options) => (await at()).issue(id, publicKey, options),
      sign: async (id, publicKey, options) => (await at()).sign(id, publicKey, options),
    }
  }

  #addressesToAsk(): readonly string[] {
    const keepers = new Set(this.members.stateKeepers)
    const others = this.members.all.filter((m) => m.machineId !== this.identity.machineId)
    return [
      ...others.filter(({ machineId }) => keepers.has(machineId)),
      ...others.filter(({ machineId }) => !keepers.has(machineId)),
    ].flatMap(({ addresses }) => addresses)
  }

  // ---- what State says

  async #learn({ machines, removed, engine }: FleetRecords): Promise<void> {
    const stateKeepers =
      engine === undefined
        ? this.keeping.isKeeper
          ? [this.identity.machineId]
          : this.members.stateKeepers
        : engine.members.filter(({ learner }) => !learner).map(({ machineId }) => machineId)
    // An empty answer is none: this machine itself is in the fleet.
    if (machines.length > 0) this.members.update({ machines, removed, stateKeepers })
    if (engine !== undefined) await this.keeping.meet(engine)
  }

  #changed(before: MembersSnapshot, now: MembersSnapshot): void {
    const present = new Map(now.machines.map((machine) => [machine.machineId, machine]))
    for (const { machineId, name, addresses } of before.machines) {
      const machine = present.get(machineId)
      if (machine === undefined) this.#forget(machineId, name)
      else if (machine.addresses.join() !== addresses.join()) this.#moved(machine, addresses)
    }
    this.ports.machinesChanged()
    const known = new Set([...before.machines.map((each) => each.machineId), ...before.removed])
    for (const machineId of now.removed) {
      if (!known.has(machineId) || present.has(machineId)) this.#forget(machineId, undefined)
    }
  }

  /** Without a name: its record went earlier, which was told. */
  #forget(machineId: string, name: string | undefined): void {
    if (machineId === this.identity.machineId) {
      this.#deps.report(
        'this machine was removed from the fleet: others refuse it. What runs here goes on; ' +
          '`holon leave` puts it on its own',
      )
      return
    }
    const why = `${name ?? machineId} is not in the fleet any more`
    if (name !== undefined) this.#deps.report(why)
    this.links.drop(machineId, why)
    this.relay.drop(machineId)
    this.#live.revoke(machineId)
  }

  #moved({ machineId, addresses }: MachineRecord, before: readonly string[]): void {
    const hosts = (all: readonly string[]) => new Set(all.map((each) => parseAddress(each).host))
    this.#live.endTo(machineId, hosts(before).difference(hosts(addresses)))
    this.links.retryNow(machineId)
  }

  #views(): readonly MachineView[] {
    const sightings = new Map(this.liveness.own().map((each) => [each.machineId, each.report]))
    return this.members.all.flatMap(({ machineId, name, zone, addresses }) => {
      const [address] = addresses
      if (address === undefined) return []
      const own = machineId === this.identity.machineId
      const report = own ? this.#deps.local.report() : sightings.get(machineId)
      const canHost = report?.canKeepState === true
      const peerUrl = peerUrlOf(address)
      return [{ machineId, name, zone, peerUrl, canHost, ...this.liveness.presence(machineId) }]
    })
  }
}
