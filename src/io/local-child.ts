/**
 * A program as a child of this very process, with pipes for its stdio and a process group of its
 * own: for byte stream jobs where there is no compiled keeper.
 */
import { spawn } from 'node:child_process'
import { mkdirSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { errnoOf } from '../base/errors.ts'
import { killCgroups } from './cgroups.ts'

export interface LocalChildOptions {
  readonly path: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly uid?: number
  readonly gid?: number
  readonly umask: number
  readonly stdin: boolean
  readonly cgroups: readonly string[]
}

export type LocalChildEnd =
  | { readonly kind: 'exit'; readonly code: number | null; readonly signal: string | null }
  | { readonly kind: 'failed'; readonly errno: string; readonly message: string }

export interface LocalChild {
  readonly pid: number
  /** Null without one. */
  readonly stdin: Writable | null
  readonly stdout: Readable
  readonly stderr: Readable
  /** The program itself ended; others may still hold its pipes. */
  readonly exited: Promise<LocalChildEnd>
  /** To its process group; nothing when there is none any more. */
  signalGroup(signal: number): void
  signalMain(signal: number): void
  /** Ends what is left, and frees its control groups. */
  cleanUp(): void
}

export function spawnLocalChild(options: LocalChildOptions): LocalChild {
  const failed = (errno: string, message: string): LocalChildEnd => ({
    kind: 'failed',
    errno,
    message,
  })
  const [argv0, ...args] = options.argv
  const before = process.umask(options.umask)
  const child = spawn(options.path, args, {
    ...(argv0 === undefined ? {} : { argv0 }),
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: [options.stdin ? 'pipe' : 'ignore', 'pipe', 'pipe'],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  })
  process.umask(before)
  const pid = child.pid ?? 0
  if (pid !== 0) enterCgroups(options.cgroups, pid)
  const exited = new Promise<LocalChildEnd>((resolve) => {
    child.on('error', (error) => resolve(failed(errnoOf(error) ?? 'EIO', error.message)))
    child.on('exit', (code, signal) => resolve({ kind: 'exit', code, signal }))
  })
  for (const stream of [child.stdin, child.stdout, child.stderr]) stream?.on('error', () => {})
  return {
    pid,
    stdin: child.stdin,
    stdout: child.stdout as Readable,
    stderr: child.stderr as Readable,
    exited,
    signalGroup: (signal) => send(-pid, signal),
    signalMain: (signal) => send(pid, signal),
    cleanUp() {
      send(-pid, 9)
      killCgroups(options.cgroups)
      for (const group of options.cgroups) removeGroup(group)
    },
  }
}

export function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
}

// After the start: what it forks in its first microseconds may escape, and is found by its group.
function enterCgroups(groups: readonly string[], pid: number): void {
  for (const group of groups) {
    try {
      mkdirSync(group, { recursive: true })
      writeFileSync(join(group, 'cgroup.procs'), String(pid))
    } catch {
      // It ended already, or the group cannot be had: the process group remains.
    }
  }
}

function removeGroup(group: string): void {
  try {
    rmdirSync(group)
  } catch {
    // Its processes are being killed; whoever starts the next job there finds it empty.
  }
}

function send(target: number, signal: number): void {
  if (target === 0) return
  try {
    process.kill(target, signal)
  } catch (error) {
    if (errnoOf(error) !== 'ESRCH' && errnoOf(error) !== 'EPERM') throw error
  }
}
