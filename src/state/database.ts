/**
 * The embedded engine's database: SQLite with a write-ahead log, one writer. Opening verifies every
 * row before a writable connection exists, so that damaged files are left exactly as they were.
 *
 * Order of a write: database durable → memory → witness (`acknowledge`) → the caller hears of it.
 */
import { DatabaseSync, type StatementSync } from 'node:sqlite'
import { removeFile, renameDurably } from '../io/state-files.ts'
import type { CheckedTxn } from './check-txn.ts'
import { Damage, sqliteFault } from './damage.ts'
import { type Committed, type Decision, Draft, type DraftTarget } from './draft.ts'
import type { Change } from './history.ts'
import type { IndexRow } from './key-index.ts'
import {
  entryHash,
  formatVersion,
  hex,
  type Meta,
  metaHash,
  parseEntry,
  schemaSql,
  wrap,
} from './rows.ts'
import type { StoredEntry } from './stored.ts'
import { openReader, readPragma, verify, withReader } from './verify.ts'
import { createWitness, readWitness, Witness } from './witness.ts'

/** `none` leaves syncing to the kernel: for tests that must lose something. */
export type Durability = 'full' | 'none'

export interface BatchResult {
  readonly decisions: readonly Decision[]
  /** One list for each txn that took effect, oldest first. */
  readonly changes: readonly (readonly Change[])[]
}

export class Database implements DraftTarget, Disposable {
  readonly #database: DatabaseSync
  readonly #committed: Committed
  /** None while reading only. */
  readonly #witness: Witness | undefined
  readonly #statements: Statements

  /** Verifies first. Throws Damage, or what SQLite throws; nothing is changed then. */
  constructor(path: string, access: 'read-write' | 'read-only', durability: Durability) {
    if (access === 'read-only') {
      this.#database = openReader(path)
      this.#committed = this.#closeOnError(() => verifyWhole(this.#database, path))
    } else {
      this.#committed = withReader(path, (reader) => verifyWhole(reader, path))
      this.#database = openWriter(path, durability)
      this.#witness = this.#closeOnError(() => new Witness(path))
    }
    this.#statements = prepareStatements(this.#database)
  }

  #closeOnError<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      this.#database.close()
      throw error
    }
  }

  get revision(): number {
    return this.#committed.meta.revision
  }

  get empty(): boolean {
    return this.#committed.index.size === 0
  }

  keys(prefix: string): readonly string[] {
    return this.#committed.index.keys(prefix)
  }

  /** Throws Damage when the row is not what was written. */
  read(key: string): StoredEntry | undefined {
    const row = this.#committed.index.get(key)
    return row === undefined ? undefined : this.readEntry(key, row)
  }

  /**
   * Decides the txns in order and makes those that take effect durable together. When it throws,
   * see `sqliteFault` for whether they may be there after a restart; they are not now.
   */
  commit(txns: readonly CheckedTxn[], bytesMax: number): BatchResult {
    const draft = new Draft(this.#committed, this, bytesMax)
    let decisions: readonly Decision[] = []
    this.#write(draft, () => {
      decisions = txns.map((txn) => draft.decide(txn))
    })
    return { decisions, changes: draft.changes }
  }

  /** Fills an empty store, durably; throws as `commit` does, and `exhausted` over the quota. */
  fill(entries: readonly StoredEntry[], bytesMax: number): readonly Change[] {
    const draft = new Draft(this.#committed, this, bytesMax)
    this.#write(draft, () => draft.fill(entries))
    return draft.changes.flat()
  }

  /** Records what is committed as acknowledged: before any caller hears of it. */
  acknowledge(): void {
    this.#witness?.acknowledge(this.revision)
  }

  #write(draft: Draft, decide: () => void): void {
    this.#database.exec('BEGIN IMMEDIATE')
    try {
      decide()
      if (!draft.empty) writeMeta(this.#statements.putMeta, draft.meta)
      this.#database.exec('COMMIT')
    } catch (error) {
      if (this.#database.isTransaction) this.#database.exec('ROLLBACK')
      throw error
    }
    if (!draft.empty) draft.settle()
  }

  putEntry(id: number, e: StoredEntry, hash: bigint): void {
    const { key, revision, schema, operationId, writer, json } = e
    this.#statements.putEntry.run(id, key, revision, schema, operationId, writer, json, hex(hash))
  }

  deleteEntry(id: number): void {
    this.#statements.deleteEntry.run(id)
  }

  putOperation(
    slot: number,
    op: { readonly revision: number; readonly id: string; readonly fingerprint: string },
    hash: bigint,
  ): void {
    this.#statements.putOperation.run(slot, op.revision, op.id, op.fingerprint, hex(hash))
  }

  readEntry(key: string, row: IndexRow): StoredEntry {
    const found = this.#statements.getEntry.get(row.id)
    if (found === undefined) throw new Damage(`the entry ${JSON.stringify(key)} is missing`)
    const { stored, hash } = parseEntry(found)
    if (stored.key === key && hash === row.hash) return stored
    throw new Damage(`the entry ${JSON.stringify(key)} is an old one`)
  }

  /** Folds the log into the database and syncs the witness. */
  [Symbol.dispose](): void {
    if (!this.#database.isOpen) return
    this.#database.close()
    this.#witness?.[Symbol.dispose]()
  }
}

/** Where `draftDatabase` makes it. */
export function draftPath(path: string): string {
  return `${path}.new`
}

/** Makes a database with these entries at this revision, durably, beside where it will be. */
export function draftDatabase(
  path: string,
  revision: number,
  entries: readonly StoredEntry[],
): void {
  for (const suffix of ['', '-wal', '-journal']) removeFile(draftPath(path) + suffix)
  using database = new DatabaseSync(draftPath(path))
  database.exec(`PRAGMA synchronous = FULL; BEGIN; ${schemaSql}`)
  const statement = database.prepare(putEntrySql)
  let sum = 0n
  entries.forEach(({ key, schema, operationId, writer, json }, i) => {
    const hash = entryHash({ key, revision, schema, operationId, writer, json })
    statement.run(i + 1, key, revision, schema, operationId, writer, json, hex(hash))
    sum += hash
  })
  const meta = { revision, entries: entries.length, operations: 0, sum: wrap(sum) }
  writeMeta(database.prepare(putMetaSql), meta)
  database.exec('COMMIT; PRAGMA journal_mode = WAL')
}

/** A new, empty store; it appears whole or not at all. */
export function createDatabase(path: string): void {
  draftDatabase(path, 0, [])
  // The witness first: a database without one counts as damaged.
  createWitness(path, 0)
  renameDurably(draftPath(path), path)
}

function verifyWhole(database: DatabaseSync, path: string): Committed {
  const committed = verify(database)
  const { revision } = committed.meta
  const witness = readWitness(path)
  if (witness === 'missing' || witness === 'damaged') {
    throw new Damage(`its record of what was acknowledged is ${witness}`)
  }
  if (witness > revision) {
    throw new Damage(`it ends at revision ${revision}, and revision ${witness} was acknowledged`)
  }
  return committed
}

function openWriter(path: string, durability: Durability): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    database.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA cell_size_check = ON')
    database.exec(`PRAGMA synchronous = ${durability === 'full' ? 'FULL' : 'OFF'}`)
    // The log keeps its place on disk between checkpoints, but not what a burst made of it.
    database.exec('PRAGMA journal_size_limit = 8388608')
    if (readPragma(database, 'journal_mode') !== 'wal') throw new Damage('its header was changed')
    // Takes the lock for good, and finds out whether the file's own header allows writing.
    database.exec('BEGIN IMMEDIATE; UPDATE meta SET id = id; ROLLBACK')
    return database
  } catch (error) {
    database.close()
    if (sqliteFault(error) !== 'not-written') throw error
    throw new Damage(`it cannot be written (${error instanceof Error ? error.message : error})`)
  }
}

interface Statements {
  readonly putMeta: StatementSync
  readonly putEntry: StatementSync
  readonly deleteEntry: StatementSync
  readonly putOperation: StatementSync
  readonly getEntry: StatementSync
}

const putMetaSql =
  'INSERT OR REPLACE INTO meta (id, format, revision, entries, operations, sum, hash) ' +
  'VALUES (1, ?, ?, ?, ?, ?, ?)'

const putEntrySql =
  'INSERT OR REPLACE INTO entries (id, key, revision, schema, operation, writer, value, hash) ' +
  'VALUES (?, ?, ?, ?, ?, ?, ?, ?)'

function prepareStatements(database: DatabaseSync): Statements {
  return {
    putMeta: database.prepare(putMetaSql),
    putEntry: database.prepare(putEntrySql),
    deleteEntry: database.prepare('DELETE FROM entries WHERE id = ?'),
    putOperation: database.prepare(
      'INSERT OR REPLACE INTO operations (slot, revision, id, fingerprint, hash) ' +
        'VALUES (?, ?, ?, ?, ?)',
    ),
    getEntry: database.prepare('SELECT * FROM entries WHERE id = ?'),
  }
}

function writeMeta(statement: StatementSync, meta: Meta): void {
  const { revision, entries, operations, sum } = meta
  statement.run(formatVersion, revision, entries, operations, hex(sum), hex(metaHash(meta)))
}
