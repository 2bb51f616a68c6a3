/**
 * The files of a member's certificate, as etcd reads them at every handshake. The key stays the
 * same for ever, so that renewing replaces one file only and no handshake sees a key with
 * another's certificate.
 */
import { join } from 'node:path'
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { readTextIfThere } from '../../io/files.ts'
import { makePrivateDir, writeDurablySync } from '../../io/state-files.ts'
import {
  type CertificatePair,
  issuePeerCertificate,
  needsRenewal,
  parseCertificatePair,
} from './peer-certificates.ts'

/**
 * Makes, or renews when it is time, the certificate in `dir` for these hosts, by the CA given or
 * else the one that lies there. `not_found` when there is none.
 */
export async function ensureCertificate(
  clock: Clock,
  dir: string,
  hosts: readonly string[],
  given?: CertificatePair,
): Promise<void> {
  const ca = given ?? storedCa(dir)
  const names = [...new Set(hosts)]
  const nowMs = clock.wallMs()
  makePrivateDir(dir)
  replaceText(caPath(dir), JSON.stringify(ca))
  replaceText(join(dir, 'ca.pem'), ca.certPem)
  const certPem = readTextIfThere(join(dir, 'peer.pem'))
  const keyPem = readTextIfThere(join(dir, 'peer.key'))
  const both = certPem !== undefined && keyPem !== undefined
  if (both && !needsRenewal(certPem, ca, names, nowMs)) return
  const options = { hosts: names, nowMs, ...(keyPem === undefined ? {} : { keyPem }) }
  const pair = await issuePeerCertificate(ca, options)
  replaceText(join(dir, 'peer.key'), pair.keyPem)
  replaceText(join(dir, 'peer.pem'), pair.certPem)
}

function caPath(dir: string): string {
  return join(dir, 'ca.json')
}

function storedCa(dir: string): CertificatePair {
  const path = caPath(dir)
  const text = readTextIfThere(path)
  if (text === undefined) {
    throw new HolonError(
      'not_found',
      `start etcd: "${path}", the key for its certificate, is missing; if other machines keep ` +
        'the state too, remove this one from the fleet and join it again, else restore',
    )
  }
  return parseCertificatePair(JSON.parse(text), `"${path}"`)
}

function replaceText(path: string, text: string): void {
  if (readTextIfThere(path) !== text) writeDurablySync(path, text)
}
