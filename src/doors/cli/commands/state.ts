/**
 * `holon state`: backups of the machine's own store and of the fleet's state, and the way back
 * when one is damaged or lost. Needs no agent.
 */
import { basename } from 'node:path'
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { readEngineChoice } from '../../../cluster/etcd/engine-file.ts'
import { fleetSeries } from '../../../cluster/etcd/fleet-backup.ts'
import { packageDir } from '../../../io/agent-process.ts'
import { realHost } from '../../../io/host.ts'
import { backupDir, databasePath, ownDirectories } from '../../../io/paths.ts'
import { realRandom } from '../../../io/random.ts'
import { listBackups, type RestoreOptions, restoreState } from '../../../state/backup.ts'
import type { CliContext } from '../context.ts'

interface RestoreFlags {
  readonly fleet?: boolean
  readonly machine?: boolean
  readonly from?: string
  readonly fromDatabase?: boolean
}

const restoreTimeoutMs = 120_000

export function command(context: CliContext): Command {
  const host = realHost()
  const { stateDir } = ownDirectories(host.env, host.uid)
  const state = new Command('state').description('Backups of the state, and restoring one.')
  state
    .command('backups')
    .description('Lists the automatic backups, newest first.')
    .action(() => {
      const dir = backupDir(stateDir)
      for (const { path, revision } of listBackups(dir)) {
        context.stdout.write(`${path} (revision ${revision})\n`)
      }
      for (const { path, revision } of listBackups(dir, fleetSeries)) {
        context.stdout.write(`${path} (the fleet's, revision ${revision})\n`)
      }
    })
  state
    .command('restore')
    .description(
      'Replaces the state by a backup, the newest unless one is named. The agent must be down; ' +
        'the old files are kept beside the new ones.',
    )
    .argument('[backup]', 'a file of `holon state backups`')
    .option('--from <backup>', 'the same')
    .option('--fleet', "the fleet's state, when its etcd is lost; on one machine only")
    .option('--machine', "the machine's own store")
    .option('--from-database', 'what can still be read of the damaged database, instead')
    .action(async (argument: string | undefined, flags: RestoreFlags) => {
      const backup = argument ?? flags.from
      if (isFleet(stateDir, backup, flags)) await restoreFleet(context, backup)
      else restoreMachine(context, stateDir, backup, flags.fromDatabase === true)
      context.stdout.write('Start the agent with `holon up`.\n')
    })
  return state
}

/** A backup's name says whose it is; without one it must be said where there are two. */
function isFleet(stateDir: string, backup: string | undefined, flags: RestoreFlags): boolean {
  if (flags.fleet && (flags.machine || flags.fromDatabase)) {
    throw new HolonError('invalid_argument', 'restore: --fleet goes with neither of the others')
  }
  if (flags.fleet || flags.machine || flags.fromDatabase) return flags.fleet === true
  if (backup !== undefined) return fleetSeries.pattern.test(basename(backup))
  if (readEngineChoice(stateDir).engine === 'embedded') return false
  throw new HolonError(
    'invalid_argument',
    'restore: this machine has its own store and is part of a fleet: say which one, ' +
      '`holon state restore --machine` or `holon state restore --fleet`',
  )
}

function restoreMachine(
  context: CliContext,
  stateDir: string,
  backup: string | undefined,
  fromDatabase: boolean,
): void {
  const from: RestoreOptions['from'] =
    backup !== undefined ? { backup } : fromDatabase ? 'database' : 'newest-backup'
  const path = databasePath(stateDir)
  const restored = restoreState({ path, backupDir: backupDir(stateDir), from })
  for (const note of restored.notes) context.stderr.write(`holon: note: ${note}\n`)
  context.stdout.write(`${restored.entries} entries restored from ${restored.source}.\n`)
  for (const old of restored.aside) context.stdout.write(`The old file is kept: ${old}\n`)
}

async function restoreFleet(context: CliContext, from: string | undefined): Promise<void> {
  const { restoreFleetHere } = await import('../../../agent/fleet-restore.ts')
  const host = realHost()
  using limit = context.deadline(restoreTimeoutMs)
  const report = (message: string) => void context.stderr.write(`holon: note: ${message}\n`)
  const restored = await restoreFleetHere(
    { clock: context.clock, random: realRandom, report },
    {
      directories: ownDirectories(host.env, host.uid),
      packageDir: packageDir(),
      forceShKeeper: host.env['HOLON_KEEPER'] === 'sh',
      ownerUid: host.uid,
      signal: limit.signal,
      ...(from === undefined ? {} : { from }),
    },
  )
  for (const note of restored.notes) report(note)
  context.stdout.write(`${restored.entries} entries restored from ${restored.source}.\n`)
  for (const old of restored.aside) context.stdout.write(`The old data are kept: ${old}\n`)
  context.stdout.write(
    'This machine now keeps the state alone. Do this on no other machine: the others take it\n' +
      'over from here when they meet it, keep their old data aside, and become members again.\n',
  )
}
