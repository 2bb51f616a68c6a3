/**
 * A store as lines of JSON: a head, one entry a line, and a foot with the checksum of all before
 * it, so that a backup is either whole or refused. For backups and for moving between engines.
 */
import { createHash } from 'node:crypto'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { checkName } from './check-txn.ts'
import { checkKey } from './keys.ts'
import type { Entry, StateDump } from './port.ts'
import type { StoredEntry } from './stored.ts'

const format = 'holon-state'
const version = 1

/** The text of a dump, line by line. */
export function* encodeDump(dump: StateDump): Generator<string> {
  const sum = createHash('sha256')
  const line = (value: unknown) => {
    const text = `${JSON.stringify(value)}\n`
    sum.update(text)
    return text
  }
  const { revision, entries } = dump
  yield line({ format, version, revision, entries: entries.length })
  for (const entry of entries) yield line(entry)
  yield `${JSON.stringify({ sha256: sum.digest('hex') })}\n`
}

/** The dump in `text`; `name` is for messages. Throws `invalid_argument` when it is not whole. */
export function decodeDump(text: string, name: string): StateDump {
  const bad = (what: string) =>
    new HolonError('invalid_argument', `read the backup "${name}": ${what}`, {
      details: { path: name, what },
    })
  // Ends with a newline, so the last but one newline is where the foot begins.
  const footAt = text.lastIndexOf('\n', text.length - 2) + 1
  const sha256 = createHash('sha256').update(text.slice(0, footAt)).digest('hex')
  if (text.slice(footAt) !== `${JSON.stringify({ sha256 })}\n`) {
    throw bad('it is cut off or was changed (its checksum differs)')
  }
  const lines = text.slice(0, footAt - 1).split('\n')
  const [head, ...entries] = lines.map((line) => JSON.parse(line) as unknown)
  const { format: f, version: v, revision } = head as Record<string, unknown>
  if (f !== format || v !== version || typeof revision !== 'number') {
    throw bad(`its format is ${JSON.stringify(f)} ${JSON.stringify(v)}`)
  }
  return { revision, entries: entries as readonly Entry[] }
}

/** The entries of a dump as stored ones, checked as a txn would be. */
export function checkDump(dump: StateDump): readonly StoredEntry[] {
  const seen = new Set<string>()
  return dump.entries.map(({ key, value, schema, operationId, writer }) => {
    checkKey(key)
    checkName('operation id', operationId)
    checkName('writer', writer)
    const json: string | undefined = JSON.stringify(value)
    if (json === undefined || !Number.isSafeInteger(schema) || seen.has(key)) {
      throw new HolonError('invalid_argument', `import "${key}": it is malformed or comes twice`)
    }
    if (Buffer.byteLength(json) > limits.stateValueBytesMax) {
      throw new HolonError('exhausted', `import "${key}": its value is too large`)
    }
    seen.add(key)
    return { key, revision: 0, schema, operationId, writer, json }
  })
}
