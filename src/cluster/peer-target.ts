/** This machine, as a peer may use it: the main object of each link that another machine opens. */
import { HolonError } from '../base/errors.ts'
import type { BundleStore } from '../bundles/bundle-store.ts'
import type { SecretValue } from '../kernel/secrets.ts'
import type { CallOptions, MachineReport } from '../kernel/types.ts'
import type { ConditionVerdict } from '../unit/conditions.ts'
import type { Beat } from './beat.ts'
import { type BundlePeers, piecesFor } from './bundles/bundle-peers.ts'
import type { StateMember } from './etcd/state-members.ts'
import type { FleetUnits } from './fleet-units.ts'
import type { Liveness } from './liveness.ts'
import type { KeptEnds, LogPiece } from './logs-kept/kept-log.ts'
import type { MachinePart, Peer, PeerCaller, Sighting } from './peer.ts'
import type { PortFeed } from './ports/port-feed.ts'
import type { PortReport } from './ports/served.ts'
import type { AskedUnit } from './reconcile/condition-answers.ts'
import type { HeldBack, HeldBackQuery } from './reconcile/held-back.ts'
import type { HostedReport } from './reconcile/reports.ts'
import type { SecretWish } from './secrets/fleet-secrets.ts'
import type { StateService } from './state/state-service.ts'

export interface PeerTargetDeps {
  readonly partForPeer: (caller: PeerCaller) => MachinePart
  readonly report: () => MachineReport
  readonly liveness: Liveness
  readonly units: FleetUnits
  readonly ports: PortFeed
  readonly bundles: BundleStore
  readonly bundlePeers: BundlePeers
  readonly keepLog: (machineId: string, pieces: readonly LogPiece[]) => KeptEnds
  /** A certificate for a member's key; `unsupported` where the CA is not at hand. */
  readonly renew: (machineId: string, publicKey: string, signal: AbortSignal) => Promise<string>
  /** Undefined where State is reached over links only. */
  readonly stateService: () => StateService | undefined
  readonly stateMember: StateMember
  /** Whether a machine keeps the state, as far as this one knows. */
  readonly keepsState: (machineId: string) => boolean
}

export class PeerTarget implements Peer {
  readonly #deps: PeerTargetDeps
  /** Who is at the other end, proven by its certificate. */
  readonly #machineId: string

  constructor(deps: PeerTargetDeps, machineId: string) {
    this.#deps = deps
    this.#machineId = machineId
  }

  async part(caller: PeerCaller): Promise<MachinePart> {
    return this.#deps.partForPeer(caller)
  }

  async report(): Promise<MachineReport> {
    return this.#deps.report()
  }

  async beat(beat: Beat): Promise<Beat | undefined> {
    return this.#deps.liveness.beatFrom(this.#machineId, beat)
  }

  async hosted(): Promise<HostedReport> {
    return this.#deps.units.hosted()
  }

  async heldBack(about: HeldBackQuery): Promise<HeldBack> {
    const heldBack = this.#deps.units.heldBack(about)
    if (heldBack !== undefined) return heldBack
    throw new HolonError('unsupported', 'this machine does not decide where units run')
  }

  async keepLog(pieces: readonly LogPiece[]): Promise<KeptEnds> {
    return this.#deps.keepLog(this.#machineId, pieces)
  }

  ports(after: number, { signal }: CallOptions): Promise<PortReport> {
    return this.#deps.ports.next(this.#machineId, after, signal)
  }

  async bundleManifest(hash: string): Promise<string> {
    return (await this.#deps.bundles.manifest(hash)) ?? ''
  }

  bundlePieces(hashes: readonly string[]): Promise<readonly string[]> {
    return piecesFor(this.#deps.bundles, hashes)
  }

  keepBundle(hash: string, { signal }: CallOptions): Promise<void> {
    return this.#deps.bundlePeers.get(hash, signal)
  }

  async checkConditions(about: AskedUnit): Promise<ConditionVerdict> {
    return this.#deps.units.checkConditions(about)
  }

  async sightings({ signal }: CallOptions): Promise<readonly Sighting[]> {
    if (this.#deps.liveness.isKeeper) return this.#deps.liveness.ownSightings(signal)
    throw new HolonError('unsupported', 'nobody tells this machine who is alive')
  }

  async reaches(machineId: string, { signal }: CallOptions): Promise<boolean> {
    return (await this.#deps.liveness.probe(machineId, signal)) !== undefined
  }

  renew(publicKey: string, { signal }: CallOptions): Promise<string> {
    return this.#deps.renew(this.#machineId, publicKey, signal)
  }

  secret(wish: SecretWish, options: CallOptions): Promise<SecretValue> {
    return this.#deps.units.secrets.openFor(this.#machineId, wish, options)
  }

  async state(): Promise<StateService> {
    const service = this.#deps.stateService()
    if (service !== undefined) return service
    throw new HolonError('unsupported', 'this machine has no direct way to the state')
  }

  async stateMember(): Promise<StateMember> {
    if (this.#deps.keepsState(this.#machineId)) return this.#deps.stateMember
    throw new HolonError(
      'permission_denied',
      'only machines that keep the state change its members',
    )
  }
}
