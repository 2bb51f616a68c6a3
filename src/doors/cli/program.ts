/**
 * Dispatch: global options, the overview, one command, and the exit status of whatever happened.
 */

import type { Command } from 'commander'
import { deadline as makeDeadline } from '../../base/clock.ts'
import { asHolonError, type ErrorCode, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { realClock } from '../../io/clock.ts'
import { realHost } from '../../io/host.ts'
import { type CommandEntry, commandGroups, commandTable } from './commands.ts'
import type { CliContext } from './context.ts'
import { globalOptions } from './global-options.ts'
import { Links } from './links.ts'
import { RawCommand } from './ps/raw-command.ts'
import { warmUp } from './warm-up.ts'

/** Exit statuses of Holon's own failures; a command's page lists those it adds. */
const exitByCode: Readonly<Record<ErrorCode, number>> = {
  invalid_argument: 2,
  not_found: 4,
  already_exists: 1,
  conflict: 1,
  stale: 1,
  permission_denied: 77,
  exhausted: 75,
  unavailable: 69,
  deadline_exceeded: 124,
  cancelled: 130,
  unsupported: 2,
  internal: 70,
}

/** Runs `holon ARGS…` to its end, and ends this process with its exit status. */
export async function runProgram(
  args: readonly string[],
  program: { saveCode(): void },
): Promise<void> {
  const host = realHost()
  let exitStatus = 0
  let timeoutMs: number | undefined
  const links = new Links()
  const context: CliContext = {
    system: () => links.system(),
    machines: () => links.selector,
    selectMachines: (selector) => links.select(selector),
    connectAnew: (signal) => links.connectAnew(signal),
    clock: realClock,
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: host.env,
    deadline: (defaultMs) =>
      makeDeadline(realClock, timeoutMs ?? defaultMs ?? limits.callTimeoutMs),
    setExit: (status) => {
      exitStatus = status
    },
  }
  exitQuietlyWhenReaderLeaves()
  try {
    const { rest, timeout, machine } = globalOptions(args)
    timeoutMs = timeout
    if (machine !== undefined) links.select(machine)
    await dispatch(rest, context)
    if (rest[0] === 'up') {
      await warmUp(dispatch, context)
      program.saveCode()
    }
  } catch (error) {
    exitStatus = report(error)
  }
  // Not by itself once nothing is left: a terminal's stdin that was read cannot be let go of. The
  // link is not closed before, since it ends with us.
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit(exitStatus)
}

/** Resolves when what was written has left this process. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    if (stream.writableLength === 0) resolve()
    else stream.write('', () => resolve())
  })
}

async function dispatch(args: readonly string[], context: CliContext): Promise<void> {
  const [name, ...rest] = args
  if (name === undefined || name === '--help' || name === '-h' || name === 'help') {
    const topic = rest.find((word) => !word.startsWith('-'))
    if (topic !== undefined) return dispatch([topic, '--help'], context)
    context.stdout.write(overview())
    return
  }
  const found = commandTable.find((entry) => entry.name === name)
  if (found === undefined) throw unknownCommand(name)
  const command = (await found.load()).command(context)
  acceptMachine(found, command, context)
  for (const each of [command, ...command.commands]) {
    each.exitOverride()
    each.configureOutput({ writeErr: () => {} })
  }
  await command.parseAsync([...rest], { from: 'user' })
}

/** `-m`, for every command that is about machines. ps and its like read it by themselves. */
function acceptMachine(entry: CommandEntry, command: Command, context: CliContext): void {
  if (!entry.machines) {
    if (context.machines() === undefined) return
    throw new HolonError(
      'invalid_argument',
      `${entry.name} is not about chosen machines: leave --machine out`,
    )
  }
  if (command instanceof RawCommand || command.options.some(({ long }) => long === '--machine')) {
    return
  }
  command.option('-m, --machine <machines>', 'only these: n2, n1,n3, n[01-16], or a zone, eu/*')
  command.on('option:machine', (selector: string) => context.selectMachines(selector))
}

function overview(): string {
  const lines = [
    'Usage: holon [--timeout TIME] [-m MACHINES] COMMAND [ARG…]',
    '',
    'Many machines behave as one computer.',
  ]
  for (const group of commandGroups) {
    lines.push('', `${group}:`)
    for (const entry of commandTable.filter((e) => e.group === group)) {
      lines.push(`  ${entry.name.padEnd(12)} ${entry.summary}`)
    }
  }
  lines.push('', 'MACHINES: n2, n1,n3, n[01-16], or a zone, eu/*.')
  lines.push('', '`holon COMMAND --help` explains one. Start with `holon up`.', '')
  return lines.join('\n')
}

function unknownCommand(name: string): HolonError {
  const near = commandTable
    .map((entry) => entry.name)
    .filter((candidate) => candidate.startsWith(name.slice(0, 2)) || candidate.includes(name))
  const hint = near.length === 0 ? '`holon help` lists them' : `did you mean ${near.join(', ')}?`
  return new HolonError('invalid_argument', `there is no command ${JSON.stringify(name)}; ${hint}`)
}

/** Prints what failed and gives the exit status for it. */
function report(thrown: unknown): number {
  if (isCommanderError(thrown)) {
    if (thrown.exitCode === 0) return 0
    process.stderr.write(`holon: ${thrown.message.replace(/^error: /, '')}\n`)
    return 2
  }
  const error = asHolonError(thrown)
  process.stderr.write(`holon: ${error.message}\n`)
  if (error.outcome === 'unknown') {
    process.stderr.write('holon: it may have happened all the same; look before you repeat it\n')
  }
  if (error.code === 'internal' && error.cause instanceof Error) {
    process.stderr.write(`${error.cause.stack ?? ''}\n`)
  }
  const own = error.details['exitStatus']
  return typeof own === 'number' ? own : exitByCode[error.code]
}

function isCommanderError(error: unknown): error is Error & { code: string; exitCode: number } {
  return (
    error instanceof Error && String((error as { code?: unknown }).code).startsWith('commander.')
  )
}

/**
 * `holon ps | head -1`: the reader's leaving is no failure of ours; end as a local program does.
 */
function exitQuietlyWhenReaderLeaves(): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
    process.exit(141)
  })
}
