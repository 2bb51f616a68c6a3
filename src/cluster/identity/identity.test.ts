/** A machine's key and papers on the disk, their renewal, addresses and base32. */
import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../../test/conformance/manual-clock.ts'
import { HolonError } from '../../base/errors.ts'
import { seededRandom } from '../../base/random.ts'
import { formatAddress, parseAddress } from './address.ts'
import { base32, fromBase32 } from './base32.ts'
import {
  type CertificateAuthority,
  createCa,
  issueCertificate,
  issueServerCertificate,
} from './certificates.ts'
import { forgetIdentity, type Identity, loadIdentity, saveIdentity } from './identity.ts'
import { loadMachineKey, loadOrMakeMachineKey, newKeyPair } from './machine-key.ts'
import { firstIssuer, type Issuer, Renewal, renewAtMs } from './renewal.ts'
import { verifyPeer } from './verify.ts'

const hourMs = 3600_000
const dayMs = 24 * hourMs

function temporary(): { readonly dir: string } & Disposable {
  const dir = mkdtempSync(join(tmpdir(), 'holon-identity-'))
  return { dir: join(dir, 'identity'), [Symbol.dispose]: () => rmSync(dir, { recursive: true }) }
}

async function identityIn(dir: string, ca: CertificateAuthority, nowMs: number): Promise<Identity> {
  const key = loadOrMakeMachineKey(dir)
  const certPem = await issueCertificate({ ca, ...key, clusterId: 'c1', nowMs })
  return saveIdentity(dir, key, { clusterId: 'c1', caPem: ca.certPem, certPem })
}

test('loadOrMakeMachineKey() makes a key once, for its owner only', () => {
  using place = temporary()
  assert.equal(loadMachineKey(place.dir), undefined)
  const key = loadOrMakeMachineKey(place.dir)
  assert.match(key.machineId, /^[a-z2-7]{26}$/)
  assert.deepEqual(loadOrMakeMachineKey(place.dir), key)
  assert.equal(statSync(place.dir).mode & 0o777, 0o700)
  assert.equal(statSync(join(place.dir, 'key.pem')).mode & 0o777, 0o600)
  writeFileSync(join(place.dir, 'key.pem'), 'damaged')
  assert.throws(() => loadMachineKey(place.dir), /key\.pem": it is damaged; restore it/)
})

test('saveIdentity() what is saved is loaded; what does not fit is refused', async () => {
  using place = temporary()
  using other = temporary()
  const ca = await createCa({ name: 'holon c1', nowMs: 0 })
  assert.equal(loadIdentity(place.dir), undefined)
  const identity = await identityIn(place.dir, ca, 1e12)
  assert.equal(loadIdentity(place.dir)?.credentials.cert, identity.certPem + ca.certPem)
  assert.equal(statSync(join(place.dir, 'fleet.json')).mode & 0o777, 0o600)
  const stranger = await identityIn(other.dir, ca, 1e12)
  assert.throws(() => identity.replace(stranger.certPem), /for another key/)
  const foreign = await createCa({ name: 'holon c1', nowMs: 0 })
  const wish = { ...identity.key, clusterId: 'c1', nowMs: 1e12 }
  const wrong = await issueCertificate({ ca: foreign, ...wish })
  assert.throws(() => identity.replace(wrong), /not by this fleet's CA/)
  assert.equal(loadIdentity(place.dir)?.certPem, identity.certPem)
  writeFileSync(join(place.dir, 'fleet.json'), '{"schema":2}')
  assert.throws(() => loadIdentity(place.dir), /damaged, or by a newer version; restore/)
  forgetIdentity(place.dir)
  forgetIdentity(place.dir)
  assert.equal(loadIdentity(place.dir), undefined)
})

test('issueServerCertificate() names what it was asked to, and is no machine', async () => {
  const nowMs = Date.now()
  const ca = await createCa({ name: 'state', nowMs })
  const { publicKey } = newKeyPair()
  const wish = { ca, names: ['n1'], ips: ['10.77.0.1', 'fd00::1'], publicKey, nowMs }
  const certificate = new X509Certificate(await issueServerCertificate(wish))
  const { subjectAltName } = certificate
  assert.equal(subjectAltName, 'DNS:n1, IP Address:10.77.0.1, IP Address:FD00:0:0:0:0:0:0:1')
  assert.ok(certificate.verify(new X509Certificate(ca.certPem).publicKey))
  const isRemoved = () => false
  const verdict = verifyPeer({ chain: [certificate], caPem: ca.certPem, nowMs, isRemoved })
  assert.equal(verdict.kind === 'refused' && verdict.reason, 'malformed')
})

/** Lets promises go on between the steps of a clock that stands still. */
async function advance(clock: ManualClock, ms: number, stepMs: number): Promise<void> {
  for (let gone = 0; gone < ms; gone += stepMs) {
    clock.advance(stepMs)
    for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
  }
}

test('Renewal renews daily, tries again while nobody answers, and when it is woken', async () => {
  using place = temporary()
  const ca = await createCa({ name: 'holon c1', nowMs: 0 })
  const clock = new ManualClock()
  clock.advance(1e12)
  const identity = await identityIn(place.dir, ca, clock.wallMs())
  let asked = 0
  let reachable = true
  const issuer: Issuer = {
    issue: async (machineId, publicKey) => {
      asked += 1
      if (!reachable) throw new HolonError('unavailable', 'nobody answers')
      return issueCertificate({ ca, machineId, publicKey, clusterId: 'c1', nowMs: clock.wallMs() })
    },
  }
  const errors: HolonError[] = []
  using renewal = new Renewal({ clock, random: seededRandom(1), issuer }, identity, (error) =>
    errors.push(error),
  )
  await advance(clock, 23 * hourMs, hourMs)
  assert.equal(asked, 0)
  await advance(clock, 9 * dayMs, hourMs)
  assert.ok(asked >= 8 && asked <= 10, `${asked} in ten days`)
  assert.ok(identity.validity.notAfterMs > clock.wallMs() + 5 * dayMs)
  assert.equal(loadIdentity(place.dir)?.certPem, identity.certPem)

  reachable = false
  await advance(clock, 10 * dayMs, hourMs / 4)
  assert.ok(identity.validity.notAfterMs < clock.wallMs(), 'expired meanwhile')
  assert.equal(renewal.failure?.error.code, 'unavailable')
  assert.ok(errors.length > 100, `${errors.length}`)
  const before = asked
  reachable = true
  renewal.wake()
  await advance(clock, 1, 1)
  assert.equal(asked, before + 1)
  assert.equal(renewal.failure, undefined)
  assert.ok(renewAtMs(identity) > clock.wallMs())
})

test('firstIssuer() asks one after the other', async () => {
  const failing: Issuer = {
    issue: () => Promise.reject(new HolonError('unsupported', 'not here')),
  }
  const options = { signal: new AbortController().signal }
  const working: Issuer = { issue: () => Promise.resolve('a certificate') }
  assert.equal(await firstIssuer([failing, working]).issue('m', 'k', options), 'a certificate')
  await assert.rejects(firstIssuer([failing]).issue('m', 'k', options), { code: 'unsupported' })
})

test('parseAddress() reads names, IPv4 and IPv6, with and without a port', () => {
  const addresses: Record<string, readonly [string, number]> = {
    'n1.example': ['n1.example', 4656],
    'n1:99': ['n1', 99],
    '10.77.0.1:4656': ['10.77.0.1', 4656],
    '[fd00::1]:99': ['fd00::1', 99],
    '[fd00::1]': ['fd00::1', 4656],
    'fd00::1': ['fd00::1', 4656],
    '::1': ['::1', 4656],
  }
  for (const [text, [host, port]] of Object.entries(addresses)) {
    assert.deepEqual(parseAddress(text), { host, port }, text)
    assert.deepEqual(parseAddress(formatAddress({ host, port })), { host, port })
  }
  for (const text of ['', ':', 'a:b', 'a:0', 'a:70000', 'a b:1', '[n1]:1', 'a:1:2', 'http://a'])
    assert.throws(() => parseAddress(text), /is no address/, text)
})

test('fromBase32() gives back what base32() wrote, and is the only way to write it', () => {
  assert.equal(base32(Buffer.from('foobar')), 'mzxw6ytboi')
  fc.assert(
    fc.property(fc.uint8Array(), (bytes) => {
      assert.deepEqual(fromBase32(base32(bytes)), Uint8Array.from(bytes))
    }),
  )
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'abz27A1') }), (text) => {
      const bytes = fromBase32(text)
      if (bytes !== undefined) assert.equal(base32(bytes), text)
    }),
  )
})
