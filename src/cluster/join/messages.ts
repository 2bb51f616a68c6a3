/**
 * What is said on the joining protocol: one line of JSON to the machine that is asked, one back.
 * Parsed once, strictly; fields that are not known are ignored, so that later versions may add
 * some.
 */
import { HolonError } from '../../base/errors.ts'
import {
  isJsonObject,
  type JsonObject,
  stringField,
  stringMapField,
  stringsField,
} from '../fields.ts'
import { type MachineRecord, parseMachineRecord } from '../members.ts'

/** What a machine says of itself when it joins. Sent as text, for the proof is over the text. */
export interface JoinRequest {
  readonly inviteId: string
  /** Its clock. */
  readonly atMs: number
  readonly name: string
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  /** Where it listens. Empty: on the address it calls from, at `listenPort`. */
  readonly addresses: readonly string[]
  readonly listenPort: number
  readonly version: string
}

export type Question =
  | { readonly kind: 'join'; readonly request: string; readonly proof: Buffer }
  /** The certificate of the connection, expired or not, says who asks. */
  | { readonly kind: 'renew' }

export type JoinRefusal =
  | 'malformed'
  | 'clock'
  | 'version'
  | 'removed'
  | 'expired'
  | 'used-up'
  | 'bad-name'
  | 'name-taken'
  | 'not-a-member'
  /** Retryable: the fleet cannot write its state now, or this machine cannot sign. */
  | 'state-unavailable'
  | 'elsewhere'

const refusals: ReadonlySet<string> = new Set<JoinRefusal>([
  'malformed',
  'clock',
  'version',
  'removed',
  'expired',
  'used-up',
  'bad-name',
  'name-taken',
  'not-a-member',
  'state-unavailable',
  'elsewhere',
])

export interface KnownMember {
  readonly machineId: string
  readonly name: string
  readonly addresses: readonly string[]
}

export interface Joined {
  readonly kind: 'joined'
  readonly clusterId: string
  readonly caPem: string
  readonly certPem: string
  /** As the fleet has it: the name may be another one than was asked for when it joined before. */
  readonly machine: MachineRecord
  /** Enough of them to begin with; all are in the state. */
  readonly members: readonly KnownMember[]
}

export type Answer =
  | Joined
  | { readonly kind: 'renewed'; readonly certPem: string }
  | { readonly kind: 'refused'; readonly reason: JoinRefusal; readonly text: string }

/** Undefined for what is no question: a stranger is not told what is wrong with it. */
export function parseQuestion(line: string): Question | undefined {
  const value = parseObject(line)
  if (value?.['kind'] === 'renew') return { kind: 'renew' }
  const request = value && stringField(value, 'request')
  const proof = value && stringField(value, 'proof')
  if (value?.['kind'] !== 'join' || request === undefined || proof === undefined) return undefined
  return { kind: 'join', request, proof: Buffer.from(proof, 'base64') }
}

export function questionLine(question: Question): string {
  if (question.kind === 'renew') return `${JSON.stringify(question)}\n`
  const { kind, request, proof } = question
  return `${JSON.stringify({ kind, request, proof: proof.toString('base64') })}\n`
}

/** The id alone: all that is looked at before the proof is. */
export function inviteIdOf(request: string): string | undefined {
  const value = parseObject(request)
  const inviteId = value && stringField(value, 'inviteId')
  return inviteId !== undefined && /^[a-z2-7]{8}$/.test(inviteId) ? inviteId : undefined
}

export function parseJoinRequest(text: string): JoinRequest | undefined {
  const value = parseObject(text)
  if (value === undefined) return undefined
  const inviteId = inviteIdOf(text)
  const { atMs, listenPort } = value
  const name = stringField(value, 'name')
  const zone = stringField(value, 'zone')
  const labels = stringMapField(value, 'labels')
  const addresses = stringsField(value, 'addresses')
  const version = stringField(value, 'version')
  const texts = inviteId !== undefined && name !== undefined && version !== undefined
  const place = zone !== undefined && labels !== undefined && addresses !== undefined
  if (!texts || !place || typeof atMs !== 'number' || typeof listenPort !== 'number')
    return undefined
  return { inviteId, atMs, name, zone, labels, addresses, listenPort, version }
}

/** Throws `internal`: the other side was authenticated, so it is a bug or a newer version. */
export function parseAnswer(line: string): Answer {
  const value = parseObject(line)
  const answer = value && (parseJoined(value) ?? parseRenewed(value) ?? parseRefused(value))
  if (answer !== undefined) return answer
  throw new HolonError('internal', 'the fleet gave an answer that this version cannot read')
}

function parseJoined(value: JsonObject): Joined | undefined {
  const clusterId = stringField(value, 'clusterId')
  const caPem = stringField(value, 'caPem')
  const certPem = stringField(value, 'certPem')
  const { members } = value
  if (value['kind'] !== 'joined' || !Array.isArray(members)) return undefined
  if (clusterId === undefined || caPem === undefined || certPem === undefined) return undefined
  const machine = parseMachineRecord(value['machine'])
  return {
    kind: 'joined',
    clusterId,
    caPem,
    certPem,
    machine,
    members: members.flatMap((member) => parseMember(member) ?? []),
  }
}

function parseMember(value: unknown): KnownMember | undefined {
  if (!isJsonObject(value)) return undefined
  const machineId = stringField(value, 'machineId')
  const name = stringField(value, 'name')
  const addresses = stringsField(value, 'addresses')
  if (machineId === undefined || name === undefined || addresses === undefined) return undefined
  return { machineId, name, addresses }
}

function parseRenewed(value: JsonObject): Answer | undefined {
  const certPem = stringField(value, 'certPem')
  return value['kind'] === 'renewed' && certPem !== undefined
    ? { kind: 'renewed', certPem }
    : undefined
}

function parseRefused(value: JsonObject): Answer | undefined {
  const reason = stringField(value, 'reason')
  const text = stringField(value, 'text')
  if (value['kind'] !== 'refused' || reason === undefined || text === undefined) return undefined
  return isRefusal(reason) ? { kind: 'refused', reason, text } : undefined
}

function isRefusal(text: string): text is JoinRefusal {
  return refusals.has(text)
}

function parseObject(text: string): JsonObject | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isJsonObject(value) ? value : undefined
  } catch {
    return undefined
  }
}
