/**
 * One machine of a lab, as the kernel has it: booting it, entering it, and ending, freezing and
 * thawing all of it at once. Nothing of a running machine is remembered in files: its first process
 * carries a mark, and everything else follows from that.
 */
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import {
  type CgroupTree,
  canFreeze,
  cgroupTrees,
  isFrozen,
  killTreeGroup,
  makeTreeGroup,
  removeTreeGroup,
  setFrozen,
  thawAllBelow,
  treeGroupPids,
} from '../io/cgroup-trees.ts'
import { runCommand } from '../io/command.ts'
import { joinPath } from '../io/files.ts'
import type { Host } from '../io/host.ts'
import { inhabitants, markedProcesses, signalPid } from '../io/namespaces.ts'
import { type LabRecord, machineName } from './record.ts'
import { enterScript, firstScript, initMark, joinScript, mountScript } from './scripts.ts'

const bootTimeoutMs = 30_000
const settleTimeoutMs = 10_000
const pollMs = 5

export interface Program {
  /** The package or clone that the lab was started from. */
  readonly packageDir: string
  /** Where its Node is. */
  readonly nodeDir: string
}

export interface MachineDeps {
  readonly clock: Clock
  readonly host: Host
  readonly program: Program
}

/** Where each machine's own directories are, and the hosts file of all. */
export const diskOf = (lab: LabRecord, number: number): string =>
  joinPath(lab.disksDir, machineName(number))
export const hostsFile = (lab: LabRecord): string => joinPath(lab.disksDir, 'hosts')

/** The directories that are each machine's own; see docs/lab.md. */
export const diskParts = ['state', 'root', 'tmp'] as const

const markOf = (lab: string, number: number): string => `${lab}/${machineName(number)}`
const labGroup = (lab: string): string => `holon-lab-${lab}`
const groupOf = (lab: string, number: number): string => `${labGroup(lab)}/${machineName(number)}`

/** First processes of a lab's machines: machine's name → pid. */
export function runningMachines(lab: string): ReadonlyMap<string, number> {
  const running = new Map<string, number>()
  for (const { pid, mark, isInit } of markedProcesses(initMark)) {
    const [of, machine] = mark.split('/')
    if (isInit && of === lab && machine !== undefined) running.set(machine, pid)
  }
  return running
}

/** Makes the machine's groups and namespaces and gives its first process. Its network is empty. */
export async function boot(deps: MachineDeps, lab: LabRecord, number: number): Promise<number> {
  const name = machineName(number)
  const trees = cgroupTrees()
  for (const tree of trees) makeTreeGroup(tree, `${groupOf(lab.name, number)}/init`)
  const { packageDir, nodeDir } = deps.program
  // Node mostly lies inside the package: held once.
  const keep = nodeDir.startsWith(`${packageDir}/`) ? [packageDir] : [packageDir, nodeDir]
  const argv = ['sh', '-euc', joinScript, mountScript, firstScript]
  const { stdout, stderr, status } = await runCommand(argv, {
    detached: true,
    timeoutMs: bootTimeoutMs,
    env: {
      PATH: machinePath(deps),
      [initMark]: markOf(lab.name, number),
      LAB_NAME: name,
      LAB_DISK: diskOf(lab, number),
      LAB_HOSTS: hostsFile(lab),
      LAB_KEEP: keep.join('\n'),
      LAB_GROUPS: groupDirs(trees, lab.name, number).join('\n'),
      LAB_TREES: trees.map((t) => `${t.kind} ${t.path} ${t.options || '-'}`).join('\n'),
    },
  })
  const pid = Number(/^pid (\d+)$/m.exec(stdout)?.[1])
  if (!/^ready$/m.test(stdout) || !Number.isInteger(pid)) {
    throw new HolonError('unavailable', `${name} does not boot (${status}): ${stderr.trim()}`)
  }
  return pid
}

function groupDirs(trees: readonly CgroupTree[], lab: string, number: number): readonly string[] {
  return trees.map((tree) => joinPath(tree.path, groupOf(lab, number)))
}

/** The program's own directory first: in a machine `holon` is this very one. */
function machinePath({ host, program }: MachineDeps): string {
  const usual = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
  return [program.packageDir, host.env['PATH'] ?? '', usual].filter(Boolean).join(':')
}

export interface Running {
  readonly number: number
  /** Its first process, our view. */
  readonly initPid: number
}

export interface EnteredCommand {
  readonly argv: readonly string[]
  /** The whole environment, as root's login would have it. */
  readonly env: Readonly<Record<string, string>>
}

/** What to run here so that `command` runs in the machine whose first process is `initPid`. */
export function entering(
  deps: MachineDeps,
  lab: string,
  machine: Running,
  command: readonly string[],
): EnteredCommand {
  const dirs = groupDirs(cgroupTrees(), lab, machine.number)
  const here = deps.host.env
  const env: Record<string, string> = {
    PATH: machinePath(deps),
    HOME: '/root',
    USER: 'root',
    LOGNAME: 'root',
    SHELL: '/bin/sh',
    HOLON_LAB: markOf(lab, machine.number),
  }
  for (const name of ['TERM', 'COLORTERM', 'LANG', 'LC_ALL', 'NO_COLOR', 'TZ', 'HOLON_KEEPER']) {
    const value = here[name]
    if (value !== undefined) env[name] = value
  }
  const counts = [String(machine.initPid), String(dirs.length)]
  return { argv: ['sh', '-c', enterScript, 'sh', ...counts, ...dirs, ...command], env }
}

/** Everything in the machine is gone when this resolves, as after kill -9 of all of it at once. */
export async function killMachine(clock: Clock, lab: string, number: number): Promise<void> {
  await killAll(clock, groupOf(lab, number), (mark) => mark === markOf(lab, number))
}

/** Every machine of the lab, and what was on its way to become one. */
export async function killLab(clock: Clock, lab: string): Promise<void> {
  await killAll(clock, labGroup(lab), (mark) => mark.startsWith(`${lab}/`))
}

async function killAll(
  clock: Clock,
  group: string,
  isOurs: (mark: string) => boolean,
): Promise<void> {
  using limit = deadline(clock, settleTimeoutMs)
  const trees = cgroupTrees()
  for (;;) {
    const marked = markedProcesses(initMark).filter(({ mark }) => isOurs(mark))
    const pids = new Set([
      ...marked.map(({ pid }) => pid),
      ...trees.flatMap((tree) => treeGroupPids(tree, group)),
    ])
    for (const tree of trees) killTreeGroup(tree, group)
    for (const pid of pids) signalPid(pid, 'SIGKILL')
    for (const tree of trees) thawAllBelow(tree, group)
    const removed = trees.map((tree) => removeTreeGroup(tree, group)).every(Boolean)
    if (pids.size === 0 && removed) return
    try {
      await sleep(clock, pollMs, limit.signal)
    } catch {
      throw new HolonError(
        'deadline_exceeded',
        `what is in ${group} does not end: pids ${[...pids].join(', ')}; ` +
          'the kernel holds them, mostly for a disk',
      )
    }
  }
}

/**
 * Nothing in the machine runs a step from now on; its kernel still answers for it on the network.
 */
export async function freeze(deps: MachineDeps, lab: string, machine: Running): Promise<void> {
  await settle(deps.clock, `${machineName(machine.number)} does not freeze`, () => {
    const frozen = freezer(lab, machine)
    if (frozen !== undefined) {
      setFrozen(frozen, groupOf(lab, machine.number), true)
      return isFrozen(frozen, groupOf(lab, machine.number))
    }
    // Once more until nobody is left whom a running one could have started meanwhile.
    const running = inhabitants(machine.initPid).filter(({ state }) => !/[TZX]/.test(state))
    for (const { pid } of running) signalPid(pid, 'SIGSTOP')
    return running.length === 0
  })
}

export async function thaw(deps: MachineDeps, lab: string, machine: Running): Promise<void> {
  await settle(deps.clock, `${machineName(machine.number)} does not thaw`, () => {
    const frozen = freezer(lab, machine)
    if (frozen !== undefined) {
      setFrozen(frozen, groupOf(lab, machine.number), false)
      return !isFrozen(frozen, groupOf(lab, machine.number))
    }
    for (const { pid } of inhabitants(machine.initPid)) signalPid(pid, 'SIGCONT')
    return true
  })
}

/** Whether it was frozen as `freeze` does it. */
export function isMachineFrozen(lab: string, machine: Running): boolean {
  const tree = freezer(lab, machine)
  if (tree !== undefined) return isFrozen(tree, groupOf(lab, machine.number))
  return inhabitants(machine.initPid).find(({ insidePid }) => insidePid === 1)?.state === 'T'
}

/** The hierarchy that freezes here: v2's before v1's. Undefined: signals must do it. */
function freezer(lab: string, machine: Running): CgroupTree | undefined {
  const able = cgroupTrees().filter((tree) => canFreeze(tree, groupOf(lab, machine.number)))
  return able.find((tree) => tree.kind === 'v2') ?? able[0]
}

/** The agent's pid as the machine itself sees it. */
export function agentPid(machine: Running): number | undefined {
  return inhabitants(machine.initPid).find(({ name }) => name === 'holon-agent')?.insidePid
}

async function settle(clock: Clock, failure: string, done: () => boolean): Promise<void> {
  using limit = deadline(clock, settleTimeoutMs)
  while (!done()) {
    try {
      await sleep(clock, pollMs, limit.signal)
    } catch {
      throw new HolonError('deadline_exceeded', `${failure} within ${settleTimeoutMs / 1000} s`)
    }
  }
}
