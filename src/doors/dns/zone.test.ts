import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Question } from 'dns-packet'
import { HolonError } from '../../base/errors.ts'
import type { NamedPlace, PlaceState, Resolution } from '../../kernel/names.ts'
import type { Reply } from './packet.ts'
import { askedBy, type Found, replyOfZone, replyTo } from './zone.ts'

const place = (number: number, state: PlaceState = 'ready', isLocal = false): NamedPlace => ({
  name: `${number}.web.holon`,
  unit: 'web.service',
  instance: number,
  machine: `n${number}`,
  addresses: [`10.0.0.${number}`, `fd00::${number}`],
  port: 8080,
  state,
  isLocal,
})

const found = (places: readonly NamedPlace[]): Found => {
  const known: Omit<Resolution, 'places'> = {
    name: 'web.holon',
    kind: 'unit',
    knownAtMs: 0,
    isStale: false,
    missing: [],
  }
  return { kind: 'found', resolution: { ...known, places } }
}

const reversed = <T>(values: readonly T[]) => [...values].reverse()
const ask = (name: string, type: string, of: Found): Reply => {
  const question = { name, type, class: 'IN' } as Question
  return replyTo(question, askedBy(question), of, reversed)
}
const data = ({ answers }: Reply) => answers.map((each) => ('data' in each ? each.data : each))
const rcode = (reply: Reply) => [reply.rcode, reply.answers.length, reply.authorities[0]?.type]

test('askedBy() tells names of the zone, services, addresses, and what is not ours', () => {
  const asked = (name: string, of = 'IN') => askedBy({ name, type: 'A', class: of } as Question)
  assert.deepEqual(asked('Web.HOLON'), { kind: 'name', name: 'web', as: 'host' })
  const service = { kind: 'name', name: '1.web', as: 'service' }
  assert.deepEqual(asked('_http._tcp.1.web.holon'), service)
  assert.deepEqual(asked('_tcp.web.holon'), { kind: 'name', name: 'web', as: 'none' })
  assert.deepEqual(asked('_x._udp.web.holon'), { kind: 'name', name: 'web', as: 'none' })
  assert.deepEqual(asked('holon'), { kind: 'zone', isApex: true })
  assert.deepEqual(asked('machines.holon'), { kind: 'zone', isApex: false })
  assert.deepEqual(asked('2.0.0.10.in-addr.arpa'), { kind: 'reverse', name: '10.0.0.2' })
  const six = `1${'.0'.repeat(27)}.0.0.d.f.ip6.arpa`
  assert.deepEqual(asked(six), { kind: 'reverse', name: 'fd00::1' })
  const others = ['example.com', 'myholon', 'a.holon.example', '', '0.10.in-addr.arpa', 'ip6.arpa']
  for (const other of others) assert.deepEqual(asked(other), { kind: 'outside' }, other)
  assert.deepEqual(asked('web.holon', 'CH'), { kind: 'outside' })
})

test('replyTo() gives addresses of what is ready, those here first', () => {
  const places = [
    place(1, 'ready', true),
    place(2),
    place(3, 'draining'),
    place(4),
    place(5, 'unknown'),
  ]
  const reply = ask('WEB.holon', 'A', found(places))
  assert.deepEqual(data(reply), ['10.0.0.1', '10.0.0.4', '10.0.0.2'])
  assert.deepEqual([reply.isAuthoritative, reply.answers[0]?.name], [true, 'WEB.holon'])
  assert.deepEqual(data(ask('web.holon', 'AAAA', found(places))), ['fd00::1', 'fd00::4', 'fd00::2'])
})

test('replyTo() gives what may be there while nothing is ready, and nothing else', () => {
  const places = [place(1, 'starting'), place(2, 'unknown'), place(3, 'draining')]
  assert.deepEqual(data(ask('web.holon', 'A', found(places))), ['10.0.0.2'])
  const none = found([place(1, 'starting')])
  assert.deepEqual(rcode(ask('web.holon', 'A', none)), ['ok', 0, 'SOA'])
  assert.deepEqual(rcode(ask('web.holon', 'SRV', found([]))), ['ok', 0, 'SOA'])
})

test('replyTo() SRV names each instance with the public port, and its addresses beside', () => {
  const reply = ask('_http._tcp.web.holon', 'SRV', found([place(1), place(2)]))
  const at = (target: string) => ({ priority: 0, weight: 1, port: 8080, target })
  assert.deepEqual(data(reply), [at('2.web.holon'), at('1.web.holon')])
  assert.equal(reply.additionals.length, 4)
  const { port: _, ...portless } = place(1)
  assert.deepEqual(rcode(ask('web.holon', 'SRV', found([portless]))), ['ok', 0, 'SOA'])
})

test('replyTo() of an instance that moves: one target with both addresses', () => {
  const moving = [place(1), { ...place(1), machine: 'n9', addresses: ['10.0.0.9'] }]
  const reply = ask('web.holon', 'SRV', found(moving))
  assert.equal(reply.answers.length, 1)
  assert.equal(reply.additionals.length, 3)
})

test('replyTo() of names that exist with nothing of that type is no NXDOMAIN', () => {
  const web = found([place(1)])
  for (const type of ['TXT', 'MX', 'HTTPS', 'PTR', 'SOA']) {
    assert.deepEqual(rcode(ask('web.holon', type, web)), ['ok', 0, 'SOA'], type)
  }
  assert.deepEqual(rcode(ask('_tcp.web.holon', 'A', web)), ['ok', 0, 'SOA'])
  assert.deepEqual(rcode(ask('_http._tcp.web.holon', 'A', web)), ['ok', 0, 'SOA'])
  assert.deepEqual(data(ask('web.holon', 'ANY', web)), [{ cpu: 'RFC8482', os: '' }])
})

test('replyTo() tells apart what does not exist and what cannot be known', () => {
  const failed = (code: 'not_found' | 'unavailable' | 'conflict' | 'invalid_argument') =>
    ask('web.holon', 'A', { kind: 'failed', error: new HolonError(code, '') })
  assert.deepEqual(rcode(failed('not_found')), ['noSuchName', 0, 'SOA'])
  assert.deepEqual(rcode(failed('invalid_argument')), ['noSuchName', 0, 'SOA'])
  assert.deepEqual(rcode(failed('unavailable')), ['serverFailure', 0, undefined])
  assert.deepEqual(rcode(failed('conflict')), ['serverFailure', 0, undefined])
})

test('replyTo() PTR names the machine', () => {
  const { resolution } = found([place(1)]) as Extract<Found, { kind: 'found' }>
  const machine: Found = {
    kind: 'found',
    resolution: { ...resolution, kind: 'machine', name: 'n1.machines.holon' },
  }
  assert.deepEqual(data(ask('1.0.0.10.in-addr.arpa', 'PTR', machine)), ['n1.machines.holon'])
  assert.deepEqual(rcode(ask('1.0.0.10.in-addr.arpa', 'A', machine)), ['ok', 0, 'SOA'])
})

test('replyOfZone() has the zone’s own record, and nothing of other types', () => {
  const of = (type: string) => ({ name: 'holon', type, class: 'IN' }) as Question
  assert.equal(replyOfZone(of('SOA'), true).answers[0]?.type, 'SOA')
  assert.deepEqual(rcode(replyOfZone(of('A'), true)), ['ok', 0, 'SOA'])
  assert.deepEqual(rcode(replyOfZone(of('SOA'), false)), ['ok', 0, 'SOA'])
})
