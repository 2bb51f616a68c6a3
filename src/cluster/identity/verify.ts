/**
 * Whether a certificate that a peer has shown makes it a machine of this fleet. One pure function
 * for every door: TLS has proven that the peer has the key of the first certificate, everything
 * else is decided here, on the caller's clock.
 *
 * A peer is a machine when its certificate is signed by the CA's key, is no CA itself, names one
 * machine of this fleet and nothing else, the name is the hash of its key, the machine was not
 * removed, and the time is right within the grace. An expired one is told apart: its key is
 * genuine, and it may renew, but nothing else.
 */
import { X509Certificate } from 'node:crypto'
import { limits } from '../../base/limits.ts'
import { machineIdOf } from './machine-key.ts'

export interface PeerCheck {
  /** As the peer showed it, its own first. Only that one is looked at. */
  readonly chain: readonly X509Certificate[]
  readonly caPem: string
  /** Absent: any cluster of this CA, which is right only where the cluster is yet to be known. */
  readonly clusterId?: string
  readonly nowMs: number
  readonly isRemoved: (machineId: string) => boolean
}

export type RefusalReason =
  | 'no-certificate'
  | 'foreign'
  | 'malformed'
  | 'other-cluster'
  | 'removed'
  | 'not-yet-valid'

export type PeerVerdict =
  | {
      readonly kind: 'machine'
      readonly machineId: string
      readonly clusterId: string
      readonly notAfterMs: number
    }
  | {
      readonly kind: 'expired'
      readonly machineId: string
      readonly clusterId: string
      readonly notAfterMs: number
    }
  /** `why` is for a log; a stranger is told nothing. */
  | { readonly kind: 'refused'; readonly reason: RefusalReason; readonly why: string }

/** Nothing but this in the certificate's names; Node quotes any odd character, so it is whole. */
const namePattern = /^URI:spiffe:\/\/([a-z0-9]{1,40})\.holon\/machine\/([a-z2-7]{26})$/

export function verifyPeer(check: PeerCheck): PeerVerdict {
  const [leaf] = check.chain
  if (leaf === undefined) return refused('no-certificate', 'it has shown no certificate')
  const ca = new X509Certificate(check.caPem)
  try {
    return verdictOn(leaf, ca, check)
  } catch {
    // Whatever a stranger can send that Node cannot read is no reason to fail.
    return refused('malformed', 'its certificate cannot be read')
  }
}

function verdictOn(leaf: X509Certificate, ca: X509Certificate, check: PeerCheck): PeerVerdict {
  if (leaf.ca || !leaf.checkIssued(ca) || !leaf.verify(ca.publicKey))
    return refused(
      'foreign',
      `its certificate is not by this fleet's CA, but by "${leaf.issuer.slice(0, 100)}"`,
    )
  const [, clusterId, machineId] = namePattern.exec(leaf.subjectAltName ?? '') ?? []
  if (clusterId === undefined || machineId === undefined)
    return refused('malformed', `its certificate names no machine: "${leaf.subjectAltName ?? ''}"`)
  if (machineId !== machineIdOf(leaf.publicKey.export({ type: 'spki', format: 'der' })))
    return refused('malformed', `its key is not that of the machine ${machineId}`)
  if (check.clusterId !== undefined && clusterId !== check.clusterId)
    return refused('other-cluster', `it belongs to the cluster ${clusterId}`)
  if (check.isRemoved(machineId)) return refused('removed', `${machineId} was removed`)
  return inTime(leaf, check.nowMs, { machineId, clusterId })
}

function inTime(
  leaf: X509Certificate,
  nowMs: number,
  names: { readonly machineId: string; readonly clusterId: string },
): PeerVerdict {
  const { notBeforeMs, notAfterMs } = validityOf(leaf)
  if (nowMs < notBeforeMs - limits.clockGraceMs)
    return refused(
      'not-yet-valid',
      `its certificate is valid from ${iso(notBeforeMs)} on, and here it is ${iso(nowMs)}`,
    )
  const kind = nowMs > notAfterMs + limits.clockGraceMs ? 'expired' : 'machine'
  return { kind, ...names, notAfterMs }
}

/** When a certificate, PEM or parsed, is valid, without grace. */
export function validityOf(certificate: string | X509Certificate): {
  readonly notBeforeMs: number
  readonly notAfterMs: number
} {
  const parsed = typeof certificate === 'string' ? new X509Certificate(certificate) : certificate
  return {
    notBeforeMs: parsed.validFromDate.getTime(),
    notAfterMs: parsed.validToDate.getTime(),
  }
}

function iso(ms: number): string {
  return new Date(ms).toISOString()
}

function refused(reason: RefusalReason, why: string): PeerVerdict {
  return { kind: 'refused', reason, why }
}
