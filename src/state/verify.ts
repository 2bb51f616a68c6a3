/**
 * Reads a database without changing a byte of it, and verifies every row.
 *
 * An ordinary connection folds the log in and deletes it, damaged or not, and even a read-only one
 * deletes a log that it cannot read. So the reader is read-only, takes no locks (the caller holds
 * the store's own) and works under a second name of the files.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { linkOrCopy, pathExists, removeFile } from '../io/state-files.ts'
import { Damage, sqliteFault } from './damage.ts'
import { type Committed, rememberOperation, slotOf } from './draft.ts'
import { KeyIndex } from './key-index.ts'
import { compareKeys } from './keys.ts'
import { parseEntry, parseMeta, parseOperation, type Row, wrap } from './rows.ts'
import { type StoredEntry, storedBytes } from './stored.ts'

/** Runs `work` on a reader of the database. The caller holds the store's lock. */
export function withReader<T>(path: string, work: (database: DatabaseSync) => T): T {
  const second = `${path}.verify`
  const remove = () => {
    for (const suffix of ['', '-wal']) removeFile(second + suffix)
  }
  remove()
  try {
    linkOrCopy(path, second)
    if (pathExists(`${path}-wal`)) linkOrCopy(`${path}-wal`, `${second}-wal`)
    using database = openReader(second)
    return work(database)
  } finally {
    remove()
  }
}

/** On a read-only file system, where nothing can be deleted; the caller closes it. */
export function openReader(path: string): DatabaseSync {
  const url = pathToFileURL(path)
  url.searchParams.set('mode', 'ro')
  url.searchParams.set('vfs', 'unix-none')
  // Where there is no log, it must not try to make one either.
  if (!pathExists(`${path}-wal`)) url.searchParams.set('immutable', '1')
  const database = new DatabaseSync(url, { readOnly: true })
  // Exclusive, so that the index of the log is kept in memory and not in a file.
  database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON')
  return database
}

/** What the database holds, every row verified. Throws Damage, or what SQLite throws. */
export function verify(database: DatabaseSync): Committed {
  const check = database.prepare('PRAGMA quick_check(1)').get()?.['quick_check']
  if (check !== 'ok')
    throw new Damage(
      String(check)
        .replace(/^\*\*\*.*\*\*\*\n/, '')
        .trim(),
    )
  const meta = parseMeta(database.prepare('SELECT * FROM meta').get())
  const committed: Committed = {
    index: new KeyIndex(),
    operations: new Map(),
    slotById: new Map(),
    meta,
    nextId: 1,
  }
  const sum = loadEntries(database, committed) + loadOperations(database, committed)
  const { entries, operations } = meta
  const counts = [committed.index.size, committed.operations.size, committed.slotById.size]
  if (counts[0] !== entries) throw new Damage(`it has ${counts[0]} of ${entries} entries`)
  if (counts[1] !== operations || counts[2] !== operations) {
    throw new Damage(`it has ${counts[2]} of ${operations} operations`)
  }
  if (wrap(sum) !== meta.sum) throw new Damage('the sum of its checksums differs')
  return committed
}

export function readPragma(database: DatabaseSync, name: string): unknown {
  return database.prepare(`PRAGMA ${name}`).get()?.[name]
}

function loadEntries(database: DatabaseSync, committed: Committed): bigint {
  let sum = 0n
  for (const row of iterate(database.prepare('SELECT * FROM entries'))) {
    const { stored, hash } = parseEntry(row)
    const id = row['id']
    if (typeof id !== 'number' || id < 1) throw new Damage('an entry has no id')
    const bytes = storedBytes(stored.key, Buffer.byteLength(stored.json))
    committed.index.set(stored.key, { id, revision: stored.revision, bytes, hash })
    committed.nextId = Math.max(committed.nextId, id + 1)
    sum += hash
  }
  return sum
}

function loadOperations(database: DatabaseSync, committed: Committed): bigint {
  let sum = 0n
  for (const row of iterate(database.prepare('SELECT * FROM operations'))) {
    const { op, hash } = parseOperation(row)
    if (row['slot'] !== slotOf(op.revision)) throw new Damage('an operation has a wrong slot')
    rememberOperation(committed, { ...op, hash })
    sum += hash
  }
  return sum
}

function iterate(statement: StatementSync): Iterable<Row> {
  return statement.iterate() as Iterable<Row>
}

export interface Salvage {
  /** Entries whose checksum is right, by key, the newest of each. */
  readonly entries: readonly StoredEntry[]
  /** The highest revision seen anywhere. */
  readonly revision: number
  /** What is wrong, for people; empty when nothing is. */
  readonly damage: readonly string[]
}

/** Reads whatever can still be read with a right checksum. Never throws for damage. */
export function salvage(path: string): Salvage {
  const damage: string[] = []
  const entries = new Map<string, StoredEntry>()
  let revision = 0
  const attempt = (work: () => void) => {
    try {
      work()
    } catch (error) {
      if (!(error instanceof Damage) && sqliteFault(error) === undefined) throw error
      damage.push(error instanceof Error ? error.message : String(error))
    }
  }
  const readAll = (database: DatabaseSync) => {
    attempt(() => {
      revision = parseMeta(database.prepare('SELECT * FROM meta').get()).revision
    })
    attempt(() => {
      for (const row of iterate(database.prepare('SELECT * FROM entries'))) {
        attempt(() => {
          const { stored } = parseEntry(row)
          revision = Math.max(revision, stored.revision)
          if ((entries.get(stored.key)?.revision ?? 0) < stored.revision) {
            entries.set(stored.key, stored)
          }
        })
      }
    })
    attempt(() => void verify(database))
  }
  attempt(() => withReader(path, readAll))
  const sorted = [...entries.values()].sort((a, b) => compareKeys(a.key, b.key))
  return { entries: sorted, revision, damage: [...new Set(damage)] }
}
