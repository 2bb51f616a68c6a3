/**
 * The way back when etcd is lost: a new etcd with one member, on this machine, filled from a
 * backup. The fleet grows again from it by itself.
 *
 * It is a new cluster with a token of its own and a higher era, so no member of the former one can
 * be mistaken for one of it, or join it with its old memory. The old data directory stays where it
 * is and is not used again. Until `engine.json` names the new one, nothing has changed.
 */
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { exists } from '../../io/files.ts'
import { backupDir } from '../../io/paths.ts'
import { findBackup, listBackups } from '../../state/backup.ts'
import { type CommitDeps, newOperationId } from '../../state/commit.ts'
import type { Entry, SignalOptions, State } from '../../state/port.ts'
import { type EngineChoice, type ManagedEngine, readEngineChoice } from './engine-file.ts'
import { eraOfBackup, fleetSeries } from './fleet-backup.ts'
import { engineKey, engineSchema, eraOf, stateCaKey } from './fleet-engine-record.ts'
import type { LocalStateMember } from './local-member.ts'
import { dataPath, type MemberPaths } from './member-service.ts'
import { checkSame } from './move.ts'
import { parseCertificatePair } from './peer-certificates.ts'

export interface RestoreFleetOptions extends SignalOptions {
  readonly stateDir: string
  readonly paths: MemberPaths
  readonly member: LocalStateMember
  readonly machineId: string
  readonly peerUrl: string
  readonly listenPeer: string
  /** Default: the newest whole backup. */
  readonly from?: string
  readonly openEngine: (signal: AbortSignal) => Promise<State>
}

export interface RestoredFleet {
  readonly source: string
  readonly entries: number
  /** How many restores there were, this one included, plus 1. */
  readonly era: number
  /** Old data directories, which nothing uses any more. */
  readonly aside: readonly string[]
  /** Newer backups that could not be used and why. */
  readonly notes: readonly string[]
}

const abandonTimeoutMs = 30_000

/**
 * Restores; the agent must be down (the caller sees to that). etcd runs when it resolves. On
 * failure the state is what it was.
 */
export async function restoreFleet(
  deps: CommitDeps,
  options: RestoreFleetOptions,
): Promise<RestoredFleet> {
  const { stateDir, member, signal } = options
  const before = readEngineChoice(stateDir)
  if (before.engine === 'external') {
    throw new HolonError(
      'unsupported',
      `restore: the state is in an etcd that you run (${before.url}); restore that one`,
    )
  }
  const found = findBackup(backupDir(stateDir), fleetSeries, options.from)
  const era = nextEra(before, stateDir, eraOf(found.dump.entries))
  const engine = newEngine(era, deps, options)
  const entries = renewed(found.dump.entries, engine, deps)
  const caValue = entries.find(({ key }) => key === stateCaKey)?.value
  const ca = parseCertificatePair(caValue, `${stateCaKey} in "${found.source}"`)
  try {
    await member.startDraft(engine, ca, options)
    await using target = await options.openEngine(signal)
    await target.import({ revision: found.dump.revision, entries }, options)
    checkSame(entries, (await target.list('', options)).entries)
    member.adoptDraft(engine)
  } catch (error) {
    await goBack(deps, options)
    throw error
  }
  const aside = before.engine === 'etcd' ? [dataPath(options.paths, before.dataName)] : []
  return {
    source: found.source,
    entries: entries.length,
    era,
    aside: aside.filter(exists),
    notes: found.notes,
  }
}

/** Above every one that anything here tells of. */
function nextEra(before: EngineChoice, stateDir: string, eraOfSource: number): number {
  const eras = listBackups(backupDir(stateDir), fleetSeries).map(({ path }) => eraOfBackup(path))
  const here = before.engine === 'etcd' || before.engine === 'link' ? before.era : 0
  return Math.max(here, eraOfSource, ...eras) + 1
}

function newEngine(era: number, deps: CommitDeps, options: RestoreFleetOptions): ManagedEngine {
  const { machineId, peerUrl, listenPeer } = options
  // Two restores of one era, on two machines, must not become one cluster.
  const clusterToken = `${newOperationId(deps.random)}-${era}`
  const initialCluster = [{ machineId, peerUrl }]
  const base = { engine: 'etcd', era, machineId, clusterToken, dataName: `data-${era}` } as const
  return { ...base, peerUrl, listenPeer, initialCluster, initialState: 'new' }
}

/** The backup's entries, telling of the new etcd instead of the old one. */
function renewed(
  entries: readonly Entry[],
  { era, clusterToken }: ManagedEngine,
  deps: CommitDeps,
): readonly Entry[] {
  const record: Entry = {
    key: engineKey,
    revision: 0,
    // The members come with the first look of the machine that leads.
    value: { era, clusterToken, members: [] },
    schema: engineSchema,
    operationId: newOperationId(deps.random),
    writer: 'holon state restore',
  }
  const others = entries.filter(({ key }) => key !== engineKey)
  return [...others, record].sort((a, b) => (a.key < b.key ? -1 : 1))
}

async function goBack(deps: CommitDeps, options: RestoreFleetOptions): Promise<void> {
  // Whatever the failure was, perhaps the deadline: going back has time of its own.
  using limit = deadline(deps.clock, abandonTimeoutMs)
  await options.member.discardDraft(limit).catch(() => undefined)
  await options.member.open(limit).catch(() => undefined)
}
