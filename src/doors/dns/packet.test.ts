import assert from 'node:assert/strict'
import { test } from 'node:test'
import dns, { type Answer, type Packet } from 'dns-packet'
import fc from 'fast-check'
import { type Query, type Reply, readQuery, udpBytes, writeReply } from './packet.ts'

const asked = (more: Packet = {}) =>
  dns.encode({ id: 7, type: 'query', questions: [{ name: 'web.holon', type: 'A' }], ...more })
const edns = (udpPayloadSize: number) =>
  ({ type: 'OPT', name: '.', udpPayloadSize, flags: 0, options: [] }) as unknown as Answer

function queryOf(packet: Buffer): Query {
  const read = readQuery(packet)
  assert.equal(read.kind, 'query')
  return (read as Extract<typeof read, { kind: 'query' }>).query
}

test('readQuery() reads a question, and what a client of EDNS takes', () => {
  const { id, question, ednsBytes } = queryOf(asked())
  assert.deepEqual([id, question.name, question.type, ednsBytes], [7, 'web.holon', 'A', undefined])
  assert.equal(udpBytes(queryOf(asked())), 512)
  assert.equal(udpBytes(queryOf(asked({ additionals: [edns(100)] }))), 512)
  assert.equal(udpBytes(queryOf(asked({ additionals: [edns(65_000)] }))), 1232)
})

test('readQuery() drops noise and answers, and refuses what is no single question', () => {
  const kind = (packet: Buffer) => readQuery(packet).kind
  assert.equal(kind(Buffer.alloc(0)), 'drop')
  assert.equal(kind(asked().subarray(0, 11)), 'drop')
  assert.equal(kind(dns.encode({ id: 7, type: 'response' })), 'drop')
  assert.equal(kind(asked().subarray(0, 20)), 'refuse')
  const question = { name: 'a.holon', type: 'A' } as const
  assert.equal(kind(asked({ questions: [question, question] })), 'refuse')
  assert.equal(kind(asked({ questions: [] })), 'refuse')
  assert.equal(kind(asked({ flags: 5 << 11 })), 'refuse')
})

test('readQuery() of any bytes ends without a throw, and its answer can be read', () => {
  const bytes = fc.uint8Array({ maxLength: 600 })
  // Half of them look like a question at first: pointers, lengths and records are then at random.
  const likely = bytes.map((tail) => {
    const head = asked().subarray(0, 12)
    return Buffer.concat([head, tail])
  })
  const mutated = fc
    .tuple(fc.nat(37), fc.nat(255))
    .map(([at, byte]) => asked({ additionals: [edns(1232)] }).fill(byte, at, at + 1))
  fc.assert(
    fc.property(fc.oneof(bytes.map(Buffer.from), likely, mutated), (packet) => {
      const read = readQuery(Buffer.from(packet))
      if (read.kind === 'refuse') assert.equal(dns.decode(read.answer).type, 'response')
      if (read.kind !== 'query') return
      const { query } = read
      const reply = { rcode: 'refused', isAuthoritative: false, answers: [] } as const
      const written = writeReply(
        query,
        { ...reply, authorities: [], additionals: [] },
        { bytesMax: udpBytes(query), forwards: true },
      )
      assert.equal(dns.decode(written).id, query.id)
    }),
    { numRuns: 20_000 },
  )
})

test('readQuery() of names whose pointers go round ends', () => {
  const head = asked().subarray(0, 12)
  for (const tail of [
    [0xc0, 12],
    [0xc0, 14, 0xc0, 12],
    [1, 97, 0xc0, 12],
  ]) {
    const packet = Buffer.concat([head, Buffer.from([...tail, 0, 1, 0, 1])])
    assert.equal(readQuery(packet).kind, 'refuse')
  }
})

test('writeReply() leaves out what has no room, and says so of answers', () => {
  const answers = Array.from(
    { length: 400 },
    (_, i): Answer => ({ name: 'web.holon', type: 'A', ttl: 2, data: `10.0.${i >> 8}.${i & 255}` }),
  )
  const reply: Reply = {
    rcode: 'ok',
    isAuthoritative: true,
    answers: answers.slice(0, 10),
    authorities: [],
    additionals: answers,
  }
  const query = queryOf(asked())
  const write = (of: Reply, bytesMax: number, asker = query) => {
    const packet = writeReply(asker, of, { bytesMax, forwards: false })
    assert.ok(packet.length <= bytesMax, `${packet.length} > ${bytesMax}`)
    return dns.decode(packet)
  }
  const small = write(reply, 512)
  assert.deepEqual(
    [small.flag_tc, small.answers?.length, small.additionals?.length],
    [false, 10, 0],
  )
  const cut = write({ ...reply, answers }, 512, queryOf(asked({ additionals: [edns(512)] })))
  assert.equal(cut.flag_tc, true)
  assert.ok((cut.answers?.length ?? 0) > 10)
  assert.equal(cut.additionals?.[0]?.type, 'OPT')
  const whole = write({ ...reply, answers }, 65_535)
  assert.deepEqual([whole.flag_tc, whole.answers?.length], [false, 400])
  assert.deepEqual([whole.id, whole.flag_aa, whole.questions?.[0]?.name], [7, true, 'web.holon'])
})
