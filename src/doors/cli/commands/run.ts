/**
 * `holon run CMD…`: a program as if typed here. Options end at the first word that is none, so that
 * the program's own options need no `--`.
 */
import { Command } from 'commander'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import { realHost } from '../../../io/host.ts'
import type { Run } from '../../../kernel/kernel.ts'
import type { RunSpec } from '../../../kernel/types.ts'
import { openStdio } from '../../../rpc/stdio.ts'
import { parseTimeSpanMs } from '../../../unit/time-span.ts'
import type { CliContext } from '../context.ts'
import { exitStatusOf, runExit } from '../exit-status.ts'
import { attachTerminal } from '../stdio-session.ts'

interface RunCommandOptions {
  readonly tty?: boolean
  readonly detach?: boolean
  readonly interactive?: boolean
  readonly env?: readonly string[]
  readonly cwd?: string
  readonly user?: string
  readonly timeout?: string
  readonly clearEnv?: boolean
}

const startTimeoutMs = 30_000

export function command(context: CliContext): Command {
  return new Command('run')
    .description('Runs a program as if typed here: stdio, terminal, signals and exit status.')
    .argument('<command>')
    .argument('[args...]')
    .passThroughOptions()
    .option('-t, --tty', 'with a terminal (the default when this is one)')
    .option('-T, --no-tty', 'without a terminal')
    .option('-d, --detach', 'in the background: print its id; see attach, logs, wait')
    .option('-i, --interactive', 'with -d: keep stdin for `holon attach`')
    .option('-e, --env <NAME=VALUE>', 'set a variable; NAME alone takes it from here', collect)
    .option('--clear-env', 'without the environment of here')
    .option('--cwd <dir>', 'the directory to run in')
    .option('-u, --user <user>', 'as this user (root only)')
    .option('--timeout <time>', 'stop it after this; exit status 124')
    .action(async (name: string, args: readonly string[], options: RunCommandOptions) => {
      const spec = runSpec(context, [name, ...args], options)
      try {
        await (spec.detached ? detach(context, spec) : attach(context, spec))
      } catch (error) {
        // The program's own statuses go up to 255: ours are where the shell's are.
        const failure = asHolonError(error)
        throw new HolonError(failure.code, failure.message, {
          outcome: failure.outcome,
          details: { ...failure.details, exitStatus: runExit.holonFailed },
          cause: failure,
        })
      }
    })
}

async function detach(context: CliContext, spec: RunSpec): Promise<void> {
  using limit = context.deadline(startTimeoutMs)
  const run = await (await context.system()).run(spec, limit)
  context.stdout.write(`${(await run.info(limit)).id}\n`)
}

async function attach(context: CliContext, spec: RunSpec): Promise<void> {
  using limit = context.deadline(startTimeoutMs)
  const run: Run = await (await context.system()).run(spec, limit)
  const address = await run.address(limit)
  const startedAtMs = context.clock.nowMs()
  const open = () => openStdio(address, { stdin: spec.stdin === 'stream' }, limit)
  const exit = await attachTerminal(context, open, { tty: spec.tty !== undefined })
  if (exit === 'detached') return
  if (exit.execErrno !== undefined) {
    const [name] = spec.argv
    context.stderr.write(`holon: run: cannot execute ${JSON.stringify(name)}: ${exit.execErrno}\n`)
  }
  const timedOut =
    spec.timeoutMs !== undefined &&
    exit.signal !== undefined &&
    context.clock.nowMs() - startedAtMs >= spec.timeoutMs
  context.setExit(timedOut ? runExit.timedOut : exitStatusOf(exit))
}

function runSpec(
  context: CliContext,
  argv: readonly string[],
  options: RunCommandOptions,
): RunSpec {
  const host = realHost()
  const { stdin, stdout } = context
  const detached = options.detach === true
  const wantsTty = options.tty ?? (!detached && stdin.isTTY === true && stdout.isTTY === true)
  const keepsStdin = !detached || wantsTty || options.interactive === true
  return {
    argv,
    env: environment(options, context.env),
    cwd: options.cwd === undefined ? host.cwd() : absolute(options.cwd, host.cwd()),
    stdin: keepsStdin ? 'stream' : 'null',
    detached,
    umask: host.umask(),
    ...(wantsTty ? { tty: { rows: stdout.rows ?? 24, columns: stdout.columns ?? 80 } } : {}),
    ...(options.user === undefined ? {} : { user: options.user }),
    ...(options.timeout === undefined ? {} : { timeoutMs: timeSpan(options.timeout) }),
  }
}

function environment(
  options: RunCommandOptions,
  here: CliContext['env'],
): Readonly<Record<string, string>> {
  const env: Record<string, string> = {}
  if (!options.clearEnv) {
    for (const [name, value] of Object.entries(here)) if (value !== undefined) env[name] = value
  }
  for (const assignment of options.env ?? []) {
    const equals = assignment.indexOf('=')
    const name = equals < 0 ? assignment : assignment.slice(0, equals)
    const value = equals < 0 ? here[name] : assignment.slice(equals + 1)
    if (name === '') throw new HolonError('invalid_argument', `--env ${assignment}: no name`)
    if (value !== undefined) env[name] = value
  }
  return env
}

function absolute(path: string, cwd: string): string {
  return path.startsWith('/') ? path : `${cwd.replace(/\/$/, '')}/${path}`
}

function timeSpan(text: string): number {
  const ms = parseTimeSpanMs(text)
  if (ms !== undefined && Number.isFinite(ms) && ms > 0) return ms
  throw new HolonError(
    'invalid_argument',
    `--timeout ${JSON.stringify(text)}: a time span is expected, like 5s or 2min`,
  )
}

function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value]
}
