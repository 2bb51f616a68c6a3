/**
 * The machines of the fleet, as this one knows them: from State, kept on disk, so that links can be
 * made while the engine is down. Consistency: what State had when it was last heard; a machine that
 * joined since is not here yet, one that was removed still is. Who was removed is remembered for
 * ever.
 */
import { HolonError } from '../base/errors.ts'
import { readTextIfThere, writeTextDurably } from '../io/files.ts'
import { isJsonObject, stringField, stringMapField, stringsField } from './fields.ts'

/** `fleet/machines/<machineId>`. */
export interface MachineRecord {
  readonly machineId: string
  readonly name: string
  /** SPKI, base64. */
  readonly publicKey: string
  /** "10.77.0.1:4656", best first. */
  readonly addresses: readonly string[]
  readonly zone: string
  readonly labels: Readonly<Record<string, string>>
  readonly version: string
  readonly joinedAtMs: number
}

export const machinePrefix = 'fleet/machines/'
export const removedPrefix = 'fleet/removed/'
export const namePrefix = 'fleet/names/'

/** Throws `internal` for what is no such record: State holds only what agents wrote. */
export function parseMachineRecord(value: unknown): MachineRecord {
  if (isJsonObject(value)) {
    const machineId = stringField(value, 'machineId')
    const name = stringField(value, 'name')
    const publicKey = stringField(value, 'publicKey')
    const addresses = stringsField(value, 'addresses')
    const zone = stringField(value, 'zone')
    const labels = stringMapField(value, 'labels')
    const version = stringField(value, 'version')
    const joinedAtMs = value['joinedAtMs']
    const whole =
      machineId !== undefined &&
      name !== undefined &&
      publicKey !== undefined &&
      addresses !== undefined &&
      zone !== undefined &&
      labels !== undefined &&
      version !== undefined
    if (whole && typeof joinedAtMs === 'number') {
      return { machineId, name, publicKey, addresses, zone, labels, version, joinedAtMs }
    }
  }
  throw new HolonError('internal', `no record of a machine: ${JSON.stringify(value)}`)
}

export interface MembersSnapshot {
  readonly machines: readonly MachineRecord[]
  /** Ids of machines that were shut out. */
  readonly removed: readonly string[]
  /** Ids of machines that keep the state, from `fleet/engine`. */
  readonly stateKeepers: readonly string[]
}

export class Members {
  readonly #path: string
  readonly #onChange: (before: MembersSnapshot, now: MembersSnapshot) => void
  #snapshot: MembersSnapshot
  #removed: ReadonlySet<string>

  /** `onChange` is called after the change is on the disk. */
  constructor(
    path: string,
    onChange: (before: MembersSnapshot, now: MembersSnapshot) => void = () => {},
  ) {
    this.#path = path
    this.#onChange = onChange
    this.#snapshot = readSnapshot(path)
    this.#removed = new Set(this.#snapshot.removed)
  }

  /** By name, this machine included. */
  get all(): readonly MachineRecord[] {
    return this.#snapshot.machines
  }

  get stateKeepers(): readonly string[] {
    return this.#snapshot.stateKeepers
  }

  byId(machineId: string): MachineRecord | undefined {
    return this.#snapshot.machines.find((machine) => machine.machineId === machineId)
  }

  isRemoved(machineId: string): boolean {
    return this.#removed.has(machineId)
  }

  /** Takes over what State has now. Removed machines are never forgotten by it. */
  update(snapshot: MembersSnapshot): void {
    const before = this.#snapshot
    const removed = [...new Set([...before.removed, ...snapshot.removed])].sort()
    const machines = [...snapshot.machines].sort((a, b) => (a.name < b.name ? -1 : 1))
    const stateKeepers = [...snapshot.stateKeepers].sort()
    const now = { machines, removed, stateKeepers }
    if (JSON.stringify(now) === JSON.stringify(before)) return
    writeTextDurably(this.#path, `${JSON.stringify(now)}\n`, 0o600)
    this.#snapshot = now
    this.#removed = new Set(removed)
    this.#onChange(before, now)
  }
}

const nobody: MembersSnapshot = { machines: [], removed: [], stateKeepers: [] }

function readSnapshot(path: string): MembersSnapshot {
  const text = readTextIfThere(path)
  if (text === undefined) return nobody
  try {
    const value: unknown = JSON.parse(text)
    if (!isJsonObject(value)) throw new HolonError('internal', 'it is no object')
    const machines = value['machines']
    const removed = stringsField(value, 'removed')
    const stateKeepers = stringsField(value, 'stateKeepers')
    if (!Array.isArray(machines) || removed === undefined || stateKeepers === undefined) {
      throw new HolonError('internal', 'it lacks a list')
    }
    return { machines: machines.map(parseMachineRecord), removed, stateKeepers }
  } catch (cause) {
    throw new HolonError(
      'internal',
      `"${path}" does not say who is in the fleet: ${String(cause)}; ` +
        'remove it: it comes again from the state',
      { cause },
    )
  }
}
