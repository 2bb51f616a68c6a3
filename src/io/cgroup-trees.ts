/**
 * Control groups as a whole machine needs them: one group in every hierarchy of the host, to be
 * seen from inside as the root (see cgroups.ts for the groups of jobs). Freezing and killing use
 * the v2 tree where there is one, v1's freezer where there is not.
 */
import { mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs'
import { join } from 'node:path'
import { asHolonError } from '../base/errors.ts'
import { tryRead, tryWrite } from './try-file.ts'

export interface CgroupTree {
  readonly kind: 'v1' | 'v2'
  /** Where the host has it mounted. */
  readonly path: string
  /** What mounts the same hierarchy again: v1's controllers or its name; empty for v2. */
  readonly options: string
}

const flags = /^(rw|ro|nosuid|nodev|noexec|(rel|no|strict)atime|xattr|clone_children|release_.*)$/

/**
 * Hierarchies mounted below /sys/fs/cgroup that take new groups, in the order of their mounting.
 */
export function cgroupTrees(): readonly CgroupTree[] {
  const trees = new Map<string, CgroupTree>()
  for (const line of readFileSync('/proc/self/mounts', 'utf8').split('\n')) {
    const [, path = '', type = '', all = ''] = line.split(' ')
    if (!/^\/sys\/fs\/cgroup(\/|$)/.test(path)) continue
    if (type === 'cgroup2') trees.set(path, { kind: 'v2', path, options: '' })
    if (type !== 'cgroup') continue
    const options = all.split(',').filter((option) => !flags.test(option))
    const named = options.some((option) => option.startsWith('name='))
    trees.set(path, { kind: 'v1', path, options: [...(named ? ['none'] : []), ...options].join() })
  }
  return [...trees.values()]
}

/** Makes `path` below the tree's root, ready to take processes. Idempotent. */
export function makeTreeGroup(tree: CgroupTree, path: string): void {
  let group = tree.path
  for (const name of path.split('/')) {
    // Children have a controller only where the parents pass it on; a root that has processes and
    // is none of the kernel's refuses, and then jobs have no accounting: still a machine.
    if (tree.kind === 'v2') {
      for (const controller of ['+memory', '+pids']) {
        tryWrite(join(group, 'cgroup.subtree_control'), controller)
      }
    }
    const parent = group
    group = join(group, name)
    try {
      mkdirSync(group, { recursive: true })
    } catch (error) {
      throw asHolonError(error, `make the control group ${group}`)
    }
    // v1's cpuset begins empty, and nothing may enter it before it names CPUs and memory.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      if (tree.kind === 'v1' && tryRead(join(group, file))?.trim() === '') {
        tryWrite(join(group, file), tryRead(join(parent, file)) ?? '')
      }
    }
  }
}

/** Removes the group and all below it; false while something lives in one of them. */
export function removeTreeGroup(tree: CgroupTree, path: string): boolean {
  return removeBelow(join(tree.path, path))
}

function removeBelow(group: string): boolean {
  let names: readonly string[]
  try {
    names = readdirSync(group, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name)
  } catch {
    return true
  }
  for (const name of names) removeBelow(join(group, name))
  try {
    rmdirSync(group)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

/** Pids in the group and all below it. */
export function treeGroupPids(tree: CgroupTree, path: string): readonly number[] {
  const below = (group: string): number[] => {
    const own = tryRead(join(group, 'cgroup.procs'))
    if (own === undefined) return []
    const children = readdirSync(group, { withFileTypes: true }).filter((e) => e.isDirectory())
    return [
      // 0 is a process that our pid namespace does not show, and to kill(2) it is ourselves.
      ...own
        .split('\n')
        .map(Number)
        .filter((pid) => pid > 0),
      ...children.flatMap((entry) => below(join(group, entry.name))),
    ]
  }
  return below(join(tree.path, path))
}

/** SIGKILL to everything below at once, where the kernel can; false where it cannot. */
export function killTreeGroup(tree: CgroupTree, path: string): boolean {
  return tree.kind === 'v2' && tryWrite(join(tree.path, path, 'cgroup.kill'), '1')
}

/** Thaws the group and all below it where v1 froze them: there even SIGKILL waits for that. */
export function thawAllBelow(tree: CgroupTree, path: string): void {
  const group = join(tree.path, path)
  if (tree.kind === 'v2' || tryRead(join(group, 'cgroup.procs')) === undefined) return
  if (setFrozen(tree, path, false)) {
    for (const entry of readdirSync(group, { withFileTypes: true })) {
      if (entry.isDirectory()) thawAllBelow(tree, join(path, entry.name))
    }
  }
}

/** Whether this hierarchy can freeze the group. */
export function canFreeze(tree: CgroupTree, path: string): boolean {
  return freezeFile(tree, path) !== undefined
}

/** Asks for it; `isFrozen` tells when it is so. False where this hierarchy cannot. */
export function setFrozen(tree: CgroupTree, path: string, frozen: boolean): boolean {
  const file = freezeFile(tree, path)
  if (file === undefined) return false
  const [yes, no] = tree.kind === 'v2' ? ['1', '0'] : ['FROZEN', 'THAWED']
  return tryWrite(file, frozen ? yes : no)
}

/** Everything in the group stands still. */
export function isFrozen(tree: CgroupTree, path: string): boolean {
  const group = join(tree.path, path)
  if (tree.kind === 'v2') {
    return /^frozen 1$/m.test(tryRead(join(group, 'cgroup.events')) ?? '')
  }
  return tryRead(join(group, 'freezer.state'))?.trim() === 'FROZEN'
}

function freezeFile(tree: CgroupTree, path: string): string | undefined {
  const file = join(tree.path, path, tree.kind === 'v2' ? 'cgroup.freeze' : 'freezer.state')
  return tryRead(file) === undefined ? undefined : file
}
