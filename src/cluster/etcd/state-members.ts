/**
 * What the machine that plans asks of the machines that (shall) run etcd. `StateMembers` names the
 * machine and goes over links; `StateMember` is what each of them answers for itself.
 */
import type { SignalOptions } from '../../state/port.ts'
import type { PeerAddress } from './engine-file.ts'
import type { CertificatePair } from './peer-certificates.ts'

export interface PrepareRequest {
  readonly era: number
  readonly clusterToken: string
  /** The learner's id as `member add` gave it. */
  readonly memberId: string
  /** Its own address as the others know it. */
  readonly peerUrl: string
  /** All members, itself included. */
  readonly initialCluster: readonly PeerAddress[]
  /** The key that signs certificates between members. Secret. */
  readonly stateCa: CertificatePair
}

export interface MemberStatus {
  /** False: there is no etcd to be run here, or it does not answer. */
  readonly answers: boolean
  readonly memberId?: string
  /** Whether it knows a leader: a member that does is in contact with the others. */
  readonly hasLeader?: boolean
  readonly learner?: boolean
  readonly era?: number
}

export interface StateMember {
  /**
   * Has this machine run etcd as this member: certificates, data directory, process. One of an
   * earlier membership or era is stopped first and its data are moved out of the way. Resolves when
   * it has been started, not when it has caught up. `stale` for an era before this machine's own,
   * `not_found` when etcd is not installed. Idempotent.
   */
  prepare(request: PrepareRequest, options: SignalOptions): Promise<void>
  /**
   * Ends this machine's membership of that id; from then on it reads State over links. Another
   * membership, or none, is left alone. Idempotent.
   */
  stopMember(
    request: { readonly memberId: string; readonly era: number },
    options: SignalOptions,
  ): Promise<void>
  /** Its address changed: new certificate, new listener. Idempotent. */
  readdress(
    request: { readonly memberId: string; readonly peerUrl: string },
    options: SignalOptions,
  ): Promise<void>
  /** Never fails because etcd does. */
  status(options: SignalOptions): Promise<MemberStatus>
}

/** The same, of any machine: `unavailable` when it cannot be reached. */
export interface StateMembers {
  prepare(machineId: string, request: PrepareRequest, options: SignalOptions): Promise<void>
  stopMember(
    machineId: string,
    request: { readonly memberId: string; readonly era: number },
    options: SignalOptions,
  ): Promise<void>
  readdress(
    machineId: string,
    request: { readonly memberId: string; readonly peerUrl: string },
    options: SignalOptions,
  ): Promise<void>
  status(machineId: string, options: SignalOptions): Promise<MemberStatus>
}
