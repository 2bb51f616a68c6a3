/**
 * Backups of the fleet's State, on every machine that runs an etcd: `fleet-ERA-REVISION.jsonl`,
 * beside those of the machine's own store and in their format. Revisions begin anew with every
 * restore, so the count of restores comes first in the name: the last name is the newest.
 */
import type { Clock } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { backupDir } from '../../io/paths.ts'
import { type BackupSeries, digits, keepBackups, writeBackup } from '../../state/backup.ts'
import type { SignalOptions, State } from '../../state/port.ts'
import { eraOf } from './fleet-engine-record.ts'

export const fleetSeries: BackupSeries = {
  pattern: /^fleet-\d{6}-(\d{16})\.jsonl$/,
  name: ({ revision, entries }) => {
    return `fleet-${String(eraOf(entries)).padStart(6, '0')}-${digits(revision)}.jsonl`
  },
  max: limits.fleetBackupsMax,
}

/** The count of restores in a backup's name; 0 for another name. */
export function eraOfBackup(path: string): number {
  return Number(/fleet-(\d{6})-\d{16}\.jsonl$/.exec(path)?.[1] ?? 0)
}

/** Before a change of members. Changes nothing when nothing changed since the last one. */
export async function backUpFleet(
  state: State,
  stateDir: string,
  { signal }: SignalOptions,
): Promise<void> {
  await writeBackup(state, backupDir(stateDir), { signal, series: fleetSeries })
}

/** Now, and every ten minutes when something changed, until the signal aborts. */
export function keepFleetBackups(
  clock: Clock,
  state: State,
  stateDir: string,
  options: SignalOptions & { readonly onError: (error: unknown) => void },
): Promise<void> {
  const intervalMs = limits.fleetBackupIntervalMs
  const dir = backupDir(stateDir)
  return keepBackups(clock, state, { ...options, dir, intervalMs, series: fleetSeries })
}
