/** The port, knocked at by everyone who has no business there, over real TLS on loopback. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { readdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { test } from 'node:test'
import fc from 'fast-check'
import { JoinFleet, until } from '../../test/support/join-fleet.ts'
import { limits } from '../base/limits.ts'
import { realClock } from '../io/clock.ts'
import { connectTls, type TlsConnection, type TlsCredentials } from '../io/tls.ts'
import { createCa, issueCertificate, selfSignedCertificate } from './identity/certificates.ts'
import { dialMachine } from './identity/dial.ts'
import type { Identity } from './identity/identity.ts'
import { LiveConnections } from './identity/live.ts'
import { machineIdOf, newKeyPair } from './identity/machine-key.ts'
import type { MachineProtocol } from './identity/protocols.ts'
import { questionLine } from './join/messages.ts'

const dayMs = 24 * 3600_000

function dial(
  fleet: JoinFleet,
  identity: Identity,
  protocol: MachineProtocol = 'link',
  live = new LiveConnections(realClock, () => false),
): Promise<TlsConnection> {
  const { clock, signal, address } = fleet
  const isRemoved = () => false
  const { machineId } = fleet.identity
  return dialMachine(
    { clock, identity, isRemoved, live },
    { machineId, addresses: [address], protocol, signal },
  )
}

/** What the port says to these credentials before it closes. */
async function knock(
  fleet: JoinFleet,
  credentials: TlsCredentials | undefined,
  alpn: string,
  said: string | Uint8Array = '',
): Promise<string> {
  const { socket } = await connectTls({
    host: '127.0.0.1',
    port: fleet.port.port,
    alpn,
    ...(credentials === undefined ? {} : { credentials }),
    signal: fleet.signal,
  })
  let heard = ''
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString()
  })
  if (said !== '') socket.write(said)
  if (!socket.closed) await once(socket, 'close')
  return heard
}

test('MachinePort hands a machine’s connections to the protocol’s handler, by its id', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const link = await dial(fleet, identity)
  const stream = await dial(fleet, identity, 'stream')
  await until(
    () => fleet.accepted.length === 2,
    () => `${fleet.accepted.length} accepted`,
  )
  assert.deepEqual(
    fleet.accepted.map(({ kind, machineId }) => [kind, machineId]),
    [
      ['rpc', identity.machineId],
      ['stream', identity.machineId],
    ],
  )
  assert.equal(fleet.live.count(identity.machineId), 2)
  link.socket.destroy()
  stream.socket.destroy()
})

test('MachinePort closes who is no machine of the fleet, without a word', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const { clusterId, machineId, key } = identity
  const nowMs = Date.now()
  const stranger = newKeyPair()
  const ca = await createCa({ name: `holon ${clusterId}`, nowMs })
  const own = { machineId: machineIdOf(stranger.publicKey), publicKey: stranger.publicKey }
  const certificates: Record<string, TlsCredentials | undefined> = {
    none: undefined,
    'self-signed': {
      key: stranger.keyPem,
      cert: await selfSignedCertificate({ ...stranger, nowMs }),
    },
    'another CA of the same name': {
      key: stranger.keyPem,
      cert: await issueCertificate({ ca, clusterId, nowMs, ...own }),
    },
    'another CA, and the right one behind it': {
      key: stranger.keyPem,
      cert: (await issueCertificate({ ca, clusterId, nowMs, ...own })) + identity.caPem,
    },
    'another CA for a machine of the fleet': {
      key: key.keyPem,
      cert: await issueCertificate({ ca, clusterId, nowMs, machineId, publicKey: key.publicKey }),
    },
  }
  for (const [name, credentials] of Object.entries(certificates)) {
    for (const alpn of ['holon-rpc/1', 'holon-stream/1'])
      assert.equal(await knock(fleet, credentials, alpn, 'holon/1 0.1.0\n'), '', `${name} ${alpn}`)
  }
  assert.equal(fleet.accepted.length, 0)
  assert.equal(fleet.port.stats.refused, 10)
  assert.equal(fleet.live.count(), 0)
})

test('MachinePort a stolen certificate without its key makes no connection', async () => {
  await using fleet = await JoinFleet.open()
  const { certPem } = await fleet.member('n2')
  await assert.rejects(
    knock(fleet, { key: newKeyPair().keyPem, cert: certPem }, 'holon-rpc/1', 'hello'),
  )
  assert.equal(fleet.accepted.length, 0)
})

test('MachinePort plaintext of any kind is answered by TLS alerts at most', async () => {
  await using fleet = await JoinFleet.open()
  for (const text of ['GET / HTTP/1.1\r\n\r\n', 'holon/1 0.1.0\n', '\n', '{"kind":"renew"}\n']) {
    const socket = connect({ host: '127.0.0.1', port: fleet.port.port })
    const heard: Buffer[] = []
    socket.on('data', (chunk) => heard.push(chunk))
    socket.on('error', () => {})
    socket.end(text)
    await new Promise((resolve) => socket.once('close', resolve))
    const bytes = Buffer.concat(heard)
    // 21: an alert.
    assert.ok(bytes.length === 0 || (bytes[0] === 21 && bytes.length < 16), bytes.toString('hex'))
  }
  assert.equal(fleet.accepted.length, 0)
})

test('MachinePort.revoke() ends live connections of a removed machine, both ways and at once', async () => {
  await using fleet = await JoinFleet.open()
  const stolen = await fleet.member('n2')
  const other = await fleet.member('n3')
  const mine = await dial(fleet, stolen)
  const stream = await dial(fleet, stolen, 'stream')
  const unharmed = await dial(fleet, other)
  await until(
    () => fleet.live.count() === 3,
    () => `${fleet.live.count()} live`,
  )
  const closed = [mine, stream].map(({ socket }) => {
    socket.resume()
    return new Promise((resolve) => socket.once('close', resolve))
  })
  const beganMs = realClock.nowMs()
  fleet.removed.add(stolen.machineId)
  assert.equal(fleet.port.revoke(stolen.machineId), 2)
  await Promise.all(closed)
  assert.ok(realClock.nowMs() - beganMs < 5000)
  assert.equal(unharmed.socket.destroyed, false)
  // Its certificate is genuine and in time, and no use any more.
  assert.equal(await knock(fleet, stolen.credentials, 'holon-rpc/1', 'hello\n'), '')
  assert.equal(fleet.live.count(stolen.machineId), 0)
  unharmed.socket.destroy()
})

test('MachinePort an expired machine may only renew', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  fleet.clock.shiftMs = 8 * dayMs
  assert.equal(await knock(fleet, identity.credentials, 'holon-rpc/1', 'hello\n'), '')
  assert.equal(fleet.accepted.length, 0)
  const renew = questionLine({ kind: 'renew' })
  assert.match(await knock(fleet, identity.credentials, 'holon-join/1', renew), /"renewed"/)
})

test('dialMachine() refuses whoever is not the machine that was meant', async () => {
  await using fleet = await JoinFleet.open()
  await using other = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const live = new LiveConnections(realClock, () => false)
  const { clock, signal } = fleet
  const dialAs = (machineId: string, address: string, removed: readonly string[] = []) =>
    dialMachine(
      { clock, identity, isRemoved: (id) => removed.includes(id), live },
      { machineId, addresses: [address], protocol: 'link', signal },
    )
  const right = fleet.identity.machineId
  const expect = (kind: string) => ({ code: 'permission_denied', details: { kind } })
  await assert.rejects(dialAs(identity.machineId, fleet.address), expect('other-machine'))
  await assert.rejects(dialAs(right, other.address), expect('foreign'))
  await assert.rejects(dialAs(right, fleet.address, [right]), expect('removed'))
  fleet.clock.shiftMs = 8 * dayMs
  await assert.rejects(dialAs(right, fleet.address), expect('expired'))
  fleet.clock.shiftMs = -dayMs
  await assert.rejects(dialAs(right, fleet.address), expect('not-yet-valid'))
  assert.equal(live.count(), 0)
})

test('LiveConnections.check() ends links with their certificate, and streams once nothing renews', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const link = await dial(fleet, identity)
  const stream = await dial(fleet, identity, 'stream')
  await until(
    () => fleet.live.count() === 2,
    () => `${fleet.live.count()} live`,
  )
  const { notAfterMs } = identity.validity
  fleet.clock.shiftMs = notAfterMs - Date.now()
  fleet.live.check()
  assert.equal(fleet.accepted.filter(({ connection }) => connection.socket.destroyed).length, 0)
  fleet.clock.shiftMs += 6 * 60_000
  fleet.live.check()
  assert.deepEqual(
    fleet.accepted.map(({ kind, connection }) => [kind, connection.socket.destroyed]),
    [
      ['rpc', true],
      ['stream', false],
    ],
  )
  fleet.clock.shiftMs += 3 * 3600_000
  fleet.live.check()
  assert.ok(fleet.accepted.every(({ connection }) => connection.socket.destroyed))
  link.socket.destroy()
  stream.socket.destroy()
})

/** A record of TLS: type, version, length, content. */
const record = fc
  .tuple(fc.constantFrom(20, 21, 22, 23, 24, 0, 255), fc.uint8Array({ maxLength: 300 }))
  .map(([type, content]) =>
    Buffer.concat([Buffer.from([type, 3, 3, content.length >> 8, content.length & 255]), content]),
  )

test('MachinePort rubbish does not crash it, is not answered, and leaves nothing behind', async () => {
  await using fleet = await JoinFleet.open()
  const identity = await fleet.member('n2')
  const descriptors = () => readdirSync('/proc/self/fd').length
  const before = descriptors()
  const shout = async (chunks: readonly Uint8Array[]) => {
    const socket: Socket = connect({ host: '127.0.0.1', port: fleet.port.port })
    const heard: Buffer[] = []
    socket.on('data', (chunk) => heard.push(chunk))
    socket.on('error', () => {})
    for (const chunk of chunks) socket.write(chunk)
    socket.end()
    await new Promise((resolve) => socket.once('close', resolve))
    const bytes = Buffer.concat(heard)
    assert.ok(bytes.length === 0 || bytes[0] === 21, bytes.toString('hex').slice(0, 200))
  }
  const rubbish = fc.array(fc.oneof(record, fc.uint8Array({ maxLength: 2000 })), { maxLength: 5 })
  await fc.assert(fc.asyncProperty(rubbish, shout), { numRuns: 300 })
  assert.equal(fleet.accepted.length, 0)
  await until(
    () => fleet.port.stats.connections === 0 && descriptors() <= before,
    () => `${descriptors()} descriptors, ${before} before; ${JSON.stringify(fleet.port.stats)}`,
  )
  const client = await dial(fleet, identity)
  client.socket.destroy()
})

test('JoinServer any message of a stranger is closed without an answer', async () => {
  await using fleet = await JoinFleet.open()
  await fleet.invite()
  const pair = newKeyPair()
  const cert = await selfSignedCertificate({ ...pair, nowMs: Date.now() })
  const credentials = { key: pair.keyPem, cert }
  const request = fc.record({ inviteId: fc.constant('aaaaaaaa'), atMs: fc.anything() })
  const message = fc.oneof(
    fc.json(),
    fc.string(),
    fc.record({ kind: fc.constantFrom('join', 'renew'), request: fc.json(), proof: fc.string() }),
    fc.record({
      kind: fc.constant('join'),
      request: request.map(stringify),
      proof: fc.base64String(),
    }),
  )
  await fc.assert(
    fc.asyncProperty(message, async (value) => {
      const line = `${typeof value === 'string' ? value : stringify(value)}\n`
      assert.equal(await knock(fleet, credentials, 'holon-join/1', line), '')
    }),
    { numRuns: 100 },
  )
  const long = Buffer.alloc(70_000, 'a')
  assert.equal(await knock(fleet, credentials, 'holon-join/1', long), '')
  assert.equal(await knock(fleet, undefined, 'holon-join/1', '{"kind":"renew"}\n'), '')
  assert.equal(fleet.joins.size, 0)
})

test('JoinServer strangers who say nothing give way to one who joins', async () => {
  await using fleet = await JoinFleet.open()
  const silent = await Promise.all(
    Array.from({ length: limits.joinsMax + 5 }, () =>
      connectTls({
        host: '127.0.0.1',
        port: fleet.port.port,
        alpn: 'holon-join/1',
        signal: fleet.signal,
      }),
    ),
  )
  for (const { socket } of silent) socket.resume()
  await until(
    () => fleet.joins.size === limits.joinsMax,
    () => `${fleet.joins.size} conversations`,
  )
  await fleet.member('n2')
  assert.ok(fleet.joins.size <= limits.joinsMax)
  for (const { socket } of silent) socket.destroy()
})

function stringify(value: unknown): string {
  return JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? `${each}` : each)) ?? ''
}
