/**
 * Becoming, for a while, another program: it has our terminal and our stdio, and its end is ours.
 * Ctrl-C is for it alone; a signal sent to us is passed on to it.
 */
import { spawn } from 'node:child_process'
import { constants } from 'node:os'
import { asHolonError } from '../base/errors.ts'
import { childrenOf, signalPid } from './namespaces.ts'

export interface InteractiveOptions {
  readonly env: Readonly<Record<string, string>>
}

/** Its exit status, as a shell gives it. */
export function runInteractively(
  argv: readonly string[],
  options: InteractiveOptions,
): Promise<number> {
  const [file = '', ...args] = argv
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'inherit', cwd: '/', env: options.env })
    // The terminal's signals reach it without us.
    const ignore = () => {}
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, ignore)
    // It entered other namespaces by starting a child in there, and it is that child's turn.
    const passOn = (signal: NodeJS.Signals) => {
      if (child.pid === undefined) return
      const inside = childrenOf(child.pid)
      for (const pid of inside.length === 0 ? [child.pid] : inside) signalPid(pid, signal)
    }
    for (const signal of ['SIGTERM', 'SIGHUP'] as const) process.on(signal, passOn)
    child.on('error', (error) => reject(asHolonError(error, `run ${file}`)))
    child.on('close', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]))
    })
  })
}
