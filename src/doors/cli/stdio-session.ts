/**
 * The local end of a program that runs elsewhere: our stdin, stdout, stderr, terminal and signals
 * are its own, until it ends. The terminal is put back as it was on every way out.
 */

import { signalNumbers } from '../../io/host.ts'
import type { ExitStatus } from '../../kernel/types.ts'
import type { Stdio } from '../../rpc/stdio.ts'
import type { CliContext } from './context.ts'

export interface SessionOptions {
  /** The program has a terminal of its own: ours becomes a plain line to it. */
  readonly tty: boolean
  /** Ctrl-] leaves the program to itself. */
  readonly detachable?: boolean
}

/** Signals that a program started from a shell would get itself. */
const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const

const detachByte = 0x1d

/**
 * Attaches by `open` and resolves with how the program ended, after all of its output is written
 * here; with 'detached' when it was left to itself.
 */
export async function attachTerminal(
  context: CliContext,
  open: () => Promise<Stdio>,
  options: SessionOptions,
): Promise<ExitStatus | 'detached'> {
  using ends = new DisposableStack()
  const { stdin, stdout, stderr } = context
  const raw = options.tty && stdin.isTTY === true
  // Before the program can start: a key typed at once must not be taken by our own terminal.
  if (raw) {
    stdin.setRawMode(true)
    ends.defer(() => stdin.setRawMode(false))
  }
  const stdio = await open()
  if (raw) {
    const resize = () => stdio.resize(stdout.rows ?? 24, stdout.columns ?? 80)
    stdout.on('resize', resize)
    ends.defer(() => stdout.off('resize', resize))
    // Our size may have changed between the asking and now.
    resize()
  }
  forwardSignals(stdio)
  followStops(context, stdio, raw)

  const detached = Promise.withResolvers<'detached'>()
  pumpInput(stdin, stdio, options.detachable === true, () => detached.resolve('detached'))
  ends.defer(() => {
    stdin.pause()
    stdin.unref?.()
  })

  const outputs = Promise.all([stdio.pumpTo('stdout', stdout), stdio.pumpTo('stderr', stderr)])
  const ended = Promise.all([stdio.exit, outputs]).then(([exit]) => exit)
  const result = await Promise.race([ended, detached.promise])
  stdio[Symbol.dispose]()
  return result
}

function pumpInput(
  stdin: NodeJS.ReadStream,
  stdio: Stdio,
  detachable: boolean,
  detach: () => void,
): void {
  stdin.on('data', (chunk: Buffer) => {
    const at = detachable ? chunk.indexOf(detachByte) : -1
    if (at >= 0) return detach()
    if (!stdio.stdin.write(chunk)) stdin.pause()
  })
  stdio.stdin.on('drain', () => stdin.resume())
  stdin.on('end', () => stdio.stdin.end())
  // The program closed its stdin or ended: what we still have for it has nowhere to go.
  stdio.stdin.on('error', () => stdin.pause())
  stdin.on('error', () => stdio.stdin.end())
}

/** For good: the process ends with the session, and taking eight handlers back costs 1.5 ms. */
function forwardSignals(stdio: Stdio): void {
  for (const name of forwarded) process.on(name, () => stdio.signal(signalNumbers[name] ?? 0))
}

/**
 * Ctrl-Z. With a terminal the program's own sends it the signal; without one we get it and pass it
 * on. When the program has stopped we stop too, so that the shell takes over, and `fg` wakes both.
 */
function followStops(context: CliContext, stdio: Stdio, raw: boolean): void {
  const number = (name: string) => signalNumbers[name] ?? 0
  const onStop = () => stdio.signal(number('SIGTSTP'))
  const listen = () => {
    if (!raw) process.on('SIGTSTP', onStop)
  }
  const goOn = () => {
    listen()
    if (raw) {
      context.stdin.setRawMode(true)
      stdio.resize(context.stdout.rows ?? 24, context.stdout.columns ?? 80)
    }
    stdio.signal(number('SIGCONT'))
  }
  listen()
  process.on('SIGCONT', goOn)
  stdio.onStopped(() => {
    if (raw) context.stdin.setRawMode(false)
    process.off('SIGTSTP', onStop)
    // The whole group, as the terminal would do it: the rest of a pipeline stops too.
    process.kill(0, 'SIGTSTP')
  })
}
