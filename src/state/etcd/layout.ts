/**
 * What the engine keeps in etcd, below its prefix:
 *
 *   d/head             which root counts, and up to where operations are forgotten
 *   d/k/ROOT/KEY       an entry: a line of JSON (the envelope), then the value as it was given
 *   o/OPERATION        an operation that took effect, or is refused for ever
 *   upkeep             nothing; written to have etcd write
 *
 * Every txn compares the head's value and writes it anew. So the head's revision is the store's,
 * whatever else the same etcd is used for; a txn that was under way while the head's value changed
 * fails, definitely; and one watch of `d/` shows every change, each ended by the head.
 */
import { hash } from 'node:crypto'
import { HolonError } from '../../base/errors.ts'
import type { StoredEntry } from '../stored.ts'
import { asInteger, asObject, fromBase64, type Json, type JsonObject, toBase64 } from './client.ts'

const formatVersion = 1

/** The head as read: `text` is what txns compare with. */
export interface Head {
  readonly text: string
  readonly root: string
  /** Operations of revisions up to this one may be forgotten. */
  readonly horizon: number
  /** Of the last change of the store. */
  readonly revision: number
}

export interface OperationRecord {
  readonly fingerprint: string
  /** Answered `conflict`: no attempt at it may take effect any more. */
  readonly refused: boolean
  readonly revision: number
}

/** One key of etcd with its value, decoded. */
export interface KeyValue {
  readonly key: string
  readonly value: string
  readonly revision: number
}

export class Layout {
  readonly prefix: string

  /** `prefix` ends with "/". */
  constructor(prefix: string) {
    this.prefix = prefix
  }

  get head(): string {
    return `${this.prefix}d/head`
  }

  get upkeep(): string {
    return `${this.prefix}upkeep`
  }

  /** Everything that a watch must see. */
  get watched(): string {
    return `${this.prefix}d/`
  }

  get roots(): string {
    return `${this.prefix}d/k/`
  }

  entries(root: string): string {
    return `${this.roots}${root}/`
  }

  operation(id: string): string {
    return `${this.operations}${id}`
  }

  get operations(): string {
    return `${this.prefix}o/`
  }
}

/** etcd's way to say "all keys that begin with": the prefix, and the first key after them. */
export function prefixRange(prefix: string): { readonly key: string; readonly range_end: string } {
  const end = Buffer.from(prefix)
  // Our prefixes are text, so no byte is 0xff.
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1)
  return { key: toBase64(prefix), range_end: end.toString('base64') }
}

export function headText(head: { readonly root: string; readonly horizon: number }): string {
  return JSON.stringify({ format: formatVersion, root: head.root, horizon: head.horizon })
}

export function keyValue(json: Json | undefined): KeyValue {
  const { key, value, mod_revision } = asObject(json)
  return {
    key: fromBase64(key),
    value: fromBase64(value),
    revision: asInteger(mod_revision),
  }
}

/** The only key of a range's answer, if it is there. */
export function only(range: JsonObject): KeyValue | undefined {
  const { kvs } = range
  return Array.isArray(kvs) && kvs.length > 0 ? keyValue(kvs[0]) : undefined
}

export function parseHead({ key, value, revision }: KeyValue): Head {
  const { format, root, horizon } = parsed(key, value)
  if (format !== formatVersion) {
    throw new HolonError(
      'unsupported',
      `the state in etcd has the format ${format}, this version knows ${formatVersion}; ` +
        'update this machine',
    )
  }
  if (typeof root !== 'string' || typeof horizon !== 'number') throw damaged(key, 'no head')
  return { text: value, root, horizon, revision }
}

export function operationText(operation: Omit<OperationRecord, 'revision'>): string {
  const { fingerprint, refused } = operation
  return JSON.stringify(refused ? { fingerprint, refused } : { fingerprint })
}

export function parseOperation({ key, value, revision }: KeyValue): OperationRecord {
  const { fingerprint, refused } = parsed(key, value)
  if (typeof fingerprint !== 'string') throw damaged(key, 'no operation')
  return { fingerprint, refused: refused === true, revision }
}

/** An entry's value in etcd. The value itself stays as it is: nothing is escaped twice. */
export function entryText(entry: Omit<StoredEntry, 'revision'>): string {
  const { schema, operationId, writer, json } = entry
  return `${JSON.stringify([formatVersion, schema, operationId, writer, checksum(entry)])}\n${json}`
}

/** `internal` with details.kind 'state_damaged' when it is not what was written. */
export function parseEntry(key: string, { value, revision }: KeyValue): StoredEntry {
  const end = value.indexOf('\n')
  let envelope: unknown
  try {
    envelope = JSON.parse(value.slice(0, Math.max(0, end)))
  } catch {
    throw damaged(key, 'no envelope')
  }
  if (!Array.isArray(envelope)) throw damaged(key, 'no envelope')
  const [version, schema, operationId, writer, sum] = envelope as readonly unknown[]
  if (version !== formatVersion) throw damaged(key, `format ${String(version)}`)
  const entry = { key, schema, operationId, writer, json: value.slice(end + 1) } as StoredEntry
  if (checksum(entry) !== sum) throw damaged(key, 'its checksum differs')
  return { ...entry, revision }
}

function checksum(entry: Omit<StoredEntry, 'revision'>): string {
  const { key, schema, operationId, writer, json } = entry
  const text = JSON.stringify([key, schema, operationId, writer, json])
  return hash('sha256', text, 'hex').slice(0, 16)
}

function parsed(key: string, text: string): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>
  } catch {
    // Falls through to the same answer as for a value of another shape.
  }
  throw damaged(key, 'no JSON object')
}

export function damaged(key: string, what: string): HolonError {
  return new HolonError(
    'internal',
    `the state in etcd is damaged at "${key}": ${what}. Go back to a backup with ` +
      '"holon state restore"',
    { details: { kind: 'state_damaged', key, what } },
  )
}
