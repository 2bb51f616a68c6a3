/** Every command of the CLI: its group and summary for the overview, and where its code is. */
import type { Command } from 'commander'
import type { CliContext } from './context.ts'

interface CommandModule {
  command(context: CliContext): Command
}

export const commandGroups = ['System', 'Machines', 'Processes', 'Runs', 'Units'] as const

export interface CommandEntry {
  readonly name: string
  readonly group: (typeof commandGroups)[number]
  readonly summary: string
  /** Whether `-m` makes sense with it. */
  readonly machines: boolean
  readonly load: () => Promise<CommandModule>
}

/** About this machine, or all of them, whatever is chosen. */
const unchoosing: ReadonlySet<string> = new Set([
  ...['up', 'down', 'install', 'state', 'completion', 'verify'],
  ...['invite', 'join', 'leave', 'lab'],
])

function entry(
  name: string,
  group: CommandEntry['group'],
  summary: string,
  load: CommandEntry['load'],
): CommandEntry {
  return { name, group, summary, machines: !unchoosing.has(name), load }
}

const unitVerbs = (name: string) => async () => {
  const verbs = await import('./commands/unit-verbs.ts')
  return { command: (context: CliContext) => verbs.unitVerb(name, context) }
}

export const commandTable: readonly CommandEntry[] = [
  entry('up', 'System', 'start Holon on this machine', () => import('./commands/up.ts')),
  entry('down', 'System', 'stop the agent; jobs go on', () => import('./commands/down.ts')),
  entry('status', 'System', 'show this system, or units', () => import('./commands/status.ts')),
  entry(
    'install',
    'System',
    "write the agent's own systemd unit",
    () => import('./commands/install.ts'),
  ),
  entry('state', 'System', 'back up and restore the state', () => import('./commands/state.ts')),
  entry(
    'completion',
    'System',
    'print completion for your shell',
    () => import('./commands/completion.ts'),
  ),

  entry(
    'machines',
    'Machines',
    'list, label, remove machines',
    () => import('./commands/machines.ts'),
  ),
  entry(
    'invite',
    'Machines',
    'print the line that joins a machine',
    () => import('./commands/invite.ts'),
  ),
  entry('join', 'Machines', 'make this machine one of others', () => import('./commands/join.ts')),
  entry('leave', 'Machines', 'take this machine out again', () => import('./commands/leave.ts')),
  entry('lab', 'Machines', 'make test hosts on this machine', () => import('./commands/lab.ts')),

  entry('ps', 'Processes', 'list processes', () => import('./commands/ps.ts')),
  entry('top', 'Processes', 'watch processes', () => import('./commands/top.ts')),
  entry('kill', 'Processes', 'send a signal', () => import('./commands/kill.ts')),
  entry('pgrep', 'Processes', 'find processes', async () => {
    const { pgrep } = await import('./commands/pgrep.ts')
    return { command: pgrep }
  }),
  entry('pkill', 'Processes', 'find processes and send a signal', async () => {
    const { pkill } = await import('./commands/pgrep.ts')
    return { command: pkill }
  }),

  entry('run', 'Runs', 'run a program as if typed here', () => import('./commands/run.ts')),
  entry('runs', 'Runs', 'list runs', () => import('./commands/runs.ts')),
  entry('attach', 'Runs', 'connect to a detached run', () => import('./commands/attach.ts')),
  entry('wait', 'Runs', "wait for a detached run's end", () => import('./commands/wait.ts')),

  entry('start', 'Units', 'start units', unitVerbs('start')),
  entry('stop', 'Units', 'stop units', unitVerbs('stop')),
  entry('restart', 'Units', 'restart units, one instance after another', unitVerbs('restart')),
  entry('enable', 'Units', 'start units whenever Holon starts', unitVerbs('enable')),
  entry('disable', 'Units', 'do not start units by themselves', unitVerbs('disable')),
  entry('list-units', 'Units', 'list units', () => import('./commands/list-units.ts')),
  entry('is-active', 'Units', 'tell by exit status whether units run', unitVerbs('is-active')),
  entry('is-failed', 'Units', 'tell by exit status whether units failed', unitVerbs('is-failed')),
  entry('cat', 'Units', 'print unit files as loaded', unitVerbs('cat')),
  entry('show', 'Units', 'print properties of units', () => import('./commands/show.ts')),
  entry('why', 'Units', 'explain how a unit came to its state', () => import('./commands/why.ts')),
  entry('verify', 'Units', 'check unit files', () => import('./commands/verify.ts')),
  entry('logs', 'Units', 'show logs of units and runs', () => import('./commands/logs.ts')),
]
