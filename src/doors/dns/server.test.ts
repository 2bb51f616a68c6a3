import assert from 'node:assert/strict'
import { createSocket, type Socket as UdpSocket } from 'node:dgram'
import { Resolver } from 'node:dns/promises'
import { once } from 'node:events'
import { connect } from 'node:net'
import { after, before, test } from 'node:test'
import dns, { type Answer } from 'dns-packet'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { seededRandom } from '../../base/random.ts'
import { realClock } from '../../io/clock.ts'
import { askUdp } from '../../io/udp.ts'
import type { NamedPlace, Resolution } from '../../kernel/names.ts'
import { DnsServer } from './server.ts'

const place = (number: number): NamedPlace => ({
  name: `${number}.many.holon`,
  unit: 'many.service',
  instance: number,
  machine: `n${number}`,
  addresses: [`10.0.${number >> 8}.${number & 255}`],
  port: 80,
  state: 'ready',
  isLocal: false,
})
const known: Omit<Resolution, 'name' | 'places'> = {
  kind: 'unit',
  knownAtMs: 0,
  isStale: false,
  missing: [],
}
const counts: Readonly<Record<string, number>> = { one: 1, many: 300 }
const system = {
  async resolve(asked: string): Promise<Resolution> {
    const count = counts[asked]
    if (count === undefined) throw new HolonError('not_found', 'there is none')
    const places = Array.from({ length: count }, (_, i) => place(i + 1))
    return { ...known, name: `${asked}.holon`, places }
  },
}

const reports: string[] = []
const deps = {
  clock: realClock,
  random: seededRandom(1),
  system,
  report: (message: string) => void reports.push(message),
}

let upstream: UdpSocket
let alone: DnsServer
let forwarding: DnsServer
const ports = { alone: 0, forwarding: 0 }

before(async () => {
  upstream = createSocket('udp4')
  upstream.bind(0, '127.0.0.1')
  await once(upstream, 'listening')
  upstream.on('message', (message, from) => {
    const { id = 0, questions = [] } = dns.decode(message)
    const name = questions[0]?.name ?? ''
    if (name === 'silent.example') return
    const answers: Answer[] = [{ name, type: 'A', ttl: 1, data: '192.0.2.7' }]
    const answer = (as: number) => dns.encode({ id: as, type: 'response', questions, answers })
    // One that somebody guessed, then the right one.
    upstream.send(answer(id ^ 1), from.port, from.address)
    upstream.send(answer(id), from.port, from.address)
  })
  alone = new DnsServer(deps, { listen: undefined, forward: [] })
  const server = { host: '127.0.0.1', port: upstream.address().port }
  forwarding = new DnsServer(deps, { listen: undefined, forward: [server] })
  ports.alone = await alone.listen({ host: '127.0.0.1', port: 0 })
  ports.forwarding = await forwarding.listen({ host: '127.0.0.1', port: 0 })
})
after(async () => {
  await alone[Symbol.asyncDispose]()
  await forwarding[Symbol.asyncDispose]()
  upstream.close()
  assert.deepEqual(reports, [])
})

function resolver(port: number): Resolver {
  const made = new Resolver({ timeout: 4_000, tries: 1 })
  made.setServers([`127.0.0.1:${port}`])
  return made
}

test('DnsServer answers an ordinary resolver, over TCP what UDP has no room for', async () => {
  const at = resolver(ports.alone)
  assert.deepEqual(await at.resolve4('one.holon'), ['10.0.0.1'])
  assert.equal((await at.resolve4('many.holon')).length, 300)
  assert.equal((await at.resolveSrv('many.holon')).length, 300)
  await assert.rejects(at.resolve4('other.holon'), { code: 'ENOTFOUND' })
  await assert.rejects(at.resolve4('example.com'), { code: 'EREFUSED' })
})

test('DnsServer passes other names on when asked to, and takes no answer but that one', async () => {
  const at = resolver(ports.forwarding)
  assert.deepEqual(await at.resolve4('example.com'), ['192.0.2.7'])
  assert.deepEqual(await at.resolve4('one.holon'), ['10.0.0.1'])
  await assert.rejects(at.resolve4('other.holon'), { code: 'ENOTFOUND' })
  const questions = [{ name: 'silent.example', type: 'A' as const }]
  const asked = dns.encode({ id: 9, type: 'query', questions })
  using limit = deadline(realClock, 10_000)
  const place = { host: '127.0.0.1', port: ports.forwarding }
  const { id, flags = 0 } = dns.decode(await askUdp(place, asked, () => true, limit.signal))
  assert.deepEqual([id, flags & 0xf], [9, 2])
})

test('DnsServer outlives noise on UDP and TCP', async () => {
  const socket = createSocket('udp4')
  for (let bytes = 0; bytes < 64; bytes += 1) {
    socket.send(Buffer.alloc(bytes, 0xc0 - bytes), ports.alone, '127.0.0.1')
  }
  const tcp = connect(ports.alone, '127.0.0.1')
  tcp.on('error', () => {})
  // Longer than any question.
  tcp.write(Buffer.alloc(70_000, 0xff))
  await new Promise((closed) => tcp.once('close', closed))
  socket.close()
  assert.deepEqual(await resolver(ports.alone).resolve4('one.holon'), ['10.0.0.1'])
})

test('DnsServer answers several questions of one connection', async () => {
  const tcp = connect(ports.alone, '127.0.0.1')
  const asked = (id: number) =>
    dns.streamEncode({ id, type: 'query', questions: [{ name: 'one.holon', type: 'A' }] })
  tcp.end(Buffer.concat([asked(1), asked(2)]))
  const chunks: Buffer[] = []
  for await (const chunk of tcp) chunks.push(chunk)
  const all = Buffer.concat(chunks)
  const first = dns.streamDecode(all)
  const second = dns.streamDecode(all.subarray(2 + all.readUInt16BE()))
  assert.deepEqual([first.id, second.id], [1, 2])
})

test('listen() of a taken port says so', async () => {
  await using other = new DnsServer(deps, { listen: undefined, forward: [] })
  const taken = other.listen({ host: '127.0.0.1', port: ports.alone })
  await assert.rejects(taken, { code: 'already_exists', message: /another program listens there/ })
})
