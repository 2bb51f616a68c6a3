/** `holon up`: the agent runs and answers when this returns. */
import { Command } from 'commander'
import { type Deadline, deadline, sleep } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import { version } from '../../../base/version.ts'
import { spawnAgent } from '../../../io/agent-process.ts'
import { readTextIfThere } from '../../../io/files.ts'
import { realHost } from '../../../io/host.ts'
import { agentLogPath, callerSocket, type Directories, ownDirectories } from '../../../io/paths.ts'
import type { SystemStatus } from '../../../kernel/types.ts'
import { connect } from '../../sdk/connect.ts'
import type { CliContext } from '../context.ts'

const pollMs = 20
const startTimeoutMs = 60_000

export function command(context: CliContext): Command {
  return new Command('up')
    .description('Starts the agent in the background and waits until it answers.')
    .option('--foreground', 'be the agent, for a service manager')
    .action(async () => {
      const host = realHost()
      const directories = ownDirectories(host.env, host.uid)
      using limit = deadline(context.clock, startTimeoutMs)
      const socketPath = callerSocket(directories.runtimeDir, host.uid)
      const running = await answering(socketPath, limit)
      if (running) {
        context.stdout.write(`${describe(running, directories)} is already up.\n`)
        return
      }
      const agent = spawnAgent(host, agentLogPath(directories.stateDir))
      const status = await untilAnswering(context, directories, socketPath, agent, limit)
      for (const warning of status.warnings) context.stderr.write(`holon: note: ${warning}\n`)
      context.stdout.write(`${describe(status, directories)} is up.\n\n${whatNext}`)
    })
}

const whatNext = `Try:
  holon ps aux                       every process
  holon run make -j4                 a program, as if typed here
  holon enable --now ./web.service   a service that stays up
  holon logs -f web                  what it says
  holon status                       this system
  holon help                         everything else
`

function describe(status: SystemStatus, directories: Directories): string {
  const machine = status.machines[0]?.name ?? '?'
  const scope = directories.scope === 'user' ? `for user ${status.uid}` : 'for the whole machine'
  return (
    `Holon ${status.version} on ${machine}, ${scope}` +
    ` (agent ${status.agentPid}, state in ${status.stateDir}, runtime in ${status.runtimeDir})`
  )
}

/** The status of the agent behind exactly this socket; undefined when none answers. */
async function answering(socketPath: string, limit: Deadline): Promise<SystemStatus | undefined> {
  try {
    await using holon = await connect({ socketPath })
    return await holon.system.status({ signal: limit.signal })
  } catch (error) {
    if (error instanceof HolonError && error.code === 'unavailable') return undefined
    throw error
  }
}

async function untilAnswering(
  context: CliContext,
  directories: Directories,
  socketPath: string,
  agent: { readonly exited: () => string | undefined },
  limit: Deadline,
): Promise<SystemStatus> {
  for (;;) {
    const status = await answering(socketPath, limit)
    if (status !== undefined) {
      if (status.version === version) return status
      throw new HolonError(
        'conflict',
        `an agent of version ${status.version} answers; \`holon down\` ends it first`,
      )
    }
    const exited = agent.exited()
    if (exited !== undefined) throw failed(`the agent ended at once (${exited})`, directories)
    try {
      await sleep(context.clock, pollMs, limit.signal)
    } catch {
      throw failed('the agent does not answer yet', directories)
    }
  }
}

function failed(what: string, directories: Directories): HolonError {
  const path = agentLogPath(directories.stateDir)
  const lines = (readTextIfThere(path) ?? '').trimEnd().split('\n').slice(-8)
  return new HolonError('unavailable', `${what}; the end of ${path}:\n  ${lines.join('\n  ')}`)
}
