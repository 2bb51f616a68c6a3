/**
 * A program as a child of this very process, with pipes for its stdio and a process group of its
 * own: for byte stream jobs where there is no compiled keeper.
 *
 * Node's own pipes are sockets: a program could not open /dev/stderr, and would get ECONNRESET in
 * place of SIGPIPE. So these are fifos, whose names are gone before the program starts.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable, Writable } from 'node:stream'
import { errnoOf } from '../base/errors.ts'
import { killCgroups } from './cgroups.ts'
import { setNice } from './priority.ts'

export interface LocalChildOptions {
  readonly path: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly uid?: number
  readonly gid?: number
  readonly umask: number
  /** Of this process where it says nothing. */
  readonly nice?: number
  readonly stdin: boolean
  readonly cgroups: readonly string[]
  /** Where fifos can be made for a moment. */
  readonly dir: string
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
  const pipes = openPipes(options.dir)
  const before = process.umask(options.umask)
  const child = spawn(options.path, args, {
    ...(argv0 === undefined ? {} : { argv0 }),
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: [
      options.stdin ? pipes.stdin.theirs : 'ignore',
      pipes.stdout.theirs,
      pipes.stderr.theirs,
    ],
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  })
  process.umask(before)
  for (const { theirs } of Object.values(pipes)) closeSync(theirs)
  const stdin = options.stdin
    ? new Socket({ fd: pipes.stdin.ours, readable: false, writable: true })
    : null
  if (stdin === null) closeSync(pipes.stdin.ours)
  const stdout = new Socket({ fd: pipes.stdout.ours, readable: true, writable: false })
  const stderr = new Socket({ fd: pipes.stderr.ours, readable: true, writable: false })
  const pid = child.pid ?? 0
  if (pid !== 0 && options.nice !== undefined) setNice(pid, options.nice)
  if (pid !== 0) enterCgroups(options.cgroups, pid)
  const exited = new Promise<LocalChildEnd>((resolve) => {
    child.on('error', (error) => resolve(failed(errnoOf(error) ?? 'EIO', error.message)))
    child.on('exit', (code, signal) => resolve({ kind: 'exit', code, signal }))
  })
  for (const stream of [stdin, stdout, stderr]) stream?.on('error', () => {})
  return {
    pid,
    stdin,
    stdout,
    stderr,
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

interface Pipe {
  readonly ours: number
  readonly theirs: number
}

function openPipes(dir: string): Readonly<Record<'stdin' | 'stdout' | 'stderr', Pipe>> {
  const names = ['.stdin', '.stdout', '.stderr'].map((name) => join(dir, name))
  execFileSync('mkfifo', ['-m', '600', ...names], { stdio: ['ignore', 'ignore', 'pipe'] })
  const [input = '', output = '', errors = ''] = names
  try {
    const { O_RDONLY, O_WRONLY } = constants
    return {
      stdin: openPipe(input, O_WRONLY, O_RDONLY),
      stdout: openPipe(output, O_RDONLY, O_WRONLY),
      stderr: openPipe(errors, O_RDONLY, O_WRONLY),
    }
  } finally {
    for (const name of names) rmSync(name, { force: true })
  }
}

// Only our end may be non-blocking: a program does not expect it of its own. With the fifo held
// open both ways no open has to wait for the other end.
function openPipe(path: string, ourMode: number, theirMode: number): Pipe {
  const both = openSync(path, constants.O_RDWR)
  try {
    return {
      ours: openSync(path, ourMode | constants.O_NONBLOCK),
      theirs: openSync(path, theirMode),
    }
  } finally {
    closeSync(both)
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
