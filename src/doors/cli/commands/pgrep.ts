/** `holon pgrep` and `holon pkill`: find processes by name and more, and signal them. */
import type { Command } from 'commander'
import { asHolonError } from '../../../base/errors.ts'
import { realHost } from '../../../io/host.ts'
import { ProcFs } from '../../../io/proc.ts'
import type { ProcessInfo, ProcessListing } from '../../../kernel/types.ts'
import { allProcesses } from '../../sdk/all-pages.ts'
import type { CliContext } from '../context.ts'
import { fanOutLimit, reportMissing } from '../missing.ts'
import { argsText, commText } from '../ps/columns.ts'
import { pgrepMatch } from '../ps/pgrep-match.ts'
import { type PgrepRequest, parsePgrep } from '../ps/pgrep-options.ts'
import { rawCommand } from '../ps/raw-command.ts'
import type { Caller } from '../ps/select.ts'
import { printable } from '../ps/width.ts'

const matching = `Which (all must hold):
  PATTERN          a regular expression for the name
  -f, --full       for the whole command line
  -x, --exact      matching all of it
  -i               without regard to case
  -u, -U USER,…    effective user        -G GROUP,…  effective group
  -P PID,…         parent                -s SID,…    session
  -g PGID,…        process group         -t TTY,…    terminal
  -r STATE,…       state, like D,Z       -O SECONDS  older than this
  -n, -o           only the newest, the oldest
  -m MACHINES      only on these: n2, n1,n3, n[01-16], or a zone, eu/*
      --wait TIME  how long machines have to answer; 2s
`

const status = `
Exit status: 0; 1 nothing matched; 2 usage; 4 a machine did not answer.`

export function pgrep(context: CliContext): Command {
  const options = {
    name: 'pgrep',
    description: 'Prints machine:pid of the processes that match.',
    usage: '[OPTION…] PATTERN',
    help: `${matching}  -v               all others

How:
  -l, -a           with the name, the command line
  -c               how many
  -d TEXT          between them, instead of a newline
  -q               nothing; see the exit status
${status}`,
  }
  return rawCommand(options, async (args) => {
    const request = parsePgrep('pgrep', args)
    const { listing, matches } = await find(context, request)
    if (request.show === 'count') context.stdout.write(`${matches.length}\n`)
    else if (request.show !== 'nothing' && matches.length > 0) {
      const lines = matches.map((row) => line(row, request.show))
      context.stdout.write(`${lines.join(request.delimiter)}\n`)
    }
    if (matches.length === 0) context.setExit(1)
    reportMissing(context, listing.missing, listing.machines.length)
  })
}

export function pkill(context: CliContext): Command {
  const options = {
    name: 'pkill',
    description: 'Sends a signal (TERM unless another is named) to the processes that match.',
    usage: '[-SIGNAL] [OPTION…] PATTERN',
    help: `${matching}
How:
  -9, -KILL, --signal KILL   the signal; 0 only looks
  -e               say what was signalled
  -c               how many matched
${status}`,
  }
  return rawCommand(options, async (args) => {
    const request = parsePgrep('pkill', args)
    const { listing, matches } = await find(context, request)
    const signalled = await signalAll(context, request, matches)
    if (request.show === 'count') context.stdout.write(`${matches.length}\n`)
    if (signalled === 0) context.setExit(1)
    reportMissing(context, listing.missing, listing.machines.length)
  })
}

async function find(
  context: CliContext,
  request: PgrepRequest,
): Promise<{ listing: ProcessListing; matches: readonly ProcessInfo[] }> {
  using limit = fanOutLimit(context, request.fanOutMs)
  const { signal, fanOutMs } = limit
  if (request.machine !== undefined) context.selectMachines(request.machine)
  const query = {
    args: request.full || request.show === 'args',
    fanOutMs,
  }
  const listing = await allProcesses(await context.system(), query, { signal })
  return { listing, matches: pgrepMatch(listing, request, ownCaller()) }
}

/** With its start time each, so that a pid reused since the listing is refused. */
async function signalAll(
  context: CliContext,
  request: PgrepRequest,
  matches: readonly ProcessInfo[],
): Promise<number> {
  using limit = context.deadline()
  const { signal } = limit
  const system = await context.system()
  let signalled = 0
  for (const { machine, pid, startTicks, comm } of matches) {
    try {
      const process = await system.process({ machine, pid, startTicks }, { signal })
      await process.signal(request.signal, { signal })
      signalled += 1
      if (request.echo) context.stdout.write(`${printable(comm)} killed (pid ${machine}:${pid})\n`)
    } catch (thrown) {
      const error = asHolonError(thrown)
      // It ended by itself in between: nothing is left to signal.
      if (error.code === 'not_found' || error.code === 'stale') continue
      context.stderr.write(`holon: pkill ${machine}:${pid}: ${error.message}\n`)
    }
  }
  return signalled
}

function line(row: ProcessInfo, show: PgrepRequest['show']): string {
  const id = `${row.machine}:${row.pid}`
  if (show === 'name') return `${id} ${commText(row)}`
  return show === 'args' ? `${id} ${argsText(row)}` : id
}

function ownCaller(): Caller {
  const { uid, pid } = realHost()
  return { uid, pid, startTicks: new ProcFs().startTicks(pid) ?? -1, tty: '' }
}
