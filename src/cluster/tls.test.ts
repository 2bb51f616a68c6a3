/** Tests of io/tls.ts and io/listen-tls.ts. Here, because certificates are made in this folder, above io. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, test } from 'node:test'
import { connect as connectTlsRaw } from 'node:tls'
import { deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { realClock } from '../io/clock.ts'
import { type ListenTlsOptions, listenTls, type TlsListener } from '../io/listen-tls.ts'
import { connectTls, type TlsConnection, type TlsCredentials } from '../io/tls.ts'
import { selfSignedCertificate } from './identity/certificates.ts'
import { newKeyPair } from './identity/machine-key.ts'

const limit = deadline(realClock, 30_000)
after(() => limit[Symbol.dispose]())
const { signal } = limit

async function credentials(): Promise<TlsCredentials> {
  const pair = newKeyPair()
  return { key: pair.keyPem, cert: await selfSignedCertificate({ ...pair, nowMs: Date.now() }) }
}

const serverCredentials = await credentials()
const clientCredentials = await credentials()

interface TestServer extends AsyncDisposable {
  readonly listener: TlsListener
  readonly accepted: TlsConnection[]
}

async function serve(options: Partial<ListenTlsOptions> = {}): Promise<TestServer> {
  const accepted: TlsConnection[] = []
  const listener = await listenTls({
    host: '127.0.0.1',
    port: 0,
    alpns: ['a/1', 'b/1'],
    credentials: () => serverCredentials,
    onConnection: (connection) => accepted.push(connection),
    ...options,
  })
  return {
    listener,
    accepted,
    async [Symbol.asyncDispose]() {
      await listener[Symbol.asyncDispose]()
      for (const { socket } of accepted) socket.destroy()
      await until(
        () => listener.connections === 0,
        () => `${listener.connections} left`,
      )
    },
  }
}

async function until(holds: () => boolean, state: () => string): Promise<void> {
  const endMs = realClock.nowMs() + 10_000
  while (!holds()) {
    assert.ok(realClock.nowMs() < endMs, state())
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function dial({ listener }: TestServer, alpn = 'a/1'): Promise<TlsConnection> {
  return connectTls({
    host: '127.0.0.1',
    port: listener.port,
    alpn,
    credentials: clientCredentials,
    signal,
  })
}

test('connectTls() both ends see the protocol, each other’s certificate and the same keying material', async () => {
  await using server = await serve()
  const client = await dial(server, 'b/1')
  await until(
    () => server.accepted.length === 1,
    () => 'not accepted',
  )
  const [accepted] = server.accepted
  assert.ok(accepted)
  assert.equal(client.alpn, 'b/1')
  assert.equal(accepted.alpn, 'b/1')
  assert.equal(client.peerChain[0]?.toString(), serverCredentials.cert)
  assert.equal(accepted.peerChain[0]?.toString(), clientCredentials.cert)
  assert.equal(accepted.remoteAddress, '127.0.0.1')
  const label = 'EXPORTER-test'
  assert.deepEqual(client.exportKeyingMaterial(label, 32), accepted.exportKeyingMaterial(label, 32))
  assert.equal(server.listener.handshakes, 0)
  assert.equal(server.listener.connections, 1)
  accepted.socket.write('hello')
  const [chunk] = (await once(client.socket, 'data')) as [Buffer]
  assert.equal(chunk.toString(), 'hello')
  client.socket.destroy()
})

test('connectTls() the other side’s chain has the issuer that it showed', async () => {
  const issuer = await credentials()
  await using server = await serve({
    credentials: () => ({ ...serverCredentials, cert: serverCredentials.cert + issuer.cert }),
  })
  const client = await dial(server)
  assert.equal(client.peerChain[0]?.toString(), serverCredentials.cert)
  client.socket.destroy()
})

test('connectTls() gives its bytes to a reader', async () => {
  await using server = await serve()
  const buffer = new Uint8Array(1024)
  let text = ''
  const client = await connectTls({
    host: '127.0.0.1',
    port: server.listener.port,
    alpn: 'a/1',
    signal,
    reader: {
      buffer: () => buffer,
      chunk: (bytes) => {
        text += bytes.toString()
        return true
      },
    },
  })
  await until(
    () => server.accepted.length === 1,
    () => 'not accepted',
  )
  server.accepted[0]?.socket.write('straight')
  await until(
    () => text === 'straight',
    () => text,
  )
  client.socket.destroy()
})

test('connectTls() a protocol that is not spoken there is unavailable, for good', async () => {
  await using server = await serve()
  await assert.rejects(dial(server, 'other/1'), (error) => {
    assert.ok(error instanceof HolonError)
    assert.equal(error.code, 'unavailable')
    assert.equal(error.retryable, false)
    return true
  })
  assert.equal(server.accepted.length, 0)
})

test('connectTls() nobody there is unavailable; an ended signal ends it', async () => {
  const server = await serve()
  await server[Symbol.asyncDispose]()
  await assert.rejects(dial(server), { code: 'unavailable', retryable: true })
  // A port that accepts and says nothing.
  await using mute = await serve({ handshakesMax: 10 })
  using short = deadline(realClock, 50, signal)
  const port = mute.listener.port
  const silent = connect({ host: '127.0.0.1', port })
  await once(silent, 'connect')
  silent.destroy()
  const { createServer } = await import('node:net')
  const listener = createServer(() => {}).listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const address = listener.address()
  assert.ok(typeof address === 'object' && address !== null)
  await assert.rejects(
    connectTls({ host: '127.0.0.1', port: address.port, alpn: 'a/1', signal: short.signal }),
    { code: 'deadline_exceeded' },
  )
  listener.close()
})

test('listenTls() shows a renewed certificate at once, without touching open connections', async () => {
  let shown = serverCredentials
  await using server = await serve({ credentials: () => shown })
  const first = await dial(server)
  shown = await credentials()
  const second = await dial(server)
  assert.equal(second.peerChain[0]?.toString(), shown.cert)
  // What else the first context had still holds.
  await assert.rejects(dial(server, 'other/1'), { code: 'unavailable' })
  await until(
    () => server.accepted.length === 2,
    () => 'not accepted',
  )
  assert.equal(server.accepted[1]?.peerChain[0]?.toString(), clientCredentials.cert)
  server.accepted[0]?.socket.write('still')
  const [chunk] = (await once(first.socket, 'data')) as [Buffer]
  assert.equal(chunk.toString(), 'still')
  first.socket.destroy()
  second.socket.destroy()
})

test('listenTls() refuses older TLS, no ALPN, and resumed sessions', async () => {
  await using server = await serve()
  const { port } = server.listener
  const base = { host: '127.0.0.1', port, rejectUnauthorized: false, servername: '' }
  const ended = async (options: object) => {
    const socket = connectTlsRaw({ ...base, ...options })
    socket.on('error', () => {})
    socket.resume()
    const sessions: Buffer[] = []
    socket.on('session', (session) => sessions.push(session))
    await new Promise((resolve) => socket.once('close', resolve))
    return sessions
  }
  await ended({ ALPNProtocols: ['a/1'], maxVersion: 'TLSv1.2' })
  await ended({})
  assert.equal(server.accepted.length, 0)

  const first = connectTlsRaw({ ...base, ALPNProtocols: ['a/1'], ...clientCredentials })
  const session = await new Promise<Buffer | undefined>((resolve) => {
    first.once('session', resolve)
    first.on('error', () => {})
    first.once('close', () => resolve(undefined))
    setTimeout(() => resolve(undefined), 2000)
  })
  first.destroy()
  assert.equal(server.accepted.length, 1)
  assert.ok(session, 'the server gave no session to resume: then refuse nothing, but look why')
  await ended({ ALPNProtocols: ['a/1'], ...clientCredentials, session })
  assert.equal(server.accepted.length, 1, 'a resumed session is closed')
})

test('listenTls() silent handshakes end; the oldest gives way to the newest', async () => {
  await using server = await serve({ handshakesMax: 3, handshakeMs: 300 })
  const { port } = server.listener
  const silent = Array.from({ length: 10 }, () => connect({ host: '127.0.0.1', port }))
  let bytes = 0
  for (const socket of silent) {
    socket.on('error', () => {})
    socket.on('data', (chunk) => {
      bytes += chunk.length
    })
  }
  const closed = silent.map((socket) => once(socket, 'close'))
  // An honest one still comes through.
  const client = await dial(server)
  assert.ok(server.listener.handshakes <= 3, `${server.listener.handshakes}`)
  await Promise.all(closed)
  assert.equal(bytes, 0)
  await until(
    () => server.listener.connections === 1,
    () => `${server.listener.connections}`,
  )
  client.socket.destroy()
})

test('listenTls() takes no more than connectionsMax, and takes on again after one has gone', async () => {
  await using server = await serve({ connectionsMax: 2 })
  const first = await dial(server)
  const second = await dial(server)
  await assert.rejects(dial(server), { code: 'unavailable' })
  first.socket.destroy()
  await until(
    () => server.listener.connections === 1,
    () => `${server.listener.connections}`,
  )
  const third = await dial(server)
  third.socket.destroy()
  second.socket.destroy()
})

test('listenTls() a taken port is said to be one', async () => {
  await using server = await serve()
  await assert.rejects(serve({ port: server.listener.port }), { code: 'already_exists' })
})
