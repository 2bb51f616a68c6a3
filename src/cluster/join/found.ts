/**
 * The beginning of a fleet: its id, its CA and its first machine, written in one txn, so that a
 * crash at any moment leaves a whole fleet or none.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { newId } from '../../base/ids.ts'
import type { Random } from '../../base/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { State } from '../../state/port.ts'
import { isJsonObject, stringField } from '../fields.ts'
import { createCa } from '../identity/certificates.ts'
import type { FleetPapers } from '../identity/identity.ts'
import type { MachineKey } from '../identity/machine-key.ts'
import { type MachineRecord, machinePrefix, namePrefix } from '../members.ts'
import { caKey, StateAuthority } from './authority.ts'
import { machineSchema, nameSchema } from './enroll.ts'

export const infoKey = 'fleet/info'

/** `fleet/info`, schema 1. */
export interface FleetInfo {
  readonly clusterId: string
  readonly createdAtMs: number
  readonly caPem: string
}

/** Throws `internal` for what is none. */
export function parseFleetInfo(value: unknown): FleetInfo {
  if (isJsonObject(value)) {
    const clusterId = stringField(value, 'clusterId')
    const caPem = stringField(value, 'caPem')
    const { createdAtMs } = value
    if (clusterId !== undefined && caPem !== undefined && typeof createdAtMs === 'number')
      return { clusterId, createdAtMs, caPem }
  }
  throw new HolonError('internal', 'the state has a fleet that this version cannot read')
}

export interface FoundDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
}

/**
 * Makes this machine the first of a new fleet and returns what it needs for `saveIdentity`. Where
 * the state has a fleet already, this machine must be in it. Idempotent.
 */
export async function foundFleet(
  deps: FoundDeps,
  key: MachineKey,
  wish: Pick<MachineRecord, 'name' | 'addresses' | 'zone' | 'labels' | 'version'>,
  options: { readonly signal: AbortSignal },
): Promise<FleetPapers> {
  const { clock, state } = deps
  const entry = await state.get(infoKey, options)
  const info =
    entry === undefined ? await writeFleet(deps, key, wish, options) : parseFleetInfo(entry.value)
  const { clusterId, caPem } = info
  const authority = new StateAuthority(clock, state, clusterId)
  const certPem = await authority.issue(key.machineId, key.publicKey, options)
  return { clusterId, caPem, certPem }
}

async function writeFleet(
  { clock, random, state }: FoundDeps,
  key: MachineKey,
  wish: Pick<MachineRecord, 'name' | 'addresses' | 'zone' | 'labels' | 'version'>,
  options: { readonly signal: AbortSignal },
): Promise<FleetInfo> {
  const { name, addresses, zone, labels, version } = wish
  const { machineId, publicKey } = key
  const nowMs = clock.wallMs()
  const clusterId = newId(random, 20)
  const ca = await createCa({ name: `holon ${clusterId}`, nowMs })
  const info: FleetInfo = { clusterId, createdAtMs: nowMs, caPem: ca.certPem }
  const record: MachineRecord = {
    machineId,
    name,
    publicKey,
    addresses,
    zone,
    labels,
    version,
    joinedAtMs: nowMs,
  }
  const txn = {
    if: [{ key: infoKey, revision: 0 }],
    then: [
      { kind: 'put', key: infoKey, value: info, schema: 1 },
      { kind: 'put', key: caKey, value: ca, schema: 1 },
      { kind: 'put', key: `${machinePrefix}${machineId}`, value: record, schema: machineSchema },
      { kind: 'put', key: `${namePrefix}${name}`, value: { machineId }, schema: nameSchema },
    ],
    operationId: newOperationId(random),
    writer: `agent ${name}`,
  } as const
  const result = await commit({ clock, random }, state, txn, options)
  if (result.kind === 'done') return info
  const there = result.current[0]?.entry
  if (there === undefined) throw new HolonError('conflict', 'make a fleet: its state is changing')
  return parseFleetInfo(there.value)
}
