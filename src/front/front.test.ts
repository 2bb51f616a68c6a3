/** A front between real clients and real servers, on loopback. */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type IncomingMessage, request, type Server } from 'node:http'
import { request as secureRequest } from 'node:https'
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import { test } from 'node:test'
import type { TLSSocket } from 'node:tls'
import { JoinFleet, until } from '../../test/support/join-fleet.ts'
import { createCa } from '../cluster/identity/certificates.ts'
import { realClock } from '../io/clock.ts'
import { Front } from './front.ts'
import type { Endpoint, FrontTable, Route } from './table.ts'

type Handler = Parameters<typeof createServer>[1]

/** Everything that a test opens, closed at its end. */
class Place implements AsyncDisposable {
  readonly front = new Front(realClock)
  readonly #servers: { close(): void; closeAllConnections?(): void }[] = []
  readonly #sockets: Socket[] = []

  async http(handler: Handler): Promise<{ server: Server; endpoint: Endpoint }> {
    const server = createServer(handler)
    return { server, endpoint: await this.#listen(server) }
  }

  tcp(onConnection: (socket: Socket) => void): Promise<Endpoint> {
    return this.#listen(createTcpServer({ allowHalfOpen: true }, onConnection))
  }

  async #listen(server: Server | ReturnType<typeof createTcpServer>): Promise<Endpoint> {
    this.#servers.push(server)
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    const number = this.#servers.length
    return { instance: `web.service/${number}`, host: '127.0.0.1', port, state: 'ready' }
  }

  connect(port: number): Socket {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true })
    this.#sockets.push(socket)
    return socket
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.front[Symbol.asyncDispose]()
    for (const server of this.#servers) {
      server.close()
      server.closeAllConnections?.()
    }
    for (const socket of this.#sockets) socket.destroy()
  }
}

async function freePort(): Promise<number> {
  const server = createTcpServer().listen(0)
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

async function route(endpoints: readonly Endpoint[], more: Partial<Route> = {}): Promise<Route> {
  const port = more.port ?? (await freePort())
  return { unit: 'web.service', protocol: 'http', hosts: [], ...more, port, endpoints }
}

function table(...routes: readonly Route[]): FrontTable {
  return { routes }
}

interface Answer {
  readonly status: number
  readonly text: string
}

function ask(
  port: number,
  options: { method?: string; headers?: Record<string, string>; body?: string | Buffer } = {},
): Promise<Answer> {
  const { method = 'GET', headers = {}, body } = options
  return new Promise((resolve, reject) => {
    const asked = request({ port, host: '127.0.0.1', method, headers, agent: false }, (answer) => {
      text(answer).then((all) => resolve({ status: answer.statusCode ?? 0, text: all }), reject)
    })
    asked.once('error', reject)
    asked.end(body)
  })
}

test('requests go to instances, with who asked, and answers come back whole', async () => {
  await using place = new Place()
  const { endpoint } = await place.http((asked, answer) => {
    answer.setHeader('X-Kept', 'yes')
    answer.end(`${asked.method} ${asked.url} ${asked.headers['x-forwarded-for']}`)
  })
  const here = await route([endpoint])
  assert.deepEqual((await place.front.apply(table(here))).problems, [])
  assert.deepEqual(await ask(here.port, { method: 'DELETE' }), {
    status: 200,
    text: 'DELETE / 127.0.0.1',
  })
})

test('large bodies pass both ways unchanged', async () => {
  await using place = new Place()
  const { endpoint } = await place.http((asked, answer) => void asked.pipe(answer))
  const here = await route([endpoint])
  await place.front.apply(table(here))
  const body = Buffer.alloc(20 * 1024 * 1024, 'holon ')
  for (const headers of [{ 'content-length': String(body.length) }, {}]) {
    const back = await new Promise<Buffer>((resolve, reject) => {
      const options = { port: here.port, host: '127.0.0.1', method: 'POST', headers, agent: false }
      const asked = request(options, (answer: IncomingMessage) =>
        buffer(answer).then(resolve, reject),
      )
      asked.once('error', reject)
      asked.end(body)
    })
    assert.ok(back.equals(body))
  }
})

test('a client that reads slowly holds its instance back, not this process’s memory', async () => {
  await using place = new Place()
  let sent = 0
  const { endpoint } = await place.http((_asked, answer) => {
    const more = () => {
      let goesOn = true
      while (goesOn && sent < 256 * 1024 * 1024) {
        goesOn = answer.write(Buffer.alloc(1024 * 1024))
        sent += 1024 * 1024
      }
    }
    answer.on('drain', more)
    more()
  })
  const here = await route([endpoint])
  await place.front.apply(table(here))
  const socket = place.connect(here.port)
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n')
  await once(socket, 'readable')
  let before = -1
  await until(
    () => {
      const stands = sent === before
      before = sent
      return stands && sent > 0
    },
    () => `${sent} bytes were sent`,
  )
  assert.ok(sent < 64 * 1024 * 1024, `${sent} bytes are on their way to who reads none`)
})

test('what fails is tried elsewhere when that cannot do harm, and not otherwise', async () => {
  await using place = new Place()
  const breaking = await place.http((asked) => void asked.socket.destroy())
  const closed = { ...breaking.endpoint, instance: 'web.service/7', port: await freePort() }
  const good = await place.http((asked, answer) => void asked.pipe(answer))
  const here = await route([breaking.endpoint, closed, good.endpoint])
  for (let i = 0; i < 6; i++) {
    await place.front.apply(table({ ...here, endpoints: [] }))
    await place.front.apply(table(here))
    assert.equal((await ask(here.port)).status, 200)
  }
  // A body may have had its effect; where nobody listens it had none.
  const lone = await route([breaking.endpoint])
  await place.front.apply(table(lone))
  const failed = await ask(lone.port, { method: 'POST', body: 'x' })
  assert.equal(failed.status, 502)
  assert.match(failed.text, /web\.service: web\.service\/1 did not answer/)
  const refused = await route([closed, good.endpoint])
  for (let i = 0; i < 4; i++) {
    await place.front.apply(table({ ...refused, endpoints: [] }))
    await place.front.apply(table(refused))
    const answer = await ask(refused.port, { method: 'POST', body: 'x' })
    assert.deepEqual(answer, { status: 200, text: 'x' })
  }
})

test('an answer that breaks off does so for the client, too', async () => {
  await using place = new Place()
  const { endpoint } = await place.http((asked, answer) => {
    answer.writeHead(200, { 'content-length': '100' })
    answer.write('begun', () => asked.socket.destroy())
  })
  const here = await route([endpoint])
  await place.front.apply(table(here))
  await assert.rejects(ask(here.port), { code: 'ECONNRESET' })
})

test('requests wait while no instance is ready', async () => {
  await using place = new Place()
  const { endpoint } = await place.http((_asked, answer) => answer.end('late'))
  const here = await route([])
  await place.front.apply(table(here))
  const asked = ask(here.port)
  await place.front.apply(table({ ...here, endpoints: [endpoint] }))
  assert.equal((await asked).text, 'late')
})

test('what drains gets nothing new, and is counted until it has finished', async () => {
  await using place = new Place()
  const held = Promise.withResolvers<void>()
  const old = await place.http(async (_asked, answer) => {
    await held.promise
    answer.end('old')
  })
  const fresh = await place.http((_asked, answer) => answer.end('new'))
  const here = await route([old.endpoint])
  await place.front.apply(table(here))
  const first = ask(here.port)
  const { instance } = old.endpoint
  await until(
    () => old.server.listening,
    () => '',
  )
  while ((await place.front.underWay(instance)) === 0) await new Promise(setImmediate)
  const draining = { ...old.endpoint, state: 'draining' } as const
  await place.front.apply(table({ ...here, endpoints: [draining, fresh.endpoint] }))
  assert.equal((await ask(here.port)).text, 'new')
  assert.equal(await place.front.underWay(instance), 1)
  held.resolve()
  assert.equal((await first).text, 'old')
  assert.equal(await place.front.underWay(instance), 0)
})

test('units share a port by the names that are asked for', async () => {
  await using place = new Place()
  const port = await freePort()
  const routes: Route[] = []
  for (const [unit, hosts] of [
    ['a.service', ['a.example']],
    ['any.service', ['*.example']],
    ['long.service', ['*.b.example']],
  ] as const) {
    const { endpoint } = await place.http((_asked, answer) => answer.end(unit))
    routes.push(await route([endpoint], { unit, hosts, port }))
  }
  await place.front.apply(table(...routes))
  const answer = async (host: string) => (await ask(port, { headers: { host } })).text
  assert.equal(await answer('A.example:80'), 'a.service')
  assert.equal(await answer('c.example'), 'any.service')
  assert.equal(await answer('x.b.example'), 'long.service')
  assert.match(await answer('other.org'), /no unit answers for "other\.org" here/)
  const { endpoint } = await place.http((_asked, answered) => answered.end('rest'))
  await place.front.apply(table(...routes, await route([endpoint], { unit: 'z.service', port })))
  assert.equal(await answer('other.org'), 'rest')
})

test('a port with certificates speaks TLS, with the one for the name that is asked for', async () => {
  await using place = new Place()
  const port = await freePort()
  const pair = async (name: string) => {
    const made = await createCa({ name, nowMs: Date.now() })
    return { certificate: made.certPem, key: made.keyPem }
  }
  const routes: Route[] = []
  for (const [unit, hosts] of [
    ['a.service', ['a.example']],
    ['b.service', ['b.example']],
  ] as const) {
    const { endpoint } = await place.http((asked, answer) =>
      answer.end(`${unit} ${asked.headers['x-forwarded-proto']}`),
    )
    routes.push(await route([endpoint], { unit, hosts, port, tls: await pair(unit) }))
  }
  const plain = await route([], { unit: 'c.service', port })
  const { problems } = await place.front.apply(table(...routes, plain))
  assert.match(problems.map(({ why }) => why).join(), /not served there: c\.service/)
  const asked = (servername: string) =>
    new Promise<string>((resolve, reject) => {
      const headers = { host: servername }
      const options = { port, host: '127.0.0.1', servername, headers, agent: false }
      const sent = secureRequest({ ...options, rejectUnauthorized: false }, (answer) => {
        const { subject } = (answer.socket as TLSSocket).getPeerCertificate()
        text(answer).then((body) => resolve(`${subject.CN} ${body}`), reject)
      })
      sent.once('error', reject)
      sent.end()
    })
  assert.equal(await asked('a.example'), 'a.service a.service https')
  assert.equal(await asked('b.example'), 'b.service b.service https')
  await assert.rejects(asked('other.example'))
})

test('a WebSocket is passed on from its first byte', async () => {
  await using place = new Place()
  const { server, endpoint } = await place.http((_asked, answer) => answer.end())
  server.on('upgrade', (asked: IncomingMessage, socket: Socket, head: Buffer) => {
    const { upgrade, connection } = asked.headers
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${upgrade}\r\n`)
    socket.write(`Connection: ${connection}\r\n\r\n`)
    socket.unshift(head)
    socket.pipe(socket)
  })
  const here = await route([endpoint])
  await place.front.apply(table(here))
  const socket = place.connect(here.port)
  socket.write(
    'GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhello',
  )
  let heard = ''
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString()
  })
  await until(
    () => heard.endsWith('hello'),
    () => heard,
  )
  assert.match(heard, /^HTTP\/1\.1 101 /)
  assert.equal(await place.front.underWay(endpoint.instance), 1)
})

test('connections of TCP keep what is half closed, and may begin with who the client is', async () => {
  await using place = new Place()
  // It answers when it has heard all.
  const endpoint = await place.tcp(async (socket) => void socket.end(`heard ${await text(socket)}`))
  const plain = await route([endpoint], { protocol: 'tcp' })
  const told = await route([endpoint], { protocol: 'proxy', unit: 'told.service' })
  await place.front.apply(table(plain, told))
  const socket = place.connect(plain.port)
  socket.end('all')
  assert.equal(await text(socket), 'heard all')
  const other = place.connect(told.port)
  await once(other, 'connect')
  const ports = `${other.localPort} ${told.port}`
  other.end('all')
  assert.equal(await text(other), `heard PROXY TCP4 127.0.0.1 127.0.0.1 ${ports}\r\nall`)
})

test('a port that is taken is told, and opened once it is free', async () => {
  await using place = new Place()
  const { endpoint } = await place.http((_asked, answer) => answer.end('mine'))
  const taken = createTcpServer().listen(0)
  await once(taken, 'listening')
  const { port } = taken.address() as AddressInfo
  const here = await route([endpoint], { port })
  const { problems } = await place.front.apply(table(here))
  assert.match(problems.map(({ why }) => why).join(), /another program listens there/)
  taken.close()
  await once(taken, 'close')
  assert.deepEqual((await place.front.apply(table(here))).problems, [])
  assert.equal((await ask(port)).text, 'mine')
})

test('instances of other machines are reached from front to front, by machines of the fleet', async () => {
  await using fleet = await JoinFleet.open()
  await using near = new Place()
  await using far = new Place()
  const other = await fleet.member('n2')
  const { endpoint } = await far.http((_asked, answer) => answer.end('from afar'))
  const farPort = await freePort()
  const machines = [
    { machineId: fleet.identity.machineId, name: 'n1', addresses: [] },
    { machineId: other.machineId, name: 'n2', addresses: [`127.0.0.1:${farPort}`] },
  ]
  const place = (name: string, certificate: string, port: number) => ({
    identityDir: join(fleet.dir, name),
    certificate,
    port,
    machines,
  })
  const farTable = {
    routes: [await route([endpoint])],
    fleet: place('n2', other.certPem, farPort),
  }
  assert.equal((await far.front.apply(farTable)).port, farPort)
  const here = await route([{ ...endpoint, machineId: other.machineId }])
  const nearTable = { routes: [here], fleet: place('n1', fleet.identity.certPem, 0) }
  await near.front.apply(nearTable)
  assert.equal((await ask(here.port)).text, 'from afar')
  assert.equal(await far.front.underWay(endpoint.instance), 1, 'kept for the next request')

  // Who is not of the fleet any more loses what it has open, and gets nothing new.
  await far.front.apply({ ...farTable, fleet: { ...farTable.fleet, machines: [] } })
  while ((await far.front.underWay(endpoint.instance)) > 0) await new Promise(setImmediate)
  const local = await near.http((_asked, answer) => answer.end('from here'))
  const both = await route([{ ...endpoint, machineId: other.machineId }, local.endpoint])
  await near.front.apply({ ...nearTable, routes: [both] })
  assert.equal((await ask(both.port)).text, 'from here')
})
