/**
 * Contact with keepers that are shell scripts: starting one, writing to the fifo it reads commands
 * from, and telling by that fifo whether it lives. A pid could be another process's by now; a fifo
 * has a reader only as long as its keeper runs.
 */
import { spawn } from 'node:child_process'
import { closeSync, constants, openSync, writeSync } from 'node:fs'
import { asHolonError, errnoOf } from '../base/errors.ts'

const { O_WRONLY, O_NONBLOCK } = constants

/** Whether a process reads the fifo. */
export function fifoHasReader(path: string): boolean {
  return withFifo(path, () => {})
}

/** Writes the line, which must be short enough to go in one piece. False when nobody reads it. */
export function writeFifo(path: string, line: string): boolean {
  return withFifo(path, (fd) => {
    writeSync(fd, `${line}\n`)
  })
}

function withFifo(path: string, work: (fd: number) => void): boolean {
  let fd: number
  try {
    fd = openSync(path, O_WRONLY | O_NONBLOCK)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENXIO' || errno === 'ENOENT' || errno === 'ENOTDIR') return false
    throw asHolonError(error, `open ${path}`)
  }
  try {
    work(fd)
    return true
  } catch (error) {
    // The reader left in between.
    if (errnoOf(error) === 'EPIPE') return false
    throw asHolonError(error, `write to ${path}`)
  } finally {
    closeSync(fd)
  }
}

export interface ShKeeper {
  readonly pid: number
  /** Resolves when it ended, with how and what it said on stderr. */
  readonly ended: Promise<string>
}

/** Starts `keeper.sh DIR` in a session of its own, so that it outlives this process. */
export function spawnShKeeper(shell: readonly string[], script: string, dir: string): ShKeeper {
  const [program = '/bin/sh', ...args] = shell
  const child = spawn(program, [...args, script, dir], {
    detached: true,
    // Its stderr only until it runs: a pipe to us would be no place to write once we are gone.
    stdio: ['ignore', 'ignore', 'pipe'],
    env: {},
    cwd: '/',
  })
  let said = ''
  child.stderr?.on('data', (bytes: Buffer) => {
    if (said.length < 4096) said += bytes.toString()
  })
  child.stderr?.on('error', () => {})
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error) => resolve(error.message))
    child.on('exit', (code, signal) => resolve(`${signal ?? `status ${code}`} ${said.trim()}`))
  })
  child.unref()
  return { pid: child.pid ?? 0, ended }
}
