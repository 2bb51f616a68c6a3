/**
 * What is remembered of a lab: its machines, its place in 10.77.0.0/16, and its faults. It lies in
 * /run, because a lab does not survive the host's reboot, and is written before anything it speaks
 * of is made: whatever ends the command in between, `holon lab down` knows what to look for.
 *
 * Whether a machine runs is not in here: that is asked of the kernel.
 */
import { HolonError } from '../base/errors.ts'
import { ensureDir, joinPath, listDir, readTextIfThere, writeTextDurably } from '../io/files.ts'

export const labsDir = '/run/holon-lab'
export const defaultDisksDir = '/var/lib/holon-lab'
export const defaultLab = 'lab'

/** Everything that `from` sends to `to` is lost; '*' is everybody, the host included. */
export interface Cut {
  readonly from: string
  readonly to: string
}

export interface LabRecord {
  readonly schema: 1
  readonly name: string
  /** The third number of its addresses, and part of its links' names. */
  readonly network: number
  /** Holds a directory for each machine: its disks. */
  readonly disksDir: string
  /** Their numbers: machine n3 has 3. Ascending. */
  readonly machines: readonly number[]
  /** The machines are joined; one that is added is joined too. */
  readonly joined: boolean
  readonly cuts: readonly Cut[]
  /** Percent of what a machine sends and of what it receives that is lost. */
  readonly loss: Readonly<Record<string, number>>
}

export const machinesMax = 250

export const machineName = (number: number): string => `n${number}`
export const bridgeOf = (lab: LabRecord): string => `holonlab${lab.network}`
/** The host's end of a machine's cable; Linux allows 15 characters. */
export const cableOf = (lab: LabRecord, number: number): string => `hl${lab.network}n${number}`
export const addressOf = (lab: LabRecord, number: number): string =>
  `10.77.${lab.network}.${number}`
export const hostAddressOf = (lab: LabRecord): string => `10.77.${lab.network}.254`
/** Locally administered, and the same after a restart. */
export const macOf = (lab: LabRecord, number: number): string =>
  `02:77:00:00:${hex(lab.network)}:${hex(number)}`

function hex(value: number): string {
  return value.toString(16).padStart(2, '0')
}

/** The number of the machine called `name` in the lab; `not_found` says which there are. */
export function numberOf(lab: LabRecord, name: string): number {
  const number = lab.machines.find((candidate) => machineName(candidate) === name)
  if (number !== undefined) return number
  const names = lab.machines.map(machineName).join(', ') || 'none'
  throw new HolonError(
    'not_found',
    `lab ${JSON.stringify(lab.name)} has no machine ${JSON.stringify(name)}; it has ${names}`,
  )
}

export function checkLabName(name: string): void {
  if (/^[a-z][a-z0-9-]{0,30}$/.test(name)) return
  throw new HolonError(
    'invalid_argument',
    `a lab's name has lower-case letters, digits and "-", begins with a letter and is at most 31 ` +
      `long: ${JSON.stringify(name)} is not one`,
  )
}

function recordPath(name: string): string {
  return joinPath(labsDir, name, 'lab.json')
}

/** Undefined when there is no such lab. */
export function readRecord(name: string): LabRecord | undefined {
  const text = readTextIfThere(recordPath(name))
  return text === undefined ? undefined : parseRecord(text, recordPath(name))
}

export function writeRecord(record: LabRecord): void {
  ensureDir(labsDir, 0o755)
  ensureDir(joinPath(labsDir, record.name), 0o700)
  writeTextDurably(recordPath(record.name), `${JSON.stringify(record, undefined, 2)}\n`, 0o600)
}

/** Names of all labs of this host that have a record. */
export function labNames(): readonly string[] {
  return listDir(labsDir).filter((name) => readTextIfThere(recordPath(name)) !== undefined)
}

/** Refuses what it does not understand: another version's lab is taken down by that version. */
export function parseRecord(text: string, path: string): LabRecord {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    value = undefined
  }
  const record = value as Partial<LabRecord> | null | undefined
  const whole =
    record?.schema === 1 &&
    typeof record.name === 'string' &&
    Number.isInteger(record.network) &&
    typeof record.disksDir === 'string' &&
    Array.isArray(record.machines) &&
    record.machines.every(Number.isInteger) &&
    typeof record.joined === 'boolean' &&
    Array.isArray(record.cuts) &&
    record.cuts.every((cut) => typeof cut?.from === 'string' && typeof cut.to === 'string') &&
    typeof record.loss === 'object' &&
    record.loss !== null
  if (whole) return record as LabRecord
  throw new HolonError(
    'unsupported',
    `${path} is no lab's record that this version of Holon reads; ` +
      'use the version that made the lab, or reboot the host',
  )
}
