/**
 * Control groups of jobs: which hierarchies this host has, a group per job in each, and reading,
 * killing and removing them. On cgroup v2 one group does it all; on a v1 hybrid host the unified
 * tree kills and v1's memory tree counts. An ordinary user mostly has none, and jobs then rest on
 * the keeper's being a subreaper.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { tryRead, tryWrite } from './try-file.ts'

export interface CgroupRoots {
  /** Where this agent's groups are in the v2 tree; undefined when there is none to write to. */
  readonly unified?: string
  /**
   * The same in v1's memory tree; undefined on pure v2 hosts, where `unified` has the controller.
   */
  readonly memory?: string
}

interface Mount {
  readonly path: string
  readonly type: string
  readonly options: string
}

function cgroupMounts(): readonly Mount[] {
  return readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' '))
    .filter((fields) => fields[2]?.startsWith('cgroup'))
    .map((f) => ({ path: f[1] ?? '', type: f[2] ?? '', options: f[3] ?? '' }))
}

/** Makes this agent's top groups, named `name`; leaves out what cannot be written. */
export function openCgroups(name: string): CgroupRoots {
  const mounts = cgroupMounts()
  const unified = mounts.find((mount) => mount.type === 'cgroup2')?.path
  const memory = mounts.find(
    (mount) => mount.type === 'cgroup' && mount.options.split(',').includes('memory'),
  )?.path
  const roots = {
    unified: makeGroup(unified, name),
    memory: makeGroup(memory, name),
  }
  if (roots.unified !== undefined && roots.memory === undefined && unified !== undefined) {
    // Children have the memory controller only where the parents pass it on.
    tryWrite(join(unified, 'cgroup.subtree_control'), '+memory')
    tryWrite(join(roots.unified, 'cgroup.subtree_control'), '+memory')
  }
  return {
    ...(roots.unified === undefined ? {} : { unified: roots.unified }),
    ...(roots.memory === undefined ? {} : { memory: roots.memory }),
  }
}

const closeTimeoutMs = 1_000
const pollMs = 5

/**
 * Removes the top groups in which no job is. A keeper that ends is in v1's to its last moment,
 * which is waited for. One that begins meanwhile makes them again.
 */
export async function closeCgroups(clock: Clock, roots: CgroupRoots): Promise<void> {
  using limit = deadline(clock, closeTimeoutMs)
  const groups = Object.values(roots)
  while (!limit.signal.aborted) {
    if (removeCgroups(groups.filter((group) => !hasGroups(group)))) return
    await sleep(clock, pollMs, limit.signal).catch(() => undefined)
  }
}

function hasGroups(group: string): boolean {
  try {
    return readdirSync(group, { withFileTypes: true }).some((entry) => entry.isDirectory())
  } catch {
    return false
  }
}

function makeGroup(base: string | undefined, name: string): string | undefined {
  if (base === undefined) return undefined
  const path = join(base, name)
  try {
    mkdirSync(path, { recursive: true })
    // A read-only mount lets mkdir of an existing directory pass; this does not.
    const probe = join(path, '.probe')
    mkdirSync(probe)
    rmdirSync(probe)
    return path
  } catch {
    // Not ours to write: the caller goes on without, and says so in its status.
    return undefined
  }
}

/** The groups of one job, for the keeper to make and join: the killing one first. */
export function jobCgroups(roots: CgroupRoots, job: string): readonly string[] {
  const name = groupName(job)
  return [roots.unified, roots.memory]
    .filter((r) => r !== undefined)
    .map((root) => join(root, name))
}

/** "web.service/2" as one path component; reversible and without surprises in a shell. */
function groupName(job: string): string {
  return job.replace(/[^A-Za-z0-9_.@:-]/g, (c) => `+${c.charCodeAt(0).toString(16)}`)
}

/** Pids in the job's groups, each once. */
export function cgroupPids(groups: readonly string[]): readonly number[] {
  const pids = new Set<number>()
  for (const group of groups) {
    for (const line of tryRead(join(group, 'cgroup.procs'))?.split('\n') ?? []) {
      if (line !== '') pids.add(Number(line))
    }
  }
  return [...pids]
}

/** Bytes charged to the job's processes, where a memory controller counts. */
export function cgroupMemoryBytes(groups: readonly string[]): number | undefined {
  for (const group of groups) {
    const text =
      tryRead(join(group, 'memory.current')) ?? tryRead(join(group, 'memory.usage_in_bytes'))
    if (text !== undefined) return Number(text)
  }
  return undefined
}

/** CPU time of the job's processes so far, in ms. */
export function cgroupCpuMs(groups: readonly string[]): number | undefined {
  for (const group of groups) {
    const used = /^usage_usec (\d+)$/m.exec(tryRead(join(group, 'cpu.stat')) ?? '')?.[1]
    if (used !== undefined) return Number(used) / 1000
  }
  return undefined
}

/** SIGKILL to everything in the groups. What is killed needs a moment to be gone. */
export function killCgroups(groups: readonly string[]): void {
  for (const group of groups) {
    if (tryWrite(join(group, 'cgroup.kill'), '1')) continue
    for (const pid of cgroupPids([group])) {
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // Gone in between, which is what we want.
      }
    }
  }
}

/** Removes empty groups; false when one still holds processes. */
export function removeCgroups(groups: readonly string[]): boolean {
  let removed = true
  for (const group of groups) {
    try {
      rmdirSync(group)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') removed = false
    }
  }
  return removed
}
