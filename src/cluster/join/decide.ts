/**
 * What becomes of a machine that wants to join, after its proof was right: a pure function of what
 * the state has and what the machine says. The refusals are for people: what is wrong, and what to
 * do next.
 */
import { limits } from '../../base/limits.ts'
import type { MachineRecord } from '../members.ts'
import type { InviteRecord } from './invites.ts'
import type { JoinRefusal, JoinRequest } from './messages.ts'

export interface JoinSituation {
  readonly request: JoinRequest
  /** Proven by TLS. */
  readonly machineId: string
  /** SPKI, base64. */
  readonly publicKey: string
  /** Where the connection comes from. */
  readonly remoteAddress: string
  readonly invite: InviteRecord
  /** The machine, when it is in the fleet already. */
  readonly record: MachineRecord | undefined
  /** When and by whom it was removed. */
  readonly removed: { readonly atMs: number; readonly by: string } | undefined
  /** The id of the machine that has the name it wants. */
  readonly nameHolder: string | undefined
  readonly nowMs: number
  /** This fleet's version. */
  readonly version: string
}

export type JoinDecision =
  /** To be written in one txn. */
  | { readonly kind: 'grant'; readonly record: MachineRecord; readonly invite: InviteRecord }
  /** It has joined before, perhaps without hearing of it. Nothing is to be written. */
  | { readonly kind: 'again'; readonly record: MachineRecord }
  | Refused

interface Refused {
  readonly kind: 'refused'
  readonly reason: JoinRefusal
  readonly text: string
}

export function decideJoin(situation: JoinSituation): JoinDecision {
  const { request, machineId, publicKey, invite, record, nowMs } = situation
  const refusal = unfit(situation)
  if (refusal !== undefined) return refusal
  if (record !== undefined) return { kind: 'again', record }
  const spent = unusable(invite, nowMs) ?? badName(situation)
  if (spent !== undefined) return spent
  return {
    kind: 'grant',
    record: {
      machineId,
      name: request.name,
      publicKey,
      addresses: addressesOf(situation),
      zone: request.zone,
      labels: request.labels,
      version: request.version,
      joinedAtMs: nowMs,
    },
    invite: { ...invite, uses: [...invite.uses, { machineId, name: request.name, atMs: nowMs }] },
  }
}

/** Wrong whatever the token says. */
function unfit({ request, removed, nowMs, version }: JoinSituation): Refused | undefined {
  if (removed !== undefined)
    return refused(
      'removed',
      `this machine was removed from the fleet at ${iso(removed.atMs)} by ${removed.by}; to let ` +
        'it in again as a new machine, run `holon leave` on it, then join with a new invitation',
    )
  const aheadMs = request.atMs - nowMs
  if (Math.abs(aheadMs) > limits.clockGraceMs)
    return refused(
      'clock',
      `this machine's clock is ${span(aheadMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'} the ` +
        `fleet's: here ${iso(request.atMs)}, there ${iso(nowMs)}; set the wrong one (\`date\`, ` +
        'or a time service such as chrony), then join again with the same token',
    )
  if (!versionsFit(request.version, version))
    return refused(
      'version',
      `this machine has Holon ${request.version}, the fleet has ${version}, which is too ` +
        'different; upgrade the older of the two, then join again',
    )
  return undefined
}

function unusable(invite: InviteRecord, nowMs: number): Refused | undefined {
  const [first] = invite.uses
  if (first !== undefined && invite.uses.length >= invite.usesMax) {
    const whom = invite.uses.map(({ name, atMs }) => `"${name}" at ${iso(atMs)}`)
    const shown =
      whom.slice(-3).join(', ') + (whom.length > 3 ? ` and ${whom.length - 3} more` : '')
    return refused(
      'used-up',
      `the token is used up: by ${shown}; if you do not know that machine, remove it ` +
        `(\`holon machines remove ${first.name}\`); make a new token with \`holon invite\``,
    )
  }
  if (nowMs <= invite.expiresAtMs) return undefined
  return refused(
    'expired',
    `the token has expired at ${iso(invite.expiresAtMs)}, ${span(nowMs - invite.expiresAtMs)} ` +
      'ago; make a new one with `holon invite`, for longer with `--ttl 2h`',
  )
}

function badName({ request, nameHolder }: JoinSituation): Refused | undefined {
  const { name, zone, labels, addresses } = request
  if (!isMachineName(name))
    return refused(
      'bad-name',
      `${JSON.stringify(name)} is no name for a machine: small letters, digits and "-" inside, at ` +
        'most 63; say another one with `--name`',
    )
  const details = [zone, ...addresses, ...Object.keys(labels), ...Object.values(labels)]
  const long = details.find((text) => text.length > 256 || /[\p{Cc}\s]/u.test(text))
  if (long !== undefined || details.length > 200 || !/^([\w.-]+(\/[\w.-]+)*)?$/.test(zone))
    return refused(
      'malformed',
      'the zone, labels or addresses of this machine cannot be kept: a zone is a path such as ' +
        '"eu/paris", and none of them has spaces or is longer than 256 characters',
    )
  if (nameHolder === undefined) return undefined
  return refused(
    'name-taken',
    `there is a machine "${name}" in the fleet; join as another one: \`holon join … --name ` +
      `${name.slice(0, 60)}-2\``,
  )
}

/** Fit for `machine:pid`, host names and selectors. */
export function isMachineName(text: string): boolean {
  return /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(text)
}

/** The same major version; before 1.0 also neighbours only. */
export function versionsFit(one: string, other: string): boolean {
  const [major = 0, minor = 0] = one.split('.').map(Number)
  const [otherMajor = 0, otherMinor = 0] = other.split('.').map(Number)
  return major === otherMajor && (major > 0 || Math.abs(minor - otherMinor) <= 1)
}

function addressesOf({ request, remoteAddress }: JoinSituation): readonly string[] {
  if (request.addresses.length > 0) return request.addresses
  const host = remoteAddress.includes(':') ? `[${remoteAddress}]` : remoteAddress
  return [`${host}:${request.listenPort}`]
}

function refused(reason: JoinRefusal, text: string): Refused {
  return { kind: 'refused', reason, text }
}

function iso(ms: number): string {
  // A clock may be anywhere, but a Date may not.
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms)
}

function span(ms: number): string {
  const minutes = Math.round(Math.abs(ms) / 60_000)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 72 ? `${hours} h` : `${Math.round(hours / 24)} days`
}
