/** Opens the embedded engine: makes, verifies, locks, or says what is wrong and how to go on. */
import { dirname } from 'node:path'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { fileAccess, makePrivateDir, namesIn, pathExists } from '../io/state-files.ts'
import { isBackupName } from './backup.ts'
import { Damage, defaultWayBack, openError, type WayBack } from './damage.ts'
import { createDatabase, Database, type Durability } from './database.ts'
import { EmbeddedState } from './embedded.ts'
import { StateLock } from './lock.ts'
import type { StateMode } from './port.ts'
import { readWitness } from './witness.ts'

export interface EmbeddedOptions {
  /**
   * The database file; its directory is made when missing. Files beside it begin with this name.
   */
  readonly path: string
  /** Where the backups are: a missing database with backups is a loss, not a new store. */
  readonly backupDir?: string
  readonly wayBack?: WayBack
  /** Default: limits.stateBytesMax. */
  readonly bytesMax?: number
  /** Default: limits.stateHistoryChangesMax. */
  readonly historyChangesMax?: number
  /** Default 'full'. */
  readonly durability?: Durability
}

/**
 * The state at `path`, new when there is none. On a read-only file system it opens for reading:
 * `mode` says so and every txn is `unavailable`.
 *
 * Errors: `unavailable` with details.kind 'state_in_use' when another agent has it; `internal` with
 * details.kind 'state_damaged' (isDamageError) and nothing touched; `exhausted` when there is no
 * room to make it; `permission_denied`. None of them goes away by opening again at once.
 */
export async function openEmbedded(options: EmbeddedOptions): Promise<EmbeddedState> {
  const { path, wayBack = defaultWayBack } = options
  try {
    makePrivateDir(dirname(path))
    const access = fileAccess(pathExists(path) ? path : dirname(path))
    if (access === 'read-only') return openReadOnly(options)
    return openReadWrite(options)
  } catch (error) {
    throw openError(error, `open the state in "${path}"`, path, wayBack)
  }
}

function openReadWrite(options: EmbeddedOptions): EmbeddedState {
  const { path, wayBack = defaultWayBack, durability = 'full' } = options
  const lock = new StateLock(path, wayBack)
  try {
    if (!pathExists(path)) {
      checkNew(path, options.backupDir)
      createDatabase(path)
    }
    const database = new Database(path, 'read-write', durability)
    return new EmbeddedState({ database, lock }, configOf(options, { kind: 'read-write' }))
  } catch (error) {
    lock[Symbol.dispose]()
    throw error
  }
}

function openReadOnly(options: EmbeddedOptions): EmbeddedState {
  const { path } = options
  const why = `"${path}" is on a read-only file system; mount it read-write, then restart the agent`
  if (!pathExists(path)) throw new HolonError('unavailable', `make the state: ${why}`)
  const database = new Database(path, 'read-only', 'full')
  return new EmbeddedState({ database }, configOf(options, { kind: 'read-only', why }))
}

function configOf(options: EmbeddedOptions, mode: StateMode) {
  return {
    path: options.path,
    wayBack: options.wayBack ?? defaultWayBack,
    bytesMax: options.bytesMax ?? limits.stateBytesMax,
    historyChangesMax: options.historyChangesMax ?? limits.stateHistoryChangesMax,
    mode,
  }
}

/** Throws Damage when there was a store here. */
function checkNew(path: string, backupDir: string | undefined): void {
  const witness = readWitness(path)
  const backups = backupDir === undefined ? [] : namesIn(backupDir).filter(isBackupName)
  // A crash while the store was made leaves a witness of nothing.
  const neverUsed = witness === 'missing' || witness === 0
  if (neverUsed && !pathExists(`${path}-wal`) && backups.length === 0) return
  throw new Damage('the database file is missing')
}
