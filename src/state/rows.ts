/**
 * The embedded engine's tables and their checksums. Every row carries a hash of itself; the one row
 * of `meta` carries the sum of all of them, so that a row that vanished, came back or changed is
 * noticed. The sum is of 64-bit halves of SHA-256, so it can be kept up to date row by row.
 */
import { hash } from 'node:crypto'
import { Damage } from './damage.ts'
import type { StoredEntry } from './stored.ts'

export const formatVersion = 1

export const schemaSql = `
  CREATE TABLE meta (
    id INTEGER PRIMARY KEY, format INTEGER NOT NULL, revision INTEGER NOT NULL,
    entries INTEGER NOT NULL, operations INTEGER NOT NULL, sum TEXT NOT NULL, hash TEXT NOT NULL);
  CREATE TABLE entries (
    id INTEGER PRIMARY KEY, key TEXT NOT NULL, revision INTEGER NOT NULL, schema INTEGER NOT NULL,
    operation TEXT NOT NULL, writer TEXT NOT NULL, value TEXT NOT NULL, hash TEXT NOT NULL);
  CREATE TABLE operations (
    slot INTEGER PRIMARY KEY, revision INTEGER NOT NULL, id TEXT NOT NULL,
    fingerprint TEXT NOT NULL, hash TEXT NOT NULL);
`

export interface Meta {
  readonly revision: number
  readonly entries: number
  readonly operations: number
  readonly sum: bigint
}

/** An operation that took effect. */
export interface Operation {
  readonly id: string
  readonly revision: number
  readonly fingerprint: string
}

export type Row = Readonly<Record<string, unknown>>

// The parts cannot contain a newline (keys and names have no control characters, the rest are
// numbers and hexadecimal), except the value, which comes last: so the text is unambiguous.
function sumOf(...parts: readonly (string | number | bigint)[]): bigint {
  return BigInt(`0x${hash('sha256', parts.join('\n'), 'hex').slice(0, 16)}`)
}

export function entryHash(e: StoredEntry): bigint {
  return sumOf('entry', e.key, e.revision, e.schema, e.operationId, e.writer, e.json)
}

export function operationHash(o: Operation): bigint {
  return sumOf('operation', o.id, o.revision, o.fingerprint)
}

export function metaHash(m: Meta): bigint {
  return sumOf('meta', formatVersion, m.revision, m.entries, m.operations, hex(m.sum))
}

export function hex(sum: bigint): string {
  return sum.toString(16).padStart(16, '0')
}

/** Sums wrap at 64 bits. */
export function wrap(sum: bigint): bigint {
  return BigInt.asUintN(64, sum)
}

/** The row's entry and hash; throws Damage when the row is not as it was written. */
export function parseEntry(row: Row): { readonly stored: StoredEntry; readonly hash: bigint } {
  const stored: StoredEntry = {
    key: row['key'] as string,
    revision: row['revision'] as number,
    schema: row['schema'] as number,
    operationId: row['operation'] as string,
    writer: row['writer'] as string,
    json: row['value'] as string,
  }
  const sum = entryHash(stored)
  // A column of the wrong type has another text than the one that was hashed.
  if (row['hash'] === hex(sum) && typeof stored.json === 'string') return { stored, hash: sum }
  throw new Damage(`the checksum of the entry ${JSON.stringify(stored.key)} differs`)
}

export function parseOperation(row: Row): { readonly op: Operation; readonly hash: bigint } {
  const op: Operation = {
    id: row['id'] as string,
    revision: row['revision'] as number,
    fingerprint: row['fingerprint'] as string,
  }
  const sum = operationHash(op)
  if (row['hash'] === hex(sum)) return { op, hash: sum }
  throw new Damage(`the checksum of the operation at revision ${op.revision} differs`)
}

export function parseMeta(row: Row | undefined): Meta {
  if (row === undefined) throw new Damage('its summary row is missing')
  if (row['format'] !== formatVersion) throw new Damage(`its format is ${row['format']}`)
  const text = row['sum']
  if (typeof text !== 'string' || !/^[0-9a-f]{16}$/.test(text)) {
    throw new Damage('its summary row is malformed')
  }
  const meta: Meta = {
    revision: row['revision'] as number,
    entries: row['entries'] as number,
    operations: row['operations'] as number,
    sum: BigInt(`0x${text}`),
  }
  if (row['hash'] !== hex(metaHash(meta))) throw new Damage('the checksum of its summary differs')
  return meta
}
