/**
 * Certificates between the fleet's etcds. They come from a CA of their own, not from the one that
 * names machines: whoever holds a certificate of it speaks etcd's own protocol and so has all of
 * State, which is only for the machines that run etcd. Each of them issues its own, with the CA's
 * key that lies in State and beside its data.
 *
 * etcd checks them by its machine's clock, without the grace that Holon gives; so they are valid
 * from a day ago.
 */
import { X509Certificate } from 'node:crypto'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { isJsonObject, stringField } from '../fields.ts'
import {
  type CertificateAuthority,
  createCa,
  issueServerCertificate,
  publicKeyOf,
} from '../identity/certificates.ts'
import { newKeyPair } from '../identity/machine-key.ts'

/** A key (PKCS8, secret) and its certificate, PEM. */
export type CertificatePair = CertificateAuthority

/** A certificate older than this is replaced. */
const renewAfterMs = limits.certificateMs / 7

/** Throws `internal` for what is no key with its certificate. */
export function parseCertificatePair(value: unknown, what: string): CertificatePair {
  const keyPem = isJsonObject(value) ? stringField(value, 'keyPem') : undefined
  const certPem = isJsonObject(value) ? stringField(value, 'certPem') : undefined
  if (keyPem === undefined || certPem === undefined) {
    throw new HolonError('internal', `${what} is no key with its certificate`)
  }
  return { keyPem, certPem }
}

/** A new CA for the etcds of one fleet. */
export function createStateCa(clusterId: string, nowMs: number): Promise<CertificatePair> {
  return createCa({ name: `holon state ${clusterId}`, nowMs })
}

/** A member's certificate for `hosts` (IP addresses or names); its key stays once there is one. */
export async function issuePeerCertificate(
  ca: CertificatePair,
  options: {
    readonly hosts: readonly string[]
    readonly nowMs: number
    readonly keyPem?: string
  },
): Promise<CertificatePair> {
  const { hosts, nowMs, keyPem = newKeyPair().keyPem } = options
  const certPem = await issueServerCertificate({
    ca,
    names: hosts.filter((host) => !isAddress(host)),
    ips: hosts.filter(isAddress),
    publicKey: publicKeyOf(keyPem),
    nowMs,
  })
  return { keyPem, certPem }
}

/** Whether a certificate is of another CA, lacks a host, or is a day old. */
export function needsRenewal(
  certPem: string,
  ca: CertificatePair,
  hosts: readonly string[],
  nowMs: number,
): boolean {
  try {
    const certificate = new X509Certificate(certPem)
    const issuer = new X509Certificate(ca.certPem)
    const endsMs = Date.parse(certificate.validTo)
    if (!certificate.verify(issuer.publicKey)) return true
    // One that is valid for longer than it could be was made under a clock that was ahead.
    const leftMs = endsMs - nowMs
    if (leftMs < limits.certificateMs - renewAfterMs) return true
    if (leftMs > limits.certificateMs + renewAfterMs) return true
    return !hosts.every((host) =>
      isAddress(host) ? certificate.checkIP(host) : certificate.checkHost(host),
    )
  } catch {
    return true
  }
}

export function isAddress(host: string): boolean {
  return host.includes(':') || /^\d+\.\d+\.\d+\.\d+$/.test(host)
}
