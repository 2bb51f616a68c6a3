/** `holon state`: the store's backups, and the way back when it is damaged. Needs no agent. */
import { Command } from 'commander'
import { realHost } from '../../../io/host.ts'
import { backupDir, databasePath, ownDirectories } from '../../../io/paths.ts'
import { listBackups, type RestoreOptions, restoreState } from '../../../state/backup.ts'
import type { CliContext } from '../context.ts'

export function command(context: CliContext): Command {
  const host = realHost()
  const { stateDir } = ownDirectories(host.env, host.uid)
  const state = new Command('state').description('Backups of the state, and restoring one.')
  state
    .command('backups')
    .description('Lists the automatic backups, newest first.')
    .action(() => {
      for (const { path, revision } of listBackups(backupDir(stateDir))) {
        context.stdout.write(`${path} (revision ${revision})\n`)
      }
    })
  state
    .command('restore')
    .description(
      'Replaces the state by a backup, the newest unless one is named. The agent must be down; ' +
        'the old files are kept beside the new ones.',
    )
    .argument('[backup]', 'a file of `holon state backups`')
    .option('--from-database', 'what can still be read of the damaged database, instead')
    .action((backup: string | undefined, options: { fromDatabase?: boolean }) => {
      const from: RestoreOptions['from'] =
        backup !== undefined ? { backup } : options.fromDatabase ? 'database' : 'newest-backup'
      const path = databasePath(stateDir)
      const restored = restoreState({ path, backupDir: backupDir(stateDir), from })
      for (const note of restored.notes) context.stderr.write(`holon: note: ${note}\n`)
      context.stdout.write(`${restored.entries} entries restored from ${restored.source}.\n`)
      for (const old of restored.aside) context.stdout.write(`The old file is kept: ${old}\n`)
      context.stdout.write('Start the agent with `holon up`.\n')
    })
  return state
}
