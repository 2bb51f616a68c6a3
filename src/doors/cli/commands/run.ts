/**
 * `holon run CMD…`: a program as if typed here, on a suitable machine, on one of the chosen ones, or
 * on each of them. Options end at the first word that is none, so that the program's own options
 * need no `--`.
 */
import { Command } from 'commander'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import { isDir } from '../../../io/files.ts'
import type { Run, System } from '../../../kernel/kernel.ts'
import type { CallOptions, RunInfo, RunSpec } from '../../../kernel/types.ts'
import { openStdio } from '../../../rpc/stdio.ts'
import type { CliContext } from '../context.ts'
import { exitStatusOf, runExit } from '../exit-status.ts'
import { explain, nowhere, place } from '../run/explain.ts'
import { type RunCommandOptions, runSpec } from '../run/spec.ts'
import { attachTerminal } from '../stdio-session.ts'

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
    .option('--cwd <dir>', 'the directory to run in; the one of here')
    .option('-u, --user <user>', 'as this user (root only)')
    .option('--timeout <time>', 'stop it after this; exit status 124')
    .option('--require <what>', "what the machine must have: 'arch=arm64 mem>=2G disk=ssd'")
    .option('--each', 'on every machine, or every one of -m; output with its name before it')
    .option('--json', 'with --each: statuses as JSON, the last line of stdout')
    .option('--explain', 'say on stderr where it runs, and why there')
    .option('--dry-run', 'say only that')
    .action(async (name: string, args: readonly string[], options: RunCommandOptions) => {
      try {
        await run(context, runSpec(context, [name, ...args], options), options)
      } catch (error) {
        throw withRunStatus(error)
      }
    })
}

/** The program's own statuses go up to 255: ours are where the shell's are. */
function withRunStatus(error: unknown): HolonError {
  const failure = asHolonError(error)
  return new HolonError(failure.code, failure.message, {
    outcome: failure.outcome,
    details: { exitStatus: runExit.holonFailed, ...failure.details },
    cause: failure,
  })
}

async function run(context: CliContext, spec: RunSpec, options: RunCommandOptions): Promise<void> {
  const dryRun = options.dryRun === true
  const explains = options.explain === true
  if (options.each) {
    const json = options.json === true
    // Loaded when asked for: every other run begins sooner.
    const { runEach } = await import('../run/each.ts')
    return await runEach(context, spec, { explain: explains, dryRun, json })
  }
  using limit = context.deadline(startTimeoutMs)
  let system = await context.system()
  if (explains || dryRun) {
    const placed = await explainPlace(context, system, spec, limit)
    if (dryRun) return
    system = placed
  }
  const started = await system.run(spec, limit)
  if (spec.detached) context.stdout.write(`${(await started.info(limit)).id}\n`)
  else await attach(context, started, spec, limit)
}

/** The machine that was explained is the one it runs on, although loads change meanwhile. */
async function explainPlace(
  context: CliContext,
  system: System,
  spec: RunSpec,
  limit: CallOptions,
): Promise<System> {
  const answer = await place(system, spec, limit)
  explain(context, answer)
  if (answer.machine === undefined) throw nowhere(answer)
  return await system.part(answer.machine, limit)
}

async function attach(
  context: CliContext,
  run: Run,
  spec: RunSpec,
  limit: CallOptions,
): Promise<void> {
  const address = await run.address(limit)
  const elsewhere = address.route !== undefined
  // For messages only: nobody waits for it, and once the machine is lost it is too late to ask.
  let info: RunInfo | undefined
  if (elsewhere) {
    run.info(limit).then(
      (answer) => {
        info = answer
      },
      () => {},
    )
  }
  const startedAtMs = context.clock.nowMs()
  const open = () => openStdio(address, { stdin: spec.stdin === 'stream' }, limit)
  const exit = await attachTerminal(context, open, { tty: spec.tty !== undefined }).catch(
    (error: unknown) => {
      throw lost(error, elsewhere, info?.machine ?? context.machines())
    },
  )
  if (exit === 'detached') return
  if (exit.execErrno !== undefined) {
    sayNotExecuted(context, spec, exit.execErrno, elsewhere ? (info?.machine ?? '') : undefined)
  }
  const timedOut =
    spec.timeoutMs !== undefined &&
    exit.signal !== undefined &&
    context.clock.nowMs() - startedAtMs >= spec.timeoutMs
  context.setExit(timedOut ? runExit.timedOut : exitStatusOf(exit))
}

/** `there`: the other machine, "" when its name is not known; undefined for this one. */
function sayNotExecuted(
  context: CliContext,
  spec: RunSpec,
  errno: string,
  there: string | undefined,
): void {
  const { argv, cwd } = spec
  const where = there === undefined ? '' : ` on ${there === '' ? 'its machine' : there}`
  const say = (text: string) => context.stderr.write(`holon: run: ${text}\n`)
  say(`cannot execute ${JSON.stringify(argv[0])}${where}: ${errno}`)
  // The same errno as for a program that is not there; here it can be told apart.
  if (there !== undefined) {
    say(`it was to run in ${JSON.stringify(cwd)}; if that is not there, name another with --cwd`)
  } else if (!isDir(cwd)) say(`there is no directory ${JSON.stringify(cwd)} to run in; see --cwd`)
}

/** Of an attached run whose end nobody can tell: a status of its own, for scripts. */
function lost(thrown: unknown, elsewhere: boolean, machine: string | undefined): HolonError {
  const error = asHolonError(thrown)
  if (error.code !== 'unavailable' || error.outcome !== 'unknown') return error
  const what = elsewhere
    ? `the link to ${machine ?? 'its machine'} was lost while it ran`
    : 'its keeper was lost'
  return new HolonError(
    'unavailable',
    `run: ${what}, and how it ended is not known (${error.message})`,
    {
      outcome: 'unknown',
      retryable: false,
      details: { ...error.details, exitStatus: runExit.lost },
      cause: error,
    },
  )
}

function collect(value: string, earlier: readonly string[] = []): readonly string[] {
  return [...earlier, value]
}
