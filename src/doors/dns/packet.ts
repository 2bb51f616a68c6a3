/**
 * Packets of DNS, as far as this server reads and writes them. Whatever bytes come in, nothing here
 * throws: what is no question is dropped or refused. Pure.
 */
import dns, { type Answer, type Question } from 'dns-packet'
import { limits } from '../../base/limits.ts'

export const rcodes = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noSuchName: 3,
  notImplemented: 4,
  refused: 5,
} as const
export type Rcode = keyof typeof rcodes

export interface Query {
  readonly id: number
  readonly question: Question
  readonly recursionDesired: boolean
  /** Of a client that speaks EDNS: the largest answer that it takes over UDP. */
  readonly ednsBytes?: number
}

export type ReadQuery =
  | { readonly kind: 'query'; readonly query: Query }
  /** Nobody is answered: it may be an answer itself, or noise. */
  | { readonly kind: 'drop' }
  | { readonly kind: 'refuse'; readonly answer: Buffer }

export interface Reply {
  readonly rcode: Rcode
  readonly isAuthoritative: boolean
  readonly answers: readonly Answer[]
  /** Of the zone, for what does not exist. */
  readonly authorities: readonly Answer[]
  /** May be left out where there is no room. */
  readonly additionals: readonly Answer[]
}

const headerBytes = 12
const isResponse = 0x8000
const authoritative = 1 << 10
const truncated = 1 << 9
const recursionDesired = 1 << 8
const recursionAvailable = 1 << 7
const opcodeOf = (flags: number) => (flags >> 11) & 0xf

export function readQuery(packet: Buffer): ReadQuery {
  if (packet.length < headerBytes) return { kind: 'drop' }
  const id = packet.readUInt16BE(0)
  const flags = packet.readUInt16BE(2)
  if ((flags & isResponse) !== 0) return { kind: 'drop' }
  const refuse = (rcode: Rcode): ReadQuery => {
    const answer = dns.encode({ id, type: 'response', flags: rcodes[rcode] })
    return { kind: 'refuse', answer }
  }
  if (opcodeOf(flags) !== 0) return refuse('notImplemented')
  // One question, no answers; room for EDNS and a signature that nobody checks.
  const [questions, answers, authorities, additionals] = [4, 6, 8, 10].map((at) =>
    packet.readUInt16BE(at),
  )
  const isPlain = questions === 1 && answers === 0 && authorities === 0 && (additionals ?? 0) <= 2
  if (!isPlain) return refuse('formatError')
  try {
    const read = dns.decode(packet)
    const [question] = read.questions ?? []
    if (question === undefined || !isPlainName(question.name)) return refuse('formatError')
    const edns = read.additionals?.find((each) => each.type === 'OPT')
    const query = { id, question, recursionDesired: (flags & recursionDesired) !== 0 }
    if (edns === undefined) return { kind: 'query', query }
    return { kind: 'query', query: { ...query, ednsBytes: edns.udpPayloadSize } }
  } catch {
    return refuse('formatError')
  }
}

/** One that can be written again: a label may have any bytes, dots among them. */
function isPlainName(name: string): boolean {
  return name === '.' || name.split('.').every((label) => /^[!-~]+$/.test(label))
}

/** How much an answer over UDP may have. */
export function udpBytes({ ednsBytes = limits.dnsUdpBytes }: Query): number {
  return Math.max(limits.dnsUdpBytes, Math.min(ednsBytes, limits.dnsUdpBytesMax))
}

/**
 * At most `bytesMax`: without additionals if need be, then with as many answers as fit, which is
 * said: clients ask again over TCP.
 */
export function writeReply(
  query: Query,
  reply: Reply,
  { bytesMax, forwards }: { readonly bytesMax: number; readonly forwards: boolean },
): Buffer {
  const encode = (answers: readonly Answer[], additionals: readonly Answer[]) => {
    const isCut = answers.length < reply.answers.length
    return dns.encode({
      id: query.id,
      type: 'response',
      flags:
        rcodes[reply.rcode] |
        (reply.isAuthoritative ? authoritative : 0) |
        (isCut ? truncated : 0) |
        (query.recursionDesired ? recursionDesired : 0) |
        (forwards ? recursionAvailable : 0),
      questions: [query.question],
      answers: [...answers],
      authorities: [...reply.authorities],
      additionals: [...additionals, ...(query.ednsBytes === undefined ? [] : [edns])],
    })
  }
  const whole = encode(reply.answers, reply.additionals)
  if (whole.length <= bytesMax) return whole
  let kept = reply.answers
  for (;;) {
    const packet = encode(kept, [])
    if (packet.length <= bytesMax || kept.length === 0) return packet
    const share = bytesMax / packet.length
    kept = kept.slice(0, Math.min(kept.length - 1, Math.floor(share * kept.length)))
  }
}

const edns: Answer = {
  type: 'OPT',
  name: '.',
  udpPayloadSize: limits.dnsUdpBytesMax,
  extendedRcode: 0,
  ednsVersion: 0,
  flags: 0,
  flag_do: false,
  options: [],
}
