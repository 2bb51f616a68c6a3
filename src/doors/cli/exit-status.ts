/** How a program ended, as an exit status of ours: the shell's and timeout(1)'s conventions. */
import { signalNumbers } from '../../io/host.ts'
import type { ExitStatus } from '../../kernel/types.ts'

/** Statuses of `holon run` for what happens before or around the program. */
export const runExit = {
  holonFailed: 125,
  cannotExecute: 126,
  notFound: 127,
  timedOut: 124,
  /** The machine, or what kept the program there, was lost: how it ended is not known. */
  lost: 123,
} as const

/** 0 to 255; 128+N for signal N. */
export function exitStatusOf(exit: ExitStatus): number {
  if (exit.execErrno !== undefined) {
    return exit.execErrno === 'ENOENT' ? runExit.notFound : runExit.cannotExecute
  }
  if (exit.signal !== undefined) return 128 + (signalNumbers[exit.signal] ?? 0)
  return exit.code ?? 0
}
