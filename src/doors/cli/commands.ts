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
  ...['invite', 'join', 'leave', 'lab', 'drain', 'undrain', 'cordon', 'uncordon'],
  ...['scale', 'rollout', 'events'],
  ...['deploy', 'releases', 'rollback', 'env', 'static'],
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

const releaseVerbs = (name: 'releases' | 'rollback') => async () => {
  const verbs = await import('./commands/releases.ts')
  return { command: verbs[name] }
}

const intentVerbs = (name: 'undrain' | 'cordon' | 'uncordon') => async () => {
  const verbs = await import('./commands/drain.ts')
  return { command: (context: CliContext) => verbs.intentVerb(name, context) }
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
  entry(
    'drain',
    'Machines',
    "have the fleet's instances leave a machine",
    () => import('./commands/drain.ts'),
  ),
  entry('undrain', 'Machines', 'end a drain', intentVerbs('undrain')),
  entry(
    'cordon',
    'Machines',
    'keep new instances of the fleet off a machine',
    intentVerbs('cordon'),
  ),
  entry('uncordon', 'Machines', 'end a cordon', intentVerbs('uncordon')),
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
  entry(
    'deploy',
    'Units',
    "bring a project's program up, or a change of it",
    () => import('./commands/deploy.ts'),
  ),
  entry('releases', 'Units', 'list what a unit ran before', releaseVerbs('releases')),
  entry('rollback', 'Units', 'go back to a release', releaseVerbs('rollback')),
  entry('env', 'Units', 'set environment variables, sealed', () => import('./commands/env.ts')),
  entry('static', 'Units', 'serve files over HTTP', () => import('./commands/static.ts')),
  entry('scale', 'Units', 'set how many instances run', () => import('./commands/scale.ts')),
  entry(
    'rollout',
    'Units',
    'follow, list, take back changes',
    () => import('./commands/rollout.ts'),
  ),
  entry('restart', 'Units', 'restart units, one instance after another', unitVerbs('restart')),
  entry('enable', 'Units', 'start units whenever Holon starts', unitVerbs('enable')),
  entry('disable', 'Units', 'do not start units by themselves', unitVerbs('disable')),
  entry('unload', 'Units', 'forget units that do not run', unitVerbs('unload')),
  entry('list-units', 'Units', 'list units', () => import('./commands/list-units.ts')),
  entry(
    'list-timers',
    'Units',
    'list timers, the next one first',
    () => import('./commands/list-timers.ts'),
  ),
  entry('is-active', 'Units', 'tell by exit status whether units run', unitVerbs('is-active')),
  entry('is-failed', 'Units', 'tell by exit status whether units failed', unitVerbs('is-failed')),
  entry('cat', 'Units', 'print unit files as loaded', unitVerbs('cat')),
  entry('show', 'Units', 'print properties of units', () => import('./commands/show.ts')),
  entry(
    'why',
    'Units',
    'explain how a unit or a machine came to its state',
    () => import('./commands/why.ts'),
  ),
  entry('resolve', 'Units', 'show where a name leads', () => import('./commands/resolve.ts')),
  entry('events', 'Units', 'show what was decided, by time', () => import('./commands/events.ts')),
  entry('secret', 'Units', 'keep values that units need', () => import('./commands/secret.ts')),
  entry('verify', 'Units', 'check unit files', () => import('./commands/verify.ts')),
  entry('logs', 'Units', 'show logs of units and runs', () => import('./commands/logs.ts')),
]
