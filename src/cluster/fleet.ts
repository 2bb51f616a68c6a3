/**
 * The fleet as one agent has it: a member of one, or alone, which is a fleet of one machine without
 * a key, a port or links. The first invitation makes it a member while it runs; joining and leaving
 * have everything opened anew, since the machine may then have another name.
 */
import type { Duplex } from 'node:stream'
import { type Clock, deadline } from '../base/clock.ts'
import { asHolonError, HolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { version } from '../base/version.ts'
import { type Directories, identityDir, membersPath } from '../io/paths.ts'
import type { Membership } from '../kernel/kernel.ts'
import type { MachineReport, SystemStatus } from '../kernel/types.ts'
import type { State } from '../state/port.ts'
import type { MachineBundles } from './bundles/bundle-peers.ts'
import type { ServiceRunner } from './etcd/service-runner.ts'
import type { FleetSystemDeps } from './fleet-system.ts'
import { type Identity, loadIdentity } from './identity/identity.ts'
import { Links } from './links.ts'
import type { LogKeeping, LogStore } from './logs-kept/kept-log.ts'
import { FleetMember } from './member.ts'
import { type MachineRecord, Members } from './members.ts'
import { MembershipTarget } from './membership-target.ts'
import { Names } from './names/names.ts'
import type { LocalNames } from './names/sources.ts'
import type { MachinePart, PeerCaller } from './peer.ts'
import { type PortSettings, settlePort } from './port-settings.ts'
import type { LocalPorts } from './ports/served.ts'
import type { InstanceHost } from './reconcile/host.ts'
import type { AttachRun } from './streams/stream-server.ts'

/** This machine, as the fleet uses it. */
export interface FleetMachine {
  /** Its own store. */
  readonly state: State
  /** `permission_denied` for a user that it does not have. */
  partForPeer(caller: PeerCaller): MachinePart
  /** Instances of the fleet's units, here. */
  readonly instanceHost: InstanceHost
  /** What it serves on public ports. */
  readonly ports: LocalPorts
  /** Bundles of programs, here. */
  readonly bundles: MachineBundles
  /** Its units, as names lead to them. */
  readonly names: LocalNames
  /** Copies of other machines' logs, here. */
  readonly logCopies: LogStore
  /** Has this machine's logs copied elsewhere, until disposed. */
  shipLogs(keeping: LogKeeping): AsyncDisposable
  /** For byte streams that peers open. */
  readonly attach: AttachRun
  report(): MachineReport
  about(): Omit<SystemStatus, 'machines' | 'missing' | 'units' | 'runs' | 'state'>
}

export interface FleetDeps {
  readonly clock: Clock
  readonly random: Random
  readonly report: (message: string) => void
  readonly local: FleetMachine
  /** Runs this machine's etcd, should it have one. */
  readonly service: ServiceRunner
}

export interface FleetOptions {
  readonly directories: Directories
  /** This machine's name. */
  readonly name: string
  readonly port: PortSettings
  /** Called when this machine has joined or left a fleet: everything is to be opened anew. */
  readonly onBeginAnew: () => void
}

const endAssignedMs = 10 * 60_000

/** The name that this machine has in its fleet; undefined while it is alone. */
export function nameInFleet(stateDir: string): string | undefined {
  const identity = loadIdentity(identityDir(stateDir))
  if (identity === undefined) return undefined
  return new Members(membersPath(stateDir)).byId(identity.machineId)?.name
}

export class Fleet implements AsyncDisposable {
  /** For FleetSystem. */
  readonly view: FleetSystemDeps
  readonly #deps: FleetDeps
  readonly #options: FleetOptions
  readonly #settings: PortSettings
  /** Of a machine alone: nobody is reached through them. */
  readonly #noLinks: Links
  #member: FleetMember | undefined

  /** The other machines and State need not answer yet when it resolves. */
  static async open(deps: FleetDeps, options: FleetOptions): Promise<Fleet> {
    const { stateDir } = options.directories
    const fleet = new Fleet(deps, options)
    const identity = loadIdentity(identityDir(stateDir))
    if (identity !== undefined) await fleet.enter(identity)
    else void fleet.#endAssigned()
    return fleet
  }

  private constructor(deps: FleetDeps, options: FleetOptions) {
    const { clock, random, local } = deps
    this.#deps = deps
    this.#options = options
    this.#settings = settlePort(options.directories.stateDir, options.port)
    this.#noLinks = new Links({
      clock,
      version,
      nameOf: (id) => id,
      dial: () => Promise.reject(new HolonError('not_found', 'this machine is on its own')),
    })
    const links = () => this.#member?.links ?? this.#noLinks
    const machines = () => this.#machines()
    const self = () => this.#member?.self ?? this.#alone
    const fleet = () => this.#member?.places
    this.view = {
      clock,
      random,
      get links() {
        return links()
      },
      self,
      machines,
      names: new Names({ clock, local: local.names, self, machines, fleet }),
      sightings: async (signal) => (await this.#member?.liveness.sightings(signal)) ?? [],
      report: () => local.report(),
      stateHealth: async (signal) =>
        (await this.#member?.keeping.health(signal)) ?? { engine: local.state.engine, notes: [] },
      units: () => this.#member?.units,
      stateKeepers: () => this.#member?.members.stateKeepers ?? [],
      about: () => local.about(),
    }
  }

  /** What the fleet had running here is the fleet's no more: it runs elsewhere by now. */
  async #endAssigned(): Promise<void> {
    const { clock, local, report } = this.#deps
    using limit = deadline(clock, endAssignedMs)
    for (const { unit, slot } of local.instanceHost.instances()) {
      try {
        await local.instanceHost.stop(unit, slot, 'this machine left the fleet', limit.signal)
      } catch (error) {
        report(`stop ${unit}/${slot}: ${asHolonError(error).message}`)
      }
    }
  }

  get member(): FleetMember | undefined {
    return this.#member
  }

  /** For who runs the agent. */
  get membership(): Membership {
    const { clock, random } = this.#deps
    const { directories, name, onBeginAnew } = this.#options
    return new MembershipTarget(
      { clock, random, fleet: this, embedded: this.#deps.local.state },
      { stateDir: directories.stateDir, name, settings: this.#settings, onBeginAnew },
    )
  }

  /** Serves the stdio of a run elsewhere to a program here. Owns the socket. */
  relay(socket: Duplex, caller: PeerCaller): void {
    if (this.#member === undefined) socket.destroy()
    else this.#member.relay.accept(socket, caller)
  }

  /** Becomes a member with these papers, which are on the disk. */
  async enter(identity: Identity): Promise<FleetMember> {
    const { stateDir, runtimeDir } = this.#options.directories
    this.#member = await FleetMember.open(this.#deps, identity, {
      stateDir,
      runtimeDir,
      identityDir: identityDir(stateDir),
      settings: this.#settings,
      membersPath: membersPath(stateDir),
    })
    return this.#member
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#member?.[Symbol.asyncDispose]()
    await this.#noLinks[Symbol.asyncDispose]()
  }

  #machines(): readonly MachineRecord[] {
    if (this.#member === undefined) return [this.#alone]
    const { members, self } = this.#member
    // Before State was heard for the first time, this machine at least is there.
    return members.byId(self.machineId) === undefined ? [...members.all, self] : members.all
  }

  get #alone(): MachineRecord {
    const { name } = this.#options
    const nobody = { machineId: '', publicKey: '', addresses: [], zone: '', labels: {} }
    return { ...nobody, name, version, joinedAtMs: 0 }
  }
}
