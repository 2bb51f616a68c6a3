/**
 * The zone `holon.`: what a question is about, and the answer to it, given what the kernel resolves.
 * Pure but for the order of answers, which `shuffle` gives.
 *
 *     A, AAAA   the machines of all instances that are ready
 *     SRV       the same with the public port, each under its instance's own name; also asked for
 *               as _http._tcp.web.holon, with whatever service
 *     PTR       of a machine's address: n1.machines.holon
 *
 * While nothing is ready, what is `unknown` is given: whoever asks finds out by trying. A name that
 * exists and has nothing to give is never NXDOMAIN, which would be kept for all types.
 */
import type { Answer, Question } from 'dns-packet'
import type { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { NamedPlace, Resolution } from '../../kernel/names.ts'
import type { Reply } from './packet.ts'

export type Asked =
  /** Not ours: for another server, if there is one. */
  | { readonly kind: 'outside' }
  /** The zone itself, and other names that exist only for what is below them. */
  | { readonly kind: 'zone'; readonly isApex: boolean }
  /** `name` for System.resolve. `service`: only SRV has an answer; `none`: nothing has. */
  | { readonly kind: 'name'; readonly name: string; readonly as: 'host' | 'service' | 'none' }
  /** An address, which may be a machine's. */
  | { readonly kind: 'reverse'; readonly name: string }

const zone = 'holon'

export function askedBy({ name, class: of = 'IN' }: Question): Asked {
  const lower = name.toLowerCase().replace(/\.$/, '')
  if (of !== 'IN') return { kind: 'outside' }
  if (lower === zone) return { kind: 'zone', isApex: true }
  if (lower === `machines.${zone}`) return { kind: 'zone', isApex: false }
  if (lower.endsWith(`.${zone}`)) {
    const inner = lower.slice(0, -zone.length - 1)
    const [, service, protocol, rest] = /^(_[^.]+\.)?(_tcp|_udp)\.(.+)$/.exec(inner) ?? []
    if (rest === undefined) return { kind: 'name', name: inner, as: 'host' }
    const isService = service !== undefined && protocol === '_tcp'
    return { kind: 'name', name: rest, as: isService ? 'service' : 'none' }
  }
  const address = reverseAddress(lower)
  return address === undefined ? { kind: 'outside' } : { kind: 'reverse', name: address }
}

/** "2.0.77.10.in-addr.arpa" → "10.77.0.2". IPv6 in the form that Node gives addresses in. */
function reverseAddress(name: string): string | undefined {
  const four = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name)
  if (four !== null) return four.slice(1).reverse().join('.')
  const six = /^((?:[0-9a-f]\.){32})ip6\.arpa$/.exec(name)?.[1]
  if (six === undefined) return undefined
  const digits = six.replaceAll('.', '').split('').reverse().join('')
  const groups = digits.match(/.{4}/g) ?? []
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

export type Found =
  | { readonly kind: 'found'; readonly resolution: Resolution }
  | { readonly kind: 'failed'; readonly error: HolonError }

export type Shuffle = <T>(values: readonly T[]) => readonly T[]

/** The answer to a question about the zone, or about a name that the kernel was asked for. */
export function replyTo(question: Question, asked: Asked, found: Found, shuffle: Shuffle): Reply {
  if (found.kind === 'failed') return failure(found.error)
  const { resolution } = found
  if (asked.kind === 'reverse') {
    if (!isAsked(question, 'PTR')) return nothing('ok')
    return answer([record(question.name, 'PTR', resolution.name)])
  }
  const places = given(resolution.places, shuffle)
  const as = asked.kind === 'name' ? asked.as : 'none'
  if (as === 'none') return nothing('ok')
  const { name, type } = question
  if (type === 'SRV') return services(name, places)
  if (as !== 'host') return nothing('ok')
  if (type === 'A' || type === 'AAAA') return answer(addresses(name, places, [type]))
  // RFC 8482: who asks for everything is told that this is not answered.
  if (isAsked(question, 'ANY')) return answer([{ ...own(name), type: 'HINFO', data: minimal }])
  return nothing('ok')
}

/** Of the zone's own names. */
export function replyOfZone(question: Question, isApex: boolean): Reply {
  return isApex && isAsked(question, 'SOA') ? answer([startOfAuthority]) : nothing('ok')
}

/** ANY, which the types of dns-packet lack, asks for each. */
function isAsked({ type }: Question, wanted: string): boolean {
  return [wanted, 'ANY'].includes(type)
}

const minimal = { cpu: 'RFC8482', os: '' }

/** The zone as a whole: how long an answer that there is nothing may be kept. */
const startOfAuthority: Answer = {
  name: zone,
  type: 'SOA',
  class: 'IN',
  ttl: limits.dnsNegativeTtlS,
  data: {
    mname: `machines.${zone}`,
    rname: `machines.${zone}`,
    serial: 1,
    refresh: 3_600,
    retry: 600,
    expire: 86_400,
    minimum: limits.dnsNegativeTtlS,
  },
}

/** Those here first: it is the shortest way. */
function given(places: readonly NamedPlace[], shuffle: Shuffle): readonly NamedPlace[] {
  const ready = places.filter(({ state }) => state === 'ready')
  const all = ready.length > 0 ? ready : places.filter(({ state }) => state === 'unknown')
  const isHere = ({ isLocal }: NamedPlace) => isLocal
  return [...all.filter(isHere), ...shuffle(all.filter((place) => !isHere(place)))]
}

function addresses(
  name: string,
  places: readonly NamedPlace[],
  types: readonly ('A' | 'AAAA')[],
): readonly Answer[] {
  const all = [...new Set(places.flatMap((place) => place.addresses))]
  return types.flatMap((type) =>
    all
      .filter((address) => address.includes(':') === (type === 'AAAA'))
      .map((address) => record(name, type, address)),
  )
}

function services(name: string, places: readonly NamedPlace[]): Reply {
  // While an instance moves it is at two places under one name.
  const targets = Map.groupBy(
    places.filter(({ port }) => port !== undefined),
    (place) => place.name,
  )
  const answers = [...targets].map(
    ([target, [place]]): Answer => ({
      ...own(name),
      type: 'SRV',
      data: { priority: 0, weight: 1, port: place?.port ?? 0, target },
    }),
  )
  const additionals = [...targets].flatMap(([target, at]) => addresses(target, at, ['A', 'AAAA']))
  return { ...answer(answers), additionals }
}

function own(name: string) {
  return { name, class: 'IN', ttl: limits.dnsTtlS } as const
}

function record(name: string, type: 'A' | 'AAAA' | 'PTR', data: string): Answer {
  return { ...own(name), type, data }
}

function answer(answers: readonly Answer[]): Reply {
  if (answers.length === 0) return nothing('ok')
  return { rcode: 'ok', isAuthoritative: true, answers, authorities: [], additionals: [] }
}

function nothing(rcode: Reply['rcode']): Reply {
  const authorities = [startOfAuthority]
  return { rcode, isAuthoritative: true, answers: [], authorities, additionals: [] }
}

function failure({ code }: HolonError): Reply {
  if (code === 'not_found' || code === 'invalid_argument') return nothing('noSuchName')
  return refusal('serverFailure')
}

export function refusal(rcode: Reply['rcode']): Reply {
  return { rcode, isAuthoritative: false, answers: [], authorities: [], additionals: [] }
}
