/** The options of `holon run`, and what they make of the program and of here. */
import { HolonError } from '../../../base/errors.ts'
import { realHost } from '../../../io/host.ts'
import type { RunSpec } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { timeSpan } from '../global-options.ts'

export interface RunCommandOptions {
  readonly tty?: boolean
  readonly detach?: boolean
  readonly interactive?: boolean
  readonly env?: readonly string[]
  readonly cwd?: string
  readonly user?: string
  readonly timeout?: string
  readonly clearEnv?: boolean
  readonly require?: string
  readonly each?: boolean
  readonly explain?: boolean
  readonly dryRun?: boolean
  readonly json?: boolean
}

/** `invalid_argument` for options that contradict each other. */
export function runSpec(
  context: CliContext,
  argv: readonly string[],
  options: RunCommandOptions,
): RunSpec {
  const host = realHost()
  const { stdin, stdout } = context
  const detached = options.detach === true
  const each = options.each === true
  if (each && (options.tty === true || options.interactive === true)) {
    throw new HolonError(
      'invalid_argument',
      'run: --each has no terminal and no stdin to share between machines: leave -t and -i out',
    )
  }
  if (options.json === true && !each) {
    throw new HolonError('invalid_argument', 'run: --json is for the statuses of --each')
  }
  const terminals = stdin.isTTY === true && stdout.isTTY === true
  const wantsTty = !each && (options.tty ?? (!detached && terminals))
  const keepsStdin = !each && (!detached || wantsTty || options.interactive === true)
  return {
    argv,
    env: environment(options, context.env),
    cwd: options.cwd === undefined ? host.cwd() : absolute(options.cwd, host.cwd()),
    stdin: keepsStdin ? 'stream' : 'null',
    detached,
    umask: host.umask(),
    ...(wantsTty ? { tty: { rows: stdout.rows ?? 24, columns: stdout.columns ?? 80 } } : {}),
    ...(options.user === undefined ? {} : { user: options.user }),
    ...(options.timeout === undefined ? {} : { timeoutMs: timeSpan('--timeout', options.timeout) }),
    ...(options.require === undefined ? {} : { require: options.require }),
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
