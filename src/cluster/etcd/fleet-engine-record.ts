/**
 * `fleet/engine`: who runs etcd, since which restore, and the change of members under way. Written
 * by the machine that plans, read by all to know whom to ask for State. What really holds is
 * etcd's own member list; this is its account for people and for machines that cannot ask etcd.
 */
import { HolonError } from '../../base/errors.ts'
import { isJsonObject, type JsonObject, stringField } from '../fields.ts'
import { type PeerAddress, parsePeers } from './engine-file.ts'

export const engineKey = 'fleet/engine'
export const fleetPrefix = 'fleet/'
export const stateCaKey = 'fleet/private/state-ca'
export const engineSchema = 1

export interface EngineChange {
  readonly kind: 'add' | 'start' | 'promote' | 'remove' | 'readdress'
  readonly machineId: string
  readonly memberId?: string
  readonly reason: string
  /** The machine that carries it out. */
  readonly by: string
  readonly sinceMs: number
}

export interface EngineMember extends PeerAddress {
  readonly memberId: string
  readonly learner: boolean
}

export interface FleetEngineRecord {
  readonly era: number
  readonly clusterToken: string
  /** Voters and learners, by machine. */
  readonly members: readonly EngineMember[]
  readonly change?: EngineChange
}

/** Throws `internal` for what is no such record. */
export function parseEngineRecord(value: unknown): FleetEngineRecord {
  const record = isJsonObject(value) ? parse(value) : undefined
  if (record === undefined) {
    throw new HolonError('internal', `${engineKey} is no record: ${JSON.stringify(value)}`)
  }
  return record
}

/** The era that a backup or listing is of: 1 before the first restore. */
export function eraOf(entries: readonly { readonly key: string; readonly value: unknown }[]) {
  const entry = entries.find(({ key }) => key === engineKey)
  return entry === undefined ? 1 : parseEngineRecord(entry.value).era
}

function parse(value: JsonObject): FleetEngineRecord | undefined {
  const { era } = value
  const clusterToken = stringField(value, 'clusterToken')
  const members = parseMembers(value['members'])
  if (typeof era !== 'number' || clusterToken === undefined || members === undefined) {
    return undefined
  }
  const base = { era, clusterToken, members }
  const change = isJsonObject(value['change']) ? parseChange(value['change']) : undefined
  return change === undefined ? base : { ...base, change }
}

function parseMembers(value: unknown): readonly EngineMember[] | undefined {
  const peers = parsePeers(value)
  if (peers === undefined || !Array.isArray(value)) return undefined
  const rows: readonly unknown[] = value
  const members: EngineMember[] = []
  for (const [index, peer] of peers.entries()) {
    const row = rows[index]
    const memberId = isJsonObject(row) ? stringField(row, 'memberId') : undefined
    if (!isJsonObject(row) || memberId === undefined) return undefined
    members.push({ ...peer, memberId, learner: row['learner'] === true })
  }
  return members
}

const kinds = ['add', 'start', 'promote', 'remove', 'readdress'] as const

function parseChange(value: JsonObject): EngineChange | undefined {
  const kind = kinds.find((each) => each === value['kind'])
  const machineId = stringField(value, 'machineId')
  const memberId = stringField(value, 'memberId')
  const reason = stringField(value, 'reason')
  const by = stringField(value, 'by')
  const { sinceMs } = value
  if (kind === undefined || machineId === undefined || reason === undefined) return undefined
  if (by === undefined || typeof sinceMs !== 'number') return undefined
  const change = { kind, machineId, reason, by, sinceMs }
  return memberId === undefined ? change : { ...change, memberId }
}
