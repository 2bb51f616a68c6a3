/**
 * `holon state restore --fleet`: what an agent would put together to run etcd, without the agent.
 * The restored etcd is stopped again at the end: the agent starts it as one of its jobs.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { readEngineChoice } from '../cluster/etcd/engine-file.ts'
import { LocalStateMember, memberPaths } from '../cluster/etcd/local-member.ts'
import { clientSocketPath } from '../cluster/etcd/member-service.ts'
import { type RestoredFleet, restoreFleet } from '../cluster/etcd/restore.ts'
import { joinPath } from '../io/files.ts'
import { type Directories, databasePath, jobsDir } from '../io/paths.ts'
import { ProcFs } from '../io/proc.ts'
import { EtcdClient } from '../state/etcd/client.ts'
import { openEtcd } from '../state/etcd/etcd-state.ts'
import { StateLock } from '../state/lock.ts'
import { openLauncher } from './keeper/launcher.ts'
import { Leftovers } from './leftovers.ts'
import { etcdJob, ServiceJob } from './service-job.ts'
import { wayBack } from './state-keeping.ts'

export interface FleetRestoreDeps {
  readonly clock: Clock
  readonly random: Random
  readonly report: (message: string) => void
}

export interface FleetRestoreOptions {
  readonly directories: Directories
  readonly packageDir: string
  readonly forceShKeeper: boolean
  readonly ownerUid: number
  /** Default: the newest whole backup. */
  readonly from?: string
  readonly signal: AbortSignal
}

/**
 * `unavailable` while an agent runs, `unsupported` where this machine has no etcd of its own; else
 * as `restoreFleet`.
 */
export async function restoreFleetHere(
  deps: FleetRestoreDeps,
  options: FleetRestoreOptions,
): Promise<RestoredFleet> {
  const { clock, random, report } = deps
  const { stateDir, runtimeDir } = options.directories
  const choice = readEngineChoice(stateDir)
  if (choice.engine !== 'etcd') {
    throw new HolonError(
      'unsupported',
      'restore the fleet’s state: this machine keeps none of it; run this on one that does, ' +
        'or did last (`holon machines` marks them)',
    )
  }
  using _agentIsDown = new StateLock(databasePath(stateDir), wayBack)
  await using launcher = await openLauncher(
    { clock, report },
    {
      sourceDir: joinPath(options.packageDir, 'keeper'),
      binDir: joinPath(stateDir, 'bin'),
      forceSh: options.forceShKeeper,
    },
  )
  const paths = memberPaths(stateDir, runtimeDir)
  const dir = joinPath(jobsDir(runtimeDir), etcdJob.id)
  const proc = new ProcFs()
  const cgroups = () => []
  const leftovers = new Leftovers({ clock, proc, cgroups, jobDir: () => dir, report })
  const cleanUp = (job: string) => leftovers.cleanUp(job)
  const untilGone = (pid: number) => leftovers.untilGone(pid)
  const jobDeps = { clock, launcher, cgroups, cleanUp, untilGone, report }
  const jobOptions = { ...etcdJob, dir, logDir: paths.logDir, ownerUid: options.ownerUid }
  using service = new ServiceJob(jobDeps, jobOptions)
  const socketPath = clientSocketPath(paths)
  using api = new EtcdClient({ clock }, [{ socketPath }])
  const { machineId, peerUrl, listenPeer } = choice
  const memberOptions = { stateDir, paths, machineId, listenPeer, hosts: () => [] }
  const member = new LocalStateMember({ clock, service, api, report }, memberOptions)
  const openEngine = () =>
    Promise.resolve(openEtcd({ clock, random }, { endpoints: [{ socketPath }] }))
  const common = { stateDir, paths, member, machineId, peerUrl, listenPeer, openEngine }
  const { signal, from } = options
  const all = { ...common, signal, ...(from === undefined ? {} : { from }) }
  const restored = await restoreFleet({ clock, random }, all)
  await service.stop('restored; the agent starts it', { signal })
  return restored
}
