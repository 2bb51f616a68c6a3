/**
 * What an agent is to its peers: the main object of every link between two machines. The peer has
 * proven which machine it is; on whose behalf it asks it says itself, and is believed: who runs the
 * agents of a fleet rules all of it.
 */
import type { System } from '../kernel/kernel.ts'
import type { SecretValue } from '../kernel/secrets.ts'
import type { CallOptions, MachineReport, ProcessQuery } from '../kernel/types.ts'
import { defineInterface } from '../rpc/interface.ts'
import { processInterface, runInterface, secretsInterface, unitInterface } from '../rpc/wire.ts'
import type { ConditionVerdict } from '../unit/conditions.ts'
import type { Beat } from './beat.ts'
import type { BundlePeer } from './bundles/bundle-peers.ts'
import type { StateMember } from './etcd/state-members.ts'
import type { KeptEnds, KeptLogs, LogPiece } from './logs-kept/kept-log.ts'
import type { PortReport } from './ports/served.ts'
import type { AskedUnit } from './reconcile/condition-answers.ts'
import type { HeldBack, HeldBackQuery } from './reconcile/held-back.ts'
import type { HostedReport } from './reconcile/reports.ts'
import type { SecretWish } from './secrets/fleet-secrets.ts'
import { type StateService, stateServiceInterface } from './state/state-service.ts'

/** Which page of a machine's listing. */
export interface PageWish {
  /** It ends with the row that makes it as long as this. */
  readonly bytes: number
  /** From the page before; without it the first. */
  readonly cursor?: string
}

/** The verbs of System, as one machine does them for itself. */
export interface MachinePart extends PickedVerbs, KeptLogs {
  /**
   * A page of its `processes` and `machines`, see text-page.ts. Nothing is kept between pages: each
   * is read when it is asked for. Facts of the machine come with the last. Idempotent.
   */
  processPage(query: ProcessQuery, page: PageWish, options: CallOptions): Promise<string>
}

type PickedVerbs = Pick<
  System,
  | 'ping'
  | 'process'
  | 'run'
  | 'runs'
  | 'findRun'
  | 'units'
  | 'unit'
  | 'load'
  | 'logUsage'
  | 'secrets'
>

/** Without a name: who runs the agent. Users are the same person where their name is the same. */
export interface PeerCaller {
  readonly user?: string
}

/** How one machine sees another. */
export interface Sighting {
  readonly machineId: string
  readonly status: 'up' | 'suspect' | 'down'
  readonly lastSeenAtMs?: number
  readonly report?: MachineReport
}

export interface Peer extends BundlePeer {
  /** `permission_denied` when this machine has no such user. Idempotent. */
  part(caller: PeerCaller, options: CallOptions): Promise<MachinePart>
  /** Idempotent. */
  report(options: CallOptions): Promise<MachineReport>
  /**
   * "I am alive, and this is how I am." The answer is the same of the called machine, to one that
   * keeps the state. Idempotent.
   */
  beat(beat: Beat, options: CallOptions): Promise<Beat | undefined>
  /** What it runs for the fleet, with the number that its beats carry. Idempotent. */
  hosted(options: CallOptions): Promise<HostedReport>
  /** What is held back, and why; `unsupported` unless this machine leads. Idempotent. */
  heldBack(about: HeldBackQuery, options: CallOptions): Promise<HeldBack>
  /** Copies what the calling machine's programs log; see logs-kept/kept-log.ts. Idempotent. */
  keepLog(pieces: readonly LogPiece[], options: CallOptions): Promise<KeptEnds>
  /**
   * What it serves on public ports, once that is something else than the report with the number
   * `after`, or limits.portPollMs have passed. By asking, the caller says that it has taken that
   * one up. Idempotent.
   */
  ports(after: number, options: CallOptions): Promise<PortReport>
  /** Whether a unit's conditions hold on this machine now. Idempotent. */
  checkConditions(about: AskedUnit, options: CallOptions): Promise<ConditionVerdict>
  /** How this machine sees all others; `unsupported` unless it keeps the state. Idempotent. */
  sightings(options: CallOptions): Promise<readonly Sighting[]>
  /** Whether this machine reaches that one now. Idempotent. */
  reaches(machineId: string, options: CallOptions): Promise<boolean>
  /** A certificate for the calling machine's own key. `unsupported` where the CA is not at hand. */
  renew(publicKey: string, options: CallOptions): Promise<string>
  /**
   * A secret of the fleet for an instance that belongs to the calling machine. `permission_denied`
   * when it has no such instance, `unsupported` where the fleet's key is not at hand. Idempotent.
   */
  secret(wish: SecretWish, options: CallOptions): Promise<SecretValue>
  /** The fleet's state. `unsupported` where it is not at hand. Idempotent. */
  state(options: CallOptions): Promise<StateService>
  /** Its part in keeping the state. `permission_denied` but for machines that keep it. Idempotent. */
  stateMember(options: CallOptions): Promise<StateMember>
}

const stateMemberInterface = defineInterface<StateMember>('StateMember', {
  prepare: { args: 1, idempotent: true },
  stopMember: { args: 1, idempotent: true },
  readdress: { args: 1, idempotent: true },
  status: { args: 0, idempotent: true },
})

const partInterface = defineInterface<MachinePart>('System', {
  ping: { args: 1, idempotent: true },
  processPage: { args: 2, idempotent: true, isText: true },
  process: { args: 1, idempotent: true, returns: processInterface },
  run: { args: 1, idempotent: false, returns: runInterface },
  runs: { args: 0, idempotent: true },
  findRun: { args: 1, idempotent: true, returns: runInterface },
  units: { args: 0, idempotent: true },
  unit: { args: 1, idempotent: true, returns: unitInterface },
  load: { args: 1, idempotent: true, returns: unitInterface },
  logUsage: { args: 0, idempotent: true },
  keptLogs: { args: 1, idempotent: true },
  keptLogPage: { args: 2, idempotent: true },
  secrets: { args: 0, idempotent: true, returns: secretsInterface },
})

export const peerInterface = defineInterface<Peer>('Peer', {
  part: { args: 1, idempotent: true, returns: partInterface },
  report: { args: 0, idempotent: true },
  beat: { args: 1, idempotent: true },
  hosted: { args: 0, idempotent: true },
  heldBack: { args: 1, idempotent: true },
  keepLog: { args: 1, idempotent: true },
  ports: { args: 1, idempotent: true },
  bundleManifest: { args: 1, idempotent: true },
  bundlePieces: { args: 1, idempotent: true },
  keepBundle: { args: 1, idempotent: true },
  checkConditions: { args: 1, idempotent: true },
  sightings: { args: 0, idempotent: true },
  reaches: { args: 1, idempotent: true },
  renew: { args: 1, idempotent: true },
  secret: { args: 1, idempotent: true },
  state: { args: 0, idempotent: true, returns: stateServiceInterface },
  stateMember: { args: 0, idempotent: true, returns: stateMemberInterface },
})
