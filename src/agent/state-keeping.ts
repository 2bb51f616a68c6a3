/**
 * The store of this agent: opening it with a way back in the message, and its automatic backups.
 */
import { type Clock, deadline } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { backupDir, databasePath } from '../io/paths.ts'
import { keepBackups, writeBackup } from '../state/backup.ts'
import { openEmbedded } from '../state/open.ts'
import type { State } from '../state/port.ts'

/** What people type when the store needs them. */
export const wayBack = { restore: 'holon state restore', stop: 'holon down' } as const

/** Rejects with what is wrong and what to do; opening again at once would not help. */
export function openState(stateDir: string): Promise<State> {
  return openEmbedded({
    path: databasePath(stateDir),
    backupDir: backupDir(stateDir),
    wayBack,
  })
}

const lastBackupTimeoutMs = 10_000

/** Backs the store up now, after changes, and when disposed. */
export function startBackups(
  clock: Clock,
  state: State,
  stateDir: string,
  report: (message: string) => void,
): AsyncDisposable {
  const ending = new AbortController()
  const onError = (error: unknown) => report(asHolonError(error, 'back up the state').message)
  const dir = backupDir(stateDir)
  const options = { dir, signal: ending.signal, onError }
  const done = state.mode.kind === 'read-write' ? keepBackups(clock, state, options) : undefined
  return {
    async [Symbol.asyncDispose]() {
      ending.abort()
      await done
      if (state.mode.kind !== 'read-write') return
      using limit = deadline(clock, lastBackupTimeoutMs)
      await writeBackup(state, dir, limit).catch(onError)
    },
  }
}
