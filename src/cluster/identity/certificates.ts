/**
 * Making certificates: a cluster's CA, a machine's certificate, and those that etcd's members show
 * each other.
 *
 * The libraries that encode them are large and loaded only here, when one is made: an agent that
 * makes none does not pay for them. Signing is Node's. Checking is in verify.ts and needs neither.
 */
import { createHash, createPublicKey, sign } from 'node:crypto'
import type { Certificate, Extension, GeneralName, Name, TBSCertificate } from '@peculiar/asn1-x509'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { newKeyPair } from './machine-key.ts'

/** A secret: who has it is every machine. */
export interface CertificateAuthority {
  /** PKCS8. */
  readonly keyPem: string
  readonly certPem: string
}

/** RFC 5280's way to say "never". */
const neverMs = Date.UTC(9999, 11, 31, 23, 59, 59)
const dayMs = 24 * 3600_000

/** `name` is for people who look at the certificate: "holon CLUSTER". It does not expire. */
export async function createCa(wish: {
  readonly name: string
  readonly nowMs: number
}): Promise<CertificateAuthority> {
  const x509 = await library()
  const { keyPem, publicKey } = newKeyPair()
  const subject = x509.commonName(wish.name)
  const certPem = x509.certificate(keyPem, {
    issuer: subject,
    subject,
    issuerKey: publicKey,
    publicKey,
    // Its key is pinned; a date in it could only lock a fleet out.
    notBeforeMs: wish.nowMs - dayMs,
    notAfterMs: neverMs,
    extensions: [x509.authority(), x509.signsCertificates()],
  })
  return { keyPem, certPem }
}

/** The URI by which a certificate names a machine. */
export function machineUri(clusterId: string, machineId: string): string {
  return `spiffe://${clusterId}.holon/machine/${machineId}`
}

/** A machine's certificate, PEM. For limits.certificateMs from now, with grace before it. */
export async function issueCertificate(wish: {
  readonly ca: CertificateAuthority
  readonly machineId: string
  /** SPKI, base64. */
  readonly publicKey: string
  readonly clusterId: string
  readonly nowMs: number
}): Promise<string> {
  const x509 = await library()
  const { ca, publicKey, nowMs } = wish
  return x509.certificate(ca.keyPem, {
    issuer: x509.subjectOf(ca.certPem),
    subject: x509.commonName(wish.machineId),
    issuerKey: publicKeyOf(ca.certPem),
    publicKey,
    notBeforeMs: nowMs - limits.clockGraceMs,
    notAfterMs: nowMs + limits.certificateMs,
    extensions: [
      x509.noAuthority(),
      x509.signsMessages(),
      x509.forTls(),
      x509.alternativeNames([x509.uri(machineUri(wish.clusterId, wish.machineId))]),
    ],
  })
}

/**
 * A certificate for a server or client that checks names by itself and knows no grace, as etcd
 * does. It names no machine, so `verifyPeer` refuses it. Valid from a day ago: their clocks may be
 * wrong, too. `validMs`: default limits.certificateMs.
 */
export async function issueServerCertificate(wish: {
  readonly ca: CertificateAuthority
  /** DNS names. */
  readonly names: readonly string[]
  /** IPv4 or IPv6 addresses. */
  readonly ips: readonly string[]
  readonly publicKey: string
  readonly nowMs: number
  readonly validMs?: number
}): Promise<string> {
  const x509 = await library()
  const { ca, publicKey, nowMs } = wish
  const [first] = [...wish.names, ...wish.ips]
  if (first === undefined) {
    throw new HolonError('invalid_argument', 'issue a certificate: it names nobody')
  }
  return x509.certificate(ca.keyPem, {
    issuer: x509.subjectOf(ca.certPem),
    subject: x509.commonName(first),
    issuerKey: publicKeyOf(ca.certPem),
    publicKey,
    notBeforeMs: nowMs - dayMs,
    notAfterMs: nowMs + (wish.validMs ?? limits.certificateMs),
    extensions: [
      x509.noAuthority(),
      x509.signsMessages(),
      x509.forTls(),
      x509.alternativeNames([...wish.names.map(x509.dnsName), ...wish.ips.map(x509.ipAddress)]),
    ],
  })
}

/**
 * A certificate that says nothing but "I have this key": what a machine shows that joins, since TLS
 * proves a key only through a certificate.
 */
export async function selfSignedCertificate(wish: {
  readonly keyPem: string
  readonly publicKey: string
  readonly nowMs: number
}): Promise<string> {
  const x509 = await library()
  const subject = x509.commonName('a machine that joins')
  return x509.certificate(wish.keyPem, {
    issuer: subject,
    subject,
    issuerKey: wish.publicKey,
    publicKey: wish.publicKey,
    notBeforeMs: wish.nowMs - dayMs,
    notAfterMs: wish.nowMs + dayMs,
    extensions: [x509.noAuthority(), x509.signsMessages()],
  })
}

/** SPKI, base64, of a certificate or a key, PEM. */
export function publicKeyOf(pem: string): string {
  return createPublicKey(pem).export({ type: 'spki', format: 'der' }).toString('base64')
}

interface CertificateFields {
  readonly issuer: Name
  readonly subject: Name
  /** SPKI, base64. */
  readonly issuerKey: string
  readonly publicKey: string
  readonly notBeforeMs: number
  readonly notAfterMs: number
  readonly extensions: readonly Extension[]
}

let loaded: ReturnType<typeof load> | undefined

/** The words of X.509 that are needed here. */
function library(): ReturnType<typeof load> {
  loaded ??= load()
  return loaded
}

async function load() {
  const { AsnConvert, OctetString } = await import('@peculiar/asn1-schema')
  const x = await import('@peculiar/asn1-x509')
  const ecdsaWithSha256 = '1.2.840.10045.4.3.2'
  const commonNameType = '2.5.4.3'

  const der = (value: unknown) => Buffer.from(AsnConvert.serialize(value))
  const extension = (extnID: string, critical: boolean, value: unknown) =>
    new x.Extension({ extnID, critical, extnValue: new OctetString(AsnConvert.serialize(value)) })
  const keyUsage = (flags: number) => extension(x.id_ce_keyUsage, true, new x.KeyUsage(flags))
  const spki = (publicKey: string) => Buffer.from(publicKey, 'base64')
  const keyId = (publicKey: string) => createHash('sha256').update(spki(publicKey)).digest()

  /** The body, without what only the signature adds. */
  function body(fields: CertificateFields): TBSCertificate {
    const { issuerKey, publicKey, notBeforeMs, notAfterMs } = fields
    const serial = createHash('sha256')
      .update(`${issuerKey} ${publicKey} ${notBeforeMs}`)
      .digest()
      .subarray(0, 16)
    // Positive and not zero, as the standard wants.
    serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40
    const authorityKey = new x.AuthorityKeyIdentifier({
      keyIdentifier: new x.KeyIdentifier(keyId(issuerKey)),
    })
    return new x.TBSCertificate({
      version: 2,
      serialNumber: Uint8Array.from(serial).buffer,
      signature: new x.AlgorithmIdentifier({ algorithm: ecdsaWithSha256 }),
      issuer: fields.issuer,
      subject: fields.subject,
      validity: new x.Validity({
        notBefore: new Date(notBeforeMs),
        notAfter: new Date(notAfterMs),
      }),
      subjectPublicKeyInfo: AsnConvert.parse(spki(publicKey), x.SubjectPublicKeyInfo),
      extensions: new x.Extensions([
        ...fields.extensions,
        extension(
          x.id_ce_subjectKeyIdentifier,
          false,
          new x.SubjectKeyIdentifier(keyId(publicKey)),
        ),
        extension(x.id_ce_authorityKeyIdentifier, false, authorityKey),
      ]),
    })
  }

  return {
    certificate(signingKeyPem: string, fields: CertificateFields): string {
      const tbsCertificate = body(fields)
      const signature = sign('sha256', der(tbsCertificate), signingKeyPem)
      const whole: Certificate = new x.Certificate({
        tbsCertificate,
        signatureAlgorithm: tbsCertificate.signature,
        signatureValue: Uint8Array.from(signature).buffer,
      })
      return pem(der(whole))
    },
    subjectOf(certPem: string): Name {
      const { tbsCertificate } = AsnConvert.parse(fromPem(certPem), x.Certificate)
      return tbsCertificate.subject
    },
    commonName: (text: string) =>
      new x.Name([
        new x.RelativeDistinguishedName([
          new x.AttributeTypeAndValue({
            type: commonNameType,
            value: new x.AttributeValue({ utf8String: text }),
          }),
        ]),
      ]),
    authority: () =>
      extension(
        x.id_ce_basicConstraints,
        true,
        new x.BasicConstraints({ cA: true, pathLenConstraint: 0 }),
      ),
    noAuthority: () => extension(x.id_ce_basicConstraints, true, new x.BasicConstraints({})),
    signsCertificates: () => keyUsage(x.KeyUsageFlags.keyCertSign),
    signsMessages: () => keyUsage(x.KeyUsageFlags.digitalSignature),
    forTls: () =>
      extension(
        x.id_ce_extKeyUsage,
        false,
        new x.ExtendedKeyUsage([x.id_kp_serverAuth, x.id_kp_clientAuth]),
      ),
    alternativeNames: (names: readonly GeneralName[]) =>
      extension(x.id_ce_subjectAltName, false, new x.SubjectAlternativeName([...names])),
    uri: (uniformResourceIdentifier: string) => new x.GeneralName({ uniformResourceIdentifier }),
    dnsName: (dNSName: string) => new x.GeneralName({ dNSName }),
    ipAddress: (iPAddress: string) => new x.GeneralName({ iPAddress }),
  }
}

function pem(der: Buffer): string {
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

function fromPem(text: string): Buffer {
  return Buffer.from(text.replace(/-----[^-]+-----|\s/g, ''), 'base64')
}
