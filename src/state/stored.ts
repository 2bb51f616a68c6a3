/**
 * An entry as engines hold it: the value as JSON text, so that nobody shares an object with a
 * caller.
 */
import type { Entry } from './port.ts'

export interface StoredEntry {
  readonly key: string
  readonly revision: number
  readonly schema: number
  readonly operationId: string
  readonly writer: string
  readonly json: string
}

export function toEntry(stored: StoredEntry): Entry {
  const { key, revision, schema, operationId, writer, json } = stored
  return { key, revision, value: JSON.parse(json) as unknown, schema, operationId, writer }
}

// Revision, names, checksum and SQLite's own.
const rowBytes = 100

/** What the quota counts: roughly what one entry costs on disk. */
export function storedBytes(key: string, jsonBytes: number): number {
  return Buffer.byteLength(key) + jsonBytes + rowBytes
}
