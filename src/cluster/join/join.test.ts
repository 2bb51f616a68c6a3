/** Joining and renewing over real TLS on loopback: what works, and each refusal. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import fc from 'fast-check'
import { JoinFleet, MovableClock } from '../../../test/support/join-fleet.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { realRandom } from '../../io/random.ts'
import { connectTls } from '../../io/tls.ts'
import { parseAddress } from '../identity/address.ts'
import { createCa, issueCertificate } from '../identity/certificates.ts'
import { loadIdentity, saveIdentity } from '../identity/identity.ts'
import { machineIdOf, newKeyPair } from '../identity/machine-key.ts'
import { verifyPeer } from '../identity/verify.ts'
import { PortIssuer } from './client.ts'
import { decideJoin, versionsFit } from './decide.ts'
import { listInvites } from './invites.ts'
import { readLine } from './line.ts'
import { parseAnswer, parseJoinRequest, parseQuestion } from './messages.ts'
import { leaveFleet, removeMachine } from './remove.ts'
import { formatToken, parseToken } from './token.ts'

const hourMs = 3600_000
const dayMs = 24 * hourMs

/** The error must have this kind, and its text must say this. */
function kind(expected: string, text: RegExp): (error: unknown) => true {
  return (error) => {
    assert.ok(error instanceof HolonError, String(error))
    assert.equal(error.details['kind'], expected, error.message)
    assert.match(error.message, text)
    return true
  }
}

test('joinFleet() gives a machine its papers, its record and the members', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite()
  assert.match(token, /^[a-z0-9]{64}$/)
  const { papers, machine, members } = await fleet.join('n2', token, {
    zone: 'eu/paris',
    labels: { disk: 'ssd' },
  })
  assert.equal(machine.name, 'n2')
  assert.equal(machine.zone, 'eu/paris')
  assert.deepEqual(machine.labels, { disk: 'ssd' })
  assert.deepEqual(machine.addresses, ['127.0.0.1:4656'])
  assert.equal(machine.publicKey, fleet.key('n2').publicKey)
  assert.deepEqual(members.map(({ name }) => name).sort(), ['n1', 'n2'])
  const saved = saveIdentity(join(fleet.dir, 'n2'), fleet.key('n2'), papers)
  const loaded = loadIdentity(join(fleet.dir, 'n2'))
  assert.equal(loaded?.certPem, saved.certPem)
  assert.equal(loaded?.machineId, machine.machineId)
  const [invite] = await listInvites(fleet.state, fleet)
  assert.deepEqual(
    invite?.uses.map(({ name }) => name),
    ['n2'],
  )
})

test('joinFleet() the secret is neither sent nor kept', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite()
  const secret = Buffer.from(parseToken(token).secret)
  await fleet.join('n2', token)
  const kept = JSON.stringify(await fleet.state.export(fleet))
  for (const encoding of ['base64', 'hex', 'latin1'] as const)
    assert.ok(!kept.includes(secret.toString(encoding)), encoding)
  assert.ok(!kept.includes(token))
})

test('joinFleet() repeated after a lost answer gives the same and spends nothing', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite({ uses: 2 })
  const first = await fleet.join('n2', token)
  const second = await fleet.join('n2', token)
  assert.deepEqual(second.machine, first.machine)
  fleet.clock.shiftMs += hourMs
  const late = await fleet.join('n2', token, { name: 'another' })
  assert.deepEqual(late.machine, first.machine, 'also after the token has expired')
  const [invite] = await listInvites(fleet.state, fleet)
  assert.equal(invite?.uses.length, 1)
})

test('joinFleet() of two racing for one use one wins and the other is told', async () => {
  await using fleet = await JoinFleet.open()
  for (let round = 0; round < 5; round++) {
    const token = await fleet.invite()
    const names = [`a${round}`, `b${round}`]
    const results = await Promise.allSettled(names.map((name) => fleet.join(name, token)))
    const lost = results.filter((result) => result.status === 'rejected')
    assert.equal(lost.length, 1)
    kind('used-up', /used up: by "[ab]\d" at .*holon machines remove [ab]\d/)(lost[0]?.reason)
  }
})

test('joinFleet() of two racing for one name one wins and the other is told', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite({ uses: 2 })
  const results = await Promise.allSettled(
    ['x', 'y'].map((key) => fleet.join('same', token, { key: fleet.key(key) })),
  )
  const lost = results.filter((result) => result.status === 'rejected')
  assert.equal(lost.length, 1)
  kind('name-taken', /--name same-2/)(lost[0]?.reason)
})

test('joinFleet() a state that answers `unknown` and `unavailable` changes nothing', async () => {
  await using fleet = await JoinFleet.open({ unknown: 0.3, lateMsMax: 20, latencyMsMax: 2 })
  const token = await fleet.invite({ uses: 10 })
  const names = Array.from({ length: 10 }, (_, i) => `m${i}`)
  const joined = await Promise.all(names.map((name) => fleet.join(name, token)))
  assert.deepEqual(joined.map(({ machine }) => machine.name).sort(), names)
  const [invite] = await listInvites(fleet.state, fleet)
  assert.equal(invite?.uses.length, 10)
})

test('joinFleet() refuses a mistyped token before it connects', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite()
  const other = token.startsWith('a') ? 'b' : 'a'
  const mistyped = kind('token-mistyped', /mistyped or cut off/)
  await assert.rejects(fleet.join('n2', other + token.slice(1)), mistyped)
  await assert.rejects(fleet.join('n2', token.slice(1)), mistyped)
  await assert.rejects(fleet.join('n2', `${token.slice(0, -1)}1`), mistyped)
})

test('joinFleet() says nothing to a fleet with another CA', async () => {
  await using fleet = await JoinFleet.open()
  await using other = await JoinFleet.open()
  const wrong = kind('wrong-fleet', /not the fleet that made this token; nothing was said/)
  await assert.rejects(fleet.join('n2', await other.invite()), wrong)
})

test('joinFleet() is not fooled by a server that shows the right CA behind its own certificate', async () => {
  await using fleet = await JoinFleet.open()
  await using liar = await JoinFleet.open()
  const { credentials } = liar.identity
  const shown = { key: credentials.key, cert: liar.identity.certPem + fleet.identity.caPem }
  Object.defineProperty(liar.identity, 'credentials', { get: () => shown })
  const token = await fleet.invite()
  await assert.rejects(
    fleet.join('n2', token, { address: liar.address }),
    kind('wrong-fleet', /no machine of this fleet|not the fleet/),
  )
})

test('joinFleet() refuses used-up and expired tokens and says by whom and when', async () => {
  await using fleet = await JoinFleet.open()
  const used = await fleet.invite()
  await fleet.join('n2', used)
  await assert.rejects(fleet.join('n3', used), kind('used-up', /by "n2" at \d{4}-/))
  const old = await fleet.invite({ ttlMs: 1000 })
  fleet.clock.shiftMs += 10 * 60_000
  await assert.rejects(fleet.join('n3', old), kind('expired', /10 min ago.*--ttl/))
})

test('joinFleet() a wrong secret gets no answer, and the reader is told what that can mean', async () => {
  await using fleet = await JoinFleet.open()
  const token = parseToken(await fleet.invite())
  const forged = formatToken({ ...token, secret: realRandom.bytes(16) })
  const silent = kind('not-answered', /closed without an answer/)
  await assert.rejects(fleet.join('n2', forged), silent)
  const unknown = formatToken({ ...token, inviteId: 'aaaaaaaa' })
  await assert.rejects(fleet.join('n2', unknown), silent)
})

test('joinFleet() clocks an hour apart: which side is ahead, and by how much', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite()
  const ahead = new MovableClock()
  ahead.shiftMs = hourMs
  await assert.rejects(
    fleet.join('n2', token, { clock: ahead }),
    kind('clock', /60 min ahead of the fleet's: here .*, there .*set the wrong one/),
  )
  const behind = new MovableClock()
  behind.shiftMs = -hourMs
  // The fleet's certificate is minutes old, so the joiner sees it by itself.
  await assert.rejects(
    fleet.join('n2', token, { clock: behind }),
    kind('clock', /valid from .*clock is behind/),
  )
  // With an older one the fleet says it.
  fleet.clock.shiftMs = dayMs
  const fresh = await fleet.invite()
  behind.shiftMs = dayMs - hourMs
  await assert.rejects(fleet.join('n2', fresh, { clock: behind }), kind('clock', /60 min behind/))
  behind.shiftMs = dayMs - 4 * 60_000
  await fleet.join('n2', fresh, { clock: behind })
})

test('joinFleet() refuses versions too different, bad names and odd zones', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite()
  const join = (wish: Parameters<typeof fleet.join>[2]) => fleet.join('n2', token, wish)
  await assert.rejects(join({ version: '9.0.0' }), kind('version', /9\.0\.0.*upgrade the older/))
  await assert.rejects(join({ name: 'a:b' }), kind('bad-name', /--name/))
  await assert.rejects(join({ name: 'n1' }), kind('name-taken', /--name n1-2/))
  await assert.rejects(join({ zone: 'a b' }), kind('malformed', /zone/))
  await assert.rejects(join({ labels: { a: 'x\ny' } }), kind('malformed', /labels/))
  await fleet.join('n2', token)
})

test('joinFleet() a removed machine is told so; a new key gets in', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const deps = { clock: fleet.clock, random: realRandom, state: fleet.state, by: 'n1' }
  assert.equal(await removeMachine(deps, 'n2', fleet), identity.machineId)
  const token = await fleet.invite()
  await assert.rejects(fleet.join('n2', token), kind('removed', /removed .* by n1.*holon leave/))
  await fleet.join('n2', token, { key: fleet.key('n2-anew') })
  await assert.rejects(removeMachine(deps, 'nobody', fleet), { code: 'not_found' })
})

test('leaveFleet() frees the name; the key may come back', async () => {
  await using fleet = await JoinFleet.open()
  const { machineId } = await fleet.member('n2')
  const deps = { clock: fleet.clock, random: realRandom, state: fleet.state, by: 'n2' }
  await leaveFleet(deps, machineId, fleet)
  await leaveFleet(deps, machineId, fleet)
  const { machine } = await fleet.join('n2', await fleet.invite())
  assert.equal(machine.machineId, machineId)
})

test('joinFleet() a fleet that cannot write says so, and the same command works later', async () => {
  await using fleet = await JoinFleet.open()
  const token = await fleet.invite()
  const { txn } = fleet.state
  fleet.state.txn = () => Promise.reject(new HolonError('unavailable', 'etcd has no majority'))
  await assert.rejects(fleet.join('n2', token), (error) => {
    assert.ok(error instanceof HolonError && error.retryable)
    return kind('state-unavailable', /cannot write its state now: .*no majority/)(error)
  })
  fleet.state.txn = txn
  await fleet.join('n2', token)
})

test('PortIssuer renews a machine that was off for two years', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  fleet.clock.shiftMs = 2 * 365 * dayMs
  // The fleet was on all the time.
  const own = await renewOwn(fleet)
  fleet.identity.replace(own)
  const issuer = new PortIssuer(fleet.clock, identity, () => ['127.0.0.1:1', fleet.address])
  const certPem = await issuer.issue(identity.machineId, identity.key.publicKey, fleet)
  identity.replace(certPem)
  assert.ok(identity.validity.notAfterMs > fleet.clock.wallMs() + 6 * dayMs)
})

test('PortIssuer does not speak to an expired fleet; a removed machine is told so', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const issuer = new PortIssuer(fleet.clock, identity, () => [fleet.address])
  const renew = () => issuer.issue(identity.machineId, identity.key.publicKey, fleet)
  fleet.clock.shiftMs = 30 * dayMs
  await assert.rejects(renew(), kind('clock', /its certificate ended at/))
  fleet.clock.shiftMs = 0
  const deps = { clock: fleet.clock, random: realRandom, state: fleet.state, by: 'n1' }
  await removeMachine(deps, 'n2', fleet)
  await assert.rejects(renew(), kind('removed', /was removed/))
  fleet.removed.add(identity.machineId)
  await assert.rejects(renew(), kind('removed', /was removed/))
})

test('PortIssuer gets nothing for a certificate of another CA, or for one that names another key', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const { clusterId } = identity
  const nowMs = Date.now()
  const ca = await createCa({ name: 'mine', nowMs })
  const { machineId, publicKey, keyPem } = identity.key
  const forged = await issueCertificate({ ca, machineId, publicKey, clusterId, nowMs })
  const ask = async (cert: string, key: string) => {
    const connection = await connectTls({
      ...parseAddress(fleet.address),
      alpn: 'holon-join/1',
      credentials: { key, cert },
      signal: fleet.signal,
    })
    connection.socket.write('{"kind":"renew"}\n')
    return readLine(connection.socket, 65_536, fleet.signal)
  }
  await assert.rejects(ask(forged, keyPem), kind('closed', /./))
  // A genuine certificate with a key that is not its own does not even make a connection.
  await assert.rejects(ask(identity.certPem, newKeyPair().keyPem))
  assert.match(await ask(identity.certPem, keyPem), /renewed/)
})

test('verifyPeer() refuses what is not a machine of this fleet in time', async () => {
  const nowMs = Date.now()
  const ca = await createCa({ name: 'holon', nowMs })
  const pair = newKeyPair()
  const machineId = machineIdOf(pair.publicKey)
  const issue = async (change: object) => {
    const { X509Certificate } = await import('node:crypto')
    const wish = { ca, machineId, publicKey: pair.publicKey, clusterId: 'c1', nowMs, ...change }
    return new X509Certificate(await issueCertificate(wish))
  }
  const check = { caPem: ca.certPem, clusterId: 'c1', nowMs, isRemoved: () => false }
  const verdict = async (change: object, given: object = {}) => {
    const answer = verifyPeer({ ...check, chain: [await issue(change)], ...given })
    return answer.kind === 'refused' ? answer.reason : answer.kind
  }
  assert.equal(await verdict({}), 'machine')
  assert.equal(verifyPeer({ ...check, chain: [] }).kind, 'refused')
  assert.equal(await verdict({ ca: await createCa({ name: 'holon', nowMs }) }), 'foreign')
  assert.equal(await verdict({ clusterId: 'c2' }), 'other-cluster')
  assert.equal(await verdict({ publicKey: newKeyPair().publicKey }), 'malformed')
  assert.equal(await verdict({}, { isRemoved: (id: string) => id === machineId }), 'removed')
  const graceMs = limits.clockGraceMs
  // Issued with the grace before it, and given as much again.
  assert.equal(await verdict({}, { nowMs: nowMs - 2 * graceMs + 2000 }), 'machine')
  assert.equal(await verdict({}, { nowMs: nowMs - 2 * graceMs - 2000 }), 'not-yet-valid')
  const endMs = nowMs + limits.certificateMs
  assert.equal(await verdict({}, { nowMs: endMs + graceMs - 2000 }), 'machine')
  assert.equal(await verdict({}, { nowMs: endMs + graceMs + 2000 }), 'expired')
  const { X509Certificate } = await import('node:crypto')
  const self = verifyPeer({ ...check, chain: [new X509Certificate(ca.certPem)] })
  assert.equal(self.kind === 'refused' && self.reason, 'foreign')
})

test('verifyPeer() a certificate with any change in it is refused', async () => {
  const { X509Certificate } = await import('node:crypto')
  const nowMs = Date.now()
  const ca = await createCa({ name: 'holon', nowMs })
  const { publicKey } = newKeyPair()
  const machineId = machineIdOf(publicKey)
  const whole = new X509Certificate(
    await issueCertificate({ ca, machineId, publicKey, clusterId: 'c1', nowMs }),
  ).raw
  fc.assert(
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
      const bytes = Buffer.from(whole)
      bytes[at] = (bytes[at] ?? 0) ^ change
      let changed: InstanceType<typeof X509Certificate>
      try {
        changed = new X509Certificate(bytes)
      } catch {
        return
      }
      const check = { caPem: ca.certPem, nowMs, isRemoved: () => false }
      assert.equal(verifyPeer({ ...check, chain: [changed] }).kind, 'refused')
    }),
    { numRuns: 2000 },
  )
})

test('parseToken() gives back what formatToken() wrote, and nothing else', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.uint8Array({ minLength: 16, maxLength: 16 }),
      fc.nat(63),
      fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz234567'),
      (secret, caHash, at, letter) => {
        const token = formatToken({ inviteId: 'abcdefg2', secret, caHash })
        const read = parseToken(` ${token.toUpperCase()}\n`)
        assert.deepEqual(Buffer.from(read.secret), Buffer.from(secret))
        assert.deepEqual(Buffer.from(read.caHash), Buffer.from(caHash))
        assert.equal(read.inviteId, 'abcdefg2')
        const changed = token.slice(0, at) + letter + token.slice(at + 1)
        if (changed !== token) assert.throws(() => parseToken(changed), /mistyped/)
      },
    ),
  )
})

test('parsers of messages take any JSON without throwing anything but a HolonError', () => {
  fc.assert(
    fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
      parseQuestion(text)
      parseJoinRequest(text)
      assert.throws(() => parseAnswer(text), HolonError)
    }),
  )
})

test('decideJoin() never grants more uses than there are', () => {
  const uses = fc.array(fc.record({ machineId: fc.string(), name: fc.string(), atMs: fc.nat() }), {
    maxLength: 5,
  })
  fc.assert(
    fc.property(uses, fc.integer({ min: 1, max: 5 }), fc.nat(100), (used, usesMax, nowMs) => {
      const decision = decideJoin({
        request: {
          inviteId: 'abcdefgh',
          atMs: nowMs,
          name: 'n2',
          zone: '',
          labels: {},
          addresses: [],
          listenPort: 1,
          version: '0.1.0',
        },
        machineId: 'm',
        publicKey: 'k',
        remoteAddress: '::1',
        invite: { macKey: '', createdAtMs: 0, expiresAtMs: 50, usesMax, uses: used, createdBy: '' },
        record: undefined,
        removed: undefined,
        nameHolder: undefined,
        nowMs,
        version: '0.1.0',
      })
      assert.equal(decision.kind === 'grant', used.length < usesMax && nowMs <= 50)
      if (decision.kind === 'grant') {
        assert.equal(decision.invite.uses.length, used.length + 1)
        assert.deepEqual(decision.record.addresses, ['[::1]:1'])
      }
    }),
  )
})

test('versionsFit() neighbours only before 1.0, one major version after', () => {
  assert.ok(versionsFit('0.1.0', '0.2.9'))
  assert.ok(!versionsFit('0.1.0', '0.3.0'))
  assert.ok(versionsFit('1.0.0', '1.9.0'))
  assert.ok(!versionsFit('1.0.0', '2.0.0'))
  assert.ok(!versionsFit('rubbish', '0.1.0'))
})

/** As a machine that keeps the state does: by itself. */
async function renewOwn(fleet: JoinFleet): Promise<string> {
  const { StateAuthority } = await import('./authority.ts')
  const { machineId, key, clusterId } = fleet.identity
  const authority = new StateAuthority(fleet.clock, fleet.state, clusterId)
  return authority.issue(machineId, key.publicKey, fleet)
}
