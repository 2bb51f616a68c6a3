/**
 * Invitations in the fleet's state, `fleet/invites/<id>`: how often and until when each may be
 * used, and by whom it was. Used up and expired ones stay for a week, so that a machine that comes
 * late is told what happened. The secret is not in here; the key made of it can check a proof.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { Entry, State } from '../../state/port.ts'
import { isJsonObject, stringField } from '../fields.ts'
import { base32 } from '../identity/base32.ts'
import { publicKeyOf } from '../identity/certificates.ts'
import { caHashOf, formatToken, inviteIdBytes, macKeyOf, secretBytes } from './token.ts'

export interface InviteUse {
  readonly machineId: string
  readonly name: string
  readonly atMs: number
}

/** `fleet/invites/<inviteId>`, schema 1. */
export interface InviteRecord {
  /** Base64. */
  readonly macKey: string
  readonly createdAtMs: number
  readonly expiresAtMs: number
  readonly usesMax: number
  readonly uses: readonly InviteUse[]
  /** The machine's name. */
  readonly createdBy: string
}

export const invitePrefix = 'fleet/invites/'
export const inviteSchema = 1

const defaultTtlMs = 15 * 60_000
const ttlMsMax = 30 * 24 * 3600_000
const usesMaxMax = 1000
const keptMs = 7 * 24 * 3600_000

/** Throws `internal` for what is no such record. */
export function parseInviteRecord(value: unknown): InviteRecord {
  if (isJsonObject(value)) {
    const macKey = stringField(value, 'macKey')
    const createdBy = stringField(value, 'createdBy')
    const { createdAtMs, expiresAtMs, usesMax, uses } = value
    const numbers =
      typeof createdAtMs === 'number' &&
      typeof expiresAtMs === 'number' &&
      typeof usesMax === 'number'
    if (macKey !== undefined && createdBy !== undefined && numbers && Array.isArray(uses))
      return { macKey, createdAtMs, expiresAtMs, usesMax, uses: uses.map(parseUse), createdBy }
  }
  throw new HolonError('internal', 'the state has an invitation that this version cannot read')
}

function parseUse(value: unknown): InviteUse {
  if (isJsonObject(value)) {
    const machineId = stringField(value, 'machineId')
    const name = stringField(value, 'name')
    const { atMs } = value
    if (machineId !== undefined && name !== undefined && typeof atMs === 'number')
      return { machineId, name, atMs }
  }
  throw new HolonError('internal', 'the state has an invitation that this version cannot read')
}

export interface InviteDeps {
  readonly clock: Clock
  readonly random: Random
}

export interface InviteOptions {
  readonly caPem: string
  /** Default 1. */
  readonly uses?: number
  /** Default 15 minutes. */
  readonly ttlMs?: number
  /** This machine's name. */
  readonly createdBy: string
  readonly signal: AbortSignal
}

export interface NewInvite {
  readonly inviteId: string
  /** Shown once, kept nowhere. */
  readonly token: string
  readonly uses: number
  readonly expiresAtMs: number
}

/**
 * Makes an invitation, and forgets old ones. `exhausted` when there are limits.invitesMax open
 * ones. Not idempotent: after `outcome: 'unknown'` there may be one that nobody has.
 */
export async function createInvite(
  { clock, random }: InviteDeps,
  state: State,
  options: InviteOptions,
): Promise<NewInvite> {
  const { uses = 1, ttlMs = defaultTtlMs, signal } = options
  checkWish(uses, ttlMs)
  const { entries } = await state.list(invitePrefix, { signal })
  const nowMs = clock.wallMs()
  const old = entries.filter((entry) => isOld(entry, nowMs))
  if (entries.length - old.length >= limits.invitesMax) throw tooMany()
  const secret = random.bytes(secretBytes)
  const inviteId = base32(random.bytes(inviteIdBytes))
  const invite: InviteRecord = {
    macKey: macKeyOf(secret).toString('base64'),
    createdAtMs: nowMs,
    expiresAtMs: nowMs + ttlMs,
    usesMax: uses,
    uses: [],
    createdBy: options.createdBy,
  }
  const key = `${invitePrefix}${inviteId}`
  const forgotten = old.slice(0, limits.stateTxnOperationsMax - 1)
  const txn = {
    if: [{ key, revision: 0 }],
    then: [
      { kind: 'put', key, value: invite, schema: inviteSchema } as const,
      ...forgotten.map((entry) => ({ kind: 'delete', key: entry.key }) as const),
    ],
    operationId: newOperationId(random),
    writer: options.createdBy,
  }
  const result = await commit({ clock, random }, state, txn, { signal })
  if (result.kind === 'conflict') return createInvite({ clock, random }, state, options)
  const caHash = caHashOf(publicKeyOf(options.caPem))
  return {
    inviteId,
    token: formatToken({ inviteId, secret, caHash }),
    uses,
    expiresAtMs: invite.expiresAtMs,
  }
}

/** By id. Idempotent. */
export async function listInvites(
  state: State,
  options: { readonly signal: AbortSignal },
): Promise<readonly (InviteRecord & { readonly inviteId: string })[]> {
  const { entries } = await state.list(invitePrefix, options)
  return entries.map(({ key, value }) => ({
    inviteId: key.slice(invitePrefix.length),
    ...parseInviteRecord(value),
  }))
}

function isOld({ value }: Entry, nowMs: number): boolean {
  return parseInviteRecord(value).expiresAtMs + keptMs < nowMs
}

function checkWish(uses: number, ttlMs: number): void {
  if (!Number.isInteger(uses) || uses < 1 || uses > usesMaxMax)
    throw new HolonError(
      'invalid_argument',
      `invite ${uses} machines: one invitation is for 1 to ${usesMaxMax} machines`,
    )
  if (!Number.isFinite(ttlMs) || ttlMs < 1000 || ttlMs > ttlMsMax)
    throw new HolonError(
      'invalid_argument',
      `invite for ${ttlMs} ms: an invitation is good for a second to 30 days`,
    )
}

function tooMany(): HolonError {
  return new HolonError(
    'exhausted',
    `make an invitation: there are ${limits.invitesMax} already; each goes a week after its ` +
      'time is over; use one for several machines: `holon invite --uses 20`',
  )
}
