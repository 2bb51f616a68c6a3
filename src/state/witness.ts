/**
 * The witness: a record of 64 bytes beside the database with the last revision that was
 * acknowledged. SQLite takes a log whose end is damaged for a shorter one, which after a power cut
 * is right (the end was never acknowledged) and otherwise is silent loss. A witness that is ahead
 * of the database tells the two apart.
 *
 * It is written after the database is durable and before the acknowledgement, and not synced: it
 * costs a few microseconds. After a power cut it may be behind, which means nothing.
 */
import { crc32 } from 'node:zlib'
import {
  openRecord,
  pathExists,
  type RecordFile,
  readText,
  writeDurablySync,
} from '../io/state-files.ts'

export function witnessPath(path: string): string {
  return `${path}-acked`
}

/** The acknowledged revision; 'missing'; or 'damaged' when the record is not one of ours. */
export function readWitness(path: string): number | 'missing' | 'damaged' {
  if (!pathExists(witnessPath(path))) return 'missing'
  const text = readText(witnessPath(path)) ?? ''
  const match = /^holon-acked 1 revision=(\d{16}) sum=[0-9a-f]{8}\n/.exec(text)
  const revision = Number(match?.[1])
  return match !== null && text === record(revision) ? revision : 'damaged'
}

/** Makes or replaces it, durably. */
export function createWitness(path: string, revision: number): void {
  writeDurablySync(witnessPath(path), record(revision))
}

export class Witness implements Disposable {
  readonly #file: RecordFile

  /** Of a database that has one. */
  constructor(path: string) {
    this.#file = openRecord(witnessPath(path))
  }

  acknowledge(revision: number): void {
    this.#file.write(record(revision))
  }

  /** Syncs and closes. */
  [Symbol.dispose](): void {
    using file = this.#file
    file.sync()
  }
}

function record(revision: number): string {
  const body = `holon-acked 1 revision=${String(revision).padStart(16, '0')}`
  const sum = crc32(body).toString(16).padStart(8, '0')
  return `${body} sum=${sum}\n`.padEnd(64, '.')
}
