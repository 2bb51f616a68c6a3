/**
 * Backups and the way back. A backup is a dump in a file named by its revision, complete or not
 * there. Restoring makes a new database and moves the old files aside; it deletes none of them.
 */
import { join } from 'node:path'
import { type Clock, sleep } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import {
  makePrivateDir,
  namesIn,
  pathExists,
  readText,
  removeFile,
  renameDurably,
  writeDurably,
  writeDurablySync,
} from '../io/state-files.ts'
import { defaultWayBack, openError, type WayBack } from './damage.ts'
import { draftDatabase, draftPath } from './database.ts'
import { checkDump, decodeDump, encodeDump } from './dump.ts'
import { StateLock } from './lock.ts'
import type { SignalOptions, State, StateDump } from './port.ts'
import type { StoredEntry } from './stored.ts'
import { type Salvage, salvage } from './verify.ts'
import { createWitness, readWitness, witnessPath } from './witness.ts'

export function isBackupName(name: string): boolean {
  return machineSeries.pattern.test(name)
}

/** Backups of one store: their names, in whose order they are newer and newer. */
export interface BackupSeries {
  /** Its one group is the revision. */
  readonly pattern: RegExp
  readonly name: (dump: StateDump) => string
  /** How many are kept. */
  readonly max: number
}

/** Of the machine's own store. */
export const machineSeries: BackupSeries = {
  pattern: /^state-(\d{16})\.jsonl$/,
  name: ({ revision }) => `state-${digits(revision)}.jsonl`,
  max: limits.stateBackupsMax,
}

/** A revision such that names are in the order of revisions. */
export function digits(revision: number): string {
  return String(revision).padStart(16, '0')
}

export interface Backup {
  readonly path: string
  readonly revision: number
}

/** The backups in a directory, newest first; they may be damaged. */
export function listBackups(
  dir: string,
  { pattern }: BackupSeries = machineSeries,
): readonly Backup[] {
  const found: Backup[] = []
  for (const name of namesIn(dir)) {
    const match = pattern.exec(name)
    if (match !== null) found.unshift({ path: join(dir, name), revision: Number(match[1]) })
  }
  return found
}

/**
 * Writes all of `state` to a file in `dir`, durably, and removes all but the newest of the series.
 * At an unchanged revision it changes nothing. `exhausted` when the disk
 * is full; the older backups are kept then.
 */
export async function writeBackup(
  state: State,
  dir: string,
  options: SignalOptions & { readonly series?: BackupSeries },
): Promise<Backup> {
  const { series = machineSeries } = options
  makePrivateDir(dir)
  const dump = await state.export(options)
  const path = join(dir, series.name(dump))
  if (!pathExists(path)) await writeDurably(path, encodeDump(dump))
  for (const old of listBackups(dir, series).slice(series.max)) removeFile(old.path)
  return { path, revision: dump.revision }
}

export interface RestoreOptions {
  /** The database file. */
  readonly path: string
  readonly backupDir: string
  /**
   * 'newest-backup' (default): the newest backup that is whole. 'database': what can still be read
   * of the database itself, which may be newer. Or the path of a backup.
   */
  readonly from?: 'newest-backup' | 'database' | { readonly backup: string }
  readonly wayBack?: WayBack
}

export interface Restored {
  /** Where the entries came from. */
  readonly source: string
  readonly entries: number
  /** The new store's revision: above every one that was ever handed out. */
  readonly revision: number
  /** The old files, all of them, now with these names. */
  readonly aside: readonly string[]
  /** What could not be used and why, for people. */
  readonly notes: readonly string[]
}

// Above whatever was acknowledged since the newest revision that any file still tells of.
const revisionStep = 1_000_000

/**
 * Replaces the store. Needs no agent on it: `unavailable` otherwise. `not_found` when there is
 * nothing to restore from. A crash in the middle leaves a store that says it is damaged.
 */
export function restoreState(options: RestoreOptions): Restored {
  const { path, wayBack = defaultWayBack } = options
  using _lock = new StateLock(path, wayBack)
  try {
    return restoreLocked(options)
  } catch (error) {
    throw openError(error, `restore the state in "${path}"`, path, wayBack)
  }
}

function restoreLocked({ path, backupDir, from = 'newest-backup' }: RestoreOptions): Restored {
  const found = pathExists(path) ? salvage(path) : { entries: [], revision: 0, damage: [] }
  const { source, entries, notes } = chooseSource(path, backupDir, from, found)
  const witness = readWitness(path)
  const known = [found.revision, typeof witness === 'number' ? witness : 0]
  for (const backup of listBackups(backupDir)) known.push(backup.revision)
  const revision = Math.max(...known) + revisionStep
  const aside = replace(path, revision, entries)
  return { source, entries: entries.length, revision, aside, notes }
}

interface Source {
  readonly source: string
  readonly entries: readonly StoredEntry[]
  readonly notes: readonly string[]
}

function chooseSource(
  path: string,
  backupDir: string,
  from: NonNullable<RestoreOptions['from']>,
  found: Salvage,
): Source {
  if (from === 'database') {
    if (!pathExists(path)) throw new HolonError('not_found', `restore: there is no "${path}"`)
    return { source: path, entries: found.entries, notes: found.damage }
  }
  const name = typeof from === 'object' ? from.backup : undefined
  const { source, dump, notes } = findBackup(backupDir, machineSeries, name)
  return { source, entries: checkDump(dump), notes }
}

export interface FoundBackup {
  readonly source: string
  readonly dump: StateDump
  /** Newer ones that could not be used and why, for people. */
  readonly notes: readonly string[]
}

/**
 * The newest whole backup of a series, or the one at `path`. `not_found` when there is none,
 * `invalid_argument` when the one named is not whole.
 */
export function findBackup(dir: string, series: BackupSeries, path?: string): FoundBackup {
  if (path !== undefined) return { source: path, dump: readBackup(path), notes: [] }
  const notes: string[] = []
  for (const backup of listBackups(dir, series)) {
    try {
      return { source: backup.path, dump: readBackup(backup.path), notes }
    } catch (error) {
      if (!(error instanceof HolonError)) throw error
      notes.push(error.message)
    }
  }
  const why = notes.length === 0 ? 'there is none' : notes.join('; ')
  throw new HolonError('not_found', `restore: no whole backup in "${dir}" (${why})`)
}

function readBackup(path: string): StateDump {
  const text = readText(path)
  if (text === undefined) throw new HolonError('not_found', `restore: there is no "${path}"`)
  const dump = decodeDump(text, path)
  checkDump(dump)
  return dump
}

/** Each step leaves a store that is whole or says that it is damaged. */
function replace(path: string, revision: number, entries: readonly StoredEntry[]): string[] {
  // First, so that without room nothing has changed.
  draftDatabase(path, revision, entries)
  const files = ['', '-wal', '-shm', '-journal', '-acked'].filter((s) => pathExists(path + s))
  let n = 1
  while (files.some((s) => pathExists(`${path}.damaged-${n}${s}`))) n += 1
  const aside = (suffix: string) => `${path}.damaged-${n}${suffix}`
  // From here the old database is behind its witness, so a crash cannot pass it off as whole.
  const witness = readText(witnessPath(path))
  if (witness !== undefined) writeDurablySync(aside('-acked'), witness)
  createWitness(path, revision)
  for (const suffix of files) {
    if (suffix !== '-acked') renameDurably(path + suffix, aside(suffix))
  }
  renameDurably(draftPath(path), path)
  return files.map(aside)
}

export interface KeepBackupsOptions extends SignalOptions {
  readonly dir: string
  /** Default: of the machine's own store. */
  readonly series?: BackupSeries
  /** Default: limits.stateBackupIntervalMs. */
  readonly intervalMs?: number
  /** Told of every backup that could not be written; the next change tries again. */
  readonly onError: (error: unknown) => void
}

const retryMs = 5_000

/** Writes a backup now and after changes, at most one an interval, until the signal aborts. */
export async function keepBackups(
  clock: Clock,
  state: State,
  options: KeepBackupsOptions,
): Promise<void> {
  const { dir, signal, intervalMs = limits.stateBackupIntervalMs, onError } = options
  const { series = machineSeries } = options
  while (!signal.aborted) {
    let pauseMs = intervalMs
    try {
      const { revision } = await writeBackup(state, dir, { signal, series })
      for await (const event of state.watch('', revision, { signal })) {
        if (event.kind !== 'synced') break
      }
    } catch (error) {
      if (signal.aborted) return
      onError(error)
      // As for etcd that is still to come up: its first backup is not to wait for an interval.
      pauseMs = Math.min(intervalMs, retryMs)
    }
    await sleep(clock, pauseMs, signal).catch(() => undefined)
  }
}
