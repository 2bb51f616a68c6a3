/**
 * Signals to processes by identity. Node has no pidfd, so a reused pid is told by its start time,
 * read right before the signal with nothing asynchronous in between; what is left is the time of
 * two system calls, in which the kernel would have to go round all pids.
 */
import { kill } from 'node:process'
import { errnoOf, HolonError } from '../base/errors.ts'
import { signalNumber as findSignal } from '../base/signals.ts'
import type { ProcFs } from './proc.ts'

export interface SignalTarget {
  readonly pid: number
  /** With it a reused pid is refused. */
  readonly startTicks?: number
}

export interface SignalOptions {
  /** Whose right counts: only root and the process's own user may. Default: this process's own. */
  readonly callerUid?: number
}

/** Any spelling of a signal as its number, 0 included; `invalid_argument` for what is none. */
export function signalNumber(signal: string | number): number {
  const number = String(signal) === '0' ? 0 : findSignal(signal)
  if (number !== undefined) return number
  throw new HolonError(
    'invalid_argument',
    `there is no signal ${JSON.stringify(String(signal))}; \`holon kill -l\` lists them`,
  )
}

/**
 * Sends `signal` (name, or number; 0 only probes). `not_found` when there is no such
 * process, `stale` when the pid is another process's now, `permission_denied`.
 */
export function sendSignal(
  proc: ProcFs,
  target: SignalTarget,
  signal: string | number,
  options: SignalOptions = {},
): void {
  const { pid } = target
  const number = signalNumber(signal)
  // 0 and negative numbers name process groups to kill(2): never meant here.
  if (!Number.isInteger(pid) || pid <= 0) {
    throw new HolonError('invalid_argument', `${pid} is no process id; it must be 1 or more`)
  }
  if (options.callerUid !== undefined) checkRight(proc, pid, options.callerUid)
  if (target.startTicks !== undefined) checkIdentity(proc, pid, target.startTicks)
  try {
    kill(pid, number)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ESRCH') throw noProcess(pid)
    if (errno === 'EPERM') {
      throw new HolonError('permission_denied', `process ${pid} belongs to another user`)
    }
    throw error
  }
}

function checkIdentity(proc: ProcFs, pid: number, startTicks: number): void {
  const now = proc.startTicks(pid)
  if (now === undefined) throw noProcess(pid)
  if (now !== startTicks) {
    throw new HolonError('stale', `process ${pid} has ended; its id belongs to another one now`)
  }
}

// kill(2): the sender's user is the target's real or saved one.
function checkRight(proc: ProcFs, pid: number, callerUid: number): void {
  if (callerUid === 0) return
  const uids = proc.uids(pid)
  if (uids === undefined) throw noProcess(pid)
  if (uids.real !== callerUid && uids.saved !== callerUid) {
    throw new HolonError('permission_denied', `process ${pid} belongs to another user`)
  }
}

function noProcess(pid: number): HolonError {
  return new HolonError('not_found', `there is no process ${pid}`)
}
