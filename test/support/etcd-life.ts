/**
 * An agent's life as far as its etcd is concerned, with a real keeper: `DIR/s` and `DIR/r` are its
 * state and runtime directories.
 */
import assert from 'node:assert/strict'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type JobLauncher, openLauncher } from '../../src/agent/keeper/launcher.ts'
import { Leftovers } from '../../src/agent/leftovers.ts'
import { etcdJob, ServiceJob } from '../../src/agent/service-job.ts'
import type { ManagedEngine } from '../../src/cluster/etcd/engine-file.ts'
import { LocalStateMember, memberPaths } from '../../src/cluster/etcd/local-member.ts'
import { clientSocketPath } from '../../src/cluster/etcd/member-service.ts'
import { realClock } from '../../src/io/clock.ts'
import { ProcFs } from '../../src/io/proc.ts'
import { EtcdClient } from '../../src/state/etcd/client.ts'
import { limit } from './etcd-bench.ts'

const root = join(import.meta.dirname, '../..')

/** What one life of an agent has of it. */
export class EtcdLife implements AsyncDisposable {
  readonly launcher: JobLauncher
  readonly job: ServiceJob
  readonly api: EtcdClient
  readonly member: LocalStateMember
  readonly reports: string[] = []

  private constructor(dir: string, port: number, launcher: JobLauncher) {
    this.launcher = launcher
    const proc = new ProcFs()
    const jobDir = join(dir, 'r', 'jobs', etcdJob.id)
    const report = (message: string) => void this.reports.push(message)
    const clock = realClock
    const leftovers = new Leftovers({
      clock,
      proc,
      cgroups: () => [],
      jobDir: () => jobDir,
      report,
    })
    const stateDir = join(dir, 's')
    const paths = memberPaths(stateDir, join(dir, 'r'))
    this.job = new ServiceJob(
      {
        clock,
        launcher,
        cgroups: () => [],
        cleanUp: (job) => leftovers.cleanUp(job),
        untilGone: (pid) => leftovers.untilGone(pid),
        report,
      },
      { ...etcdJob, dir: jobDir, logDir: paths.logDir, ownerUid: process.getuid?.() ?? 0 },
    )
    this.api = new EtcdClient({ clock }, [{ socketPath: clientSocketPath(paths) }])
    this.member = new LocalStateMember(
      { clock, service: this.job, api: this.api, report },
      { stateDir, paths, machineId: 'n1', listenPeer: `127.0.0.1:${port}`, hosts: () => [] },
    )
  }

  static async begin(dir: string, port: number, forceSh: boolean): Promise<EtcdLife> {
    mkdirSync(join(dir, 'r', 'jobs'), { recursive: true })
    const options = { sourceDir: join(root, 'keeper'), binDir: join(root, 'dist/test-keeper') }
    const deps = { clock: realClock, report: () => {} }
    return new EtcdLife(dir, port, await openLauncher(deps, { ...options, forceSh }))
  }

  pid(): number {
    const state = this.job.state()
    return state.kind === 'running' ? state.pid : 0
  }

  async until(look: () => Promise<boolean> | boolean, what: string): Promise<void> {
    const end = realClock.nowMs() + 15_000
    while (!(await look())) {
      if (realClock.nowMs() > end) {
        assert.fail(`${what}: ${JSON.stringify(this.job.state())}; ${this.reports.join('; ')}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }

  async answers(): Promise<boolean> {
    using bound = limit(1_000)
    return (await this.member.status(bound)).hasLeader === true
  }

  /** The agent ends; its etcd does not. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.job[Symbol.dispose]()
    this.api[Symbol.dispose]()
    await this.launcher[Symbol.asyncDispose]()
  }
}

/** The first and only member. */
export function loneEngine(port: number): ManagedEngine {
  const peerUrl = `https://127.0.0.1:${port}`
  return {
    engine: 'etcd',
    era: 1,
    machineId: 'n1',
    clusterToken: 't',
    dataName: 'data-1',
    peerUrl,
    listenPeer: `127.0.0.1:${port}`,
    initialCluster: [{ machineId: 'n1', peerUrl }],
    initialState: 'new',
  }
}
