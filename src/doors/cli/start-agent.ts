/** Starts the agent in the background where none answers, and waits until it does. */
import { type Deadline, deadline, sleep } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { version } from '../../base/version.ts'
import { spawnAgent } from '../../io/agent-process.ts'
import { readTextIfThere } from '../../io/files.ts'
import { type Host, realHost } from '../../io/host.ts'
import { agentLogPath, callerSocket, type Directories, ownDirectories } from '../../io/paths.ts'
import type { SystemStatus } from '../../kernel/types.ts'
import { connect, type Holon } from '../sdk/connect.ts'
import type { CliContext } from './context.ts'

const pollMs = 20
const startTimeoutMs = 60_000
/** An agent that lives opens anew in a second; one that died meanwhile is not waited for. */
const reopenTimeoutMs = 15_000

/** What the agent is told for its life; it reads them from its environment. */
export interface AgentSettings {
  /** "10.77.0.2:4656": where it listens for other machines. */
  readonly listen?: string
  /** Where those find it, when that is another address. */
  readonly advertise?: string
  /** "etcd://HOST:PORT": an engine of the state that somebody else runs. */
  readonly state?: string
  /** "12h": silence of a machine that keeps the state after which another takes its place. */
  readonly stateSilence?: string
  /** "127.0.0.1:53": where it answers questions of DNS; "off": nowhere. */
  readonly dns?: string
  /** "192.0.2.1": whom it passes other questions on to; "off": nobody. */
  readonly dnsForward?: string
}

export interface Started {
  readonly kind: 'started' | 'already-up'
  readonly status: SystemStatus
  readonly directories: Directories
}

/** This user's own agent answers when it resolves. `unavailable` with the end of its log if not. */
export async function startAgent(
  context: CliContext,
  settings: AgentSettings = {},
): Promise<Started> {
  const host = realHost()
  const directories = ownDirectories(host.env, host.uid)
  using limit = deadline(context.clock, startTimeoutMs)
  const socketPath = callerSocket(directories.runtimeDir, host.uid)
  const running = await answering(socketPath, limit)
  if (running !== undefined) return { kind: 'already-up', status: running, directories }
  const agent = spawnAgent(withSettings(host, settings), agentLogPath(directories.stateDir))
  const status = await untilAnswering(context, directories, socketPath, agent, limit)
  return { kind: 'started', status, directories }
}

/** A link to this user's own agent, started if need be. The caller ends the link. */
export async function ensureAgent(context: CliContext): Promise<Holon> {
  const { kind, status, directories } = await startAgent(context)
  if (kind === 'started') {
    const state = `state in ${status.stateDir}`
    context.stderr.write(
      `holon: the agent was not up; started it (pid ${status.agentPid}, ${state})\n`,
    )
  }
  return await connect({ socketPath: callerSocket(directories.runtimeDir, realHost().uid) })
}

/**
 * Joining, leaving and the first invitation have the agent begin anew as another member. Resolves
 * when it answers as one (or alone again), so that the next command meets it.
 */
export async function untilMember(context: CliContext, member: boolean): Promise<void> {
  const host = realHost()
  const { runtimeDir } = ownDirectories(host.env, host.uid)
  const socketPath = callerSocket(runtimeDir, host.uid)
  using limit = deadline(context.clock, reopenTimeoutMs)
  for (;;) {
    if ((await isMember(socketPath, limit)) === member) return
    try {
      await sleep(context.clock, pollMs, limit.signal)
    } catch {
      const what = 'done, but the agent does not answer yet; see `holon status`'
      throw new HolonError('unavailable', what)
    }
  }
}

/** Undefined while the agent does not answer. */
async function isMember(socketPath: string, limit: Deadline): Promise<boolean | undefined> {
  try {
    await using holon = await connect({ socketPath, signal: limit.signal })
    const { machines } = await holon.system.machines(limit)
    return machines.some(({ id }) => id !== '')
  } catch (error) {
    if (error instanceof HolonError && (error.retryable || error.code === 'cancelled')) return
    throw error
  }
}

/** The name of the machine whose agent gave `status`: of several, the one with this very agent. */
export function answeringMachine(status: SystemStatus): string | undefined {
  const { machines, agentPid, agentSinceMs } = status
  const own = machines.find(
    ({ report }) => report?.agentPid === agentPid && report.agentSinceMs === agentSinceMs,
  )
  return (own ?? machines[0])?.name
}

function withSettings(host: Host, settings: AgentSettings): Host {
  const { listen, advertise, state, stateSilence, dns, dnsForward } = settings
  return {
    ...host,
    env: {
      ...host.env,
      ...(listen === undefined ? {} : { HOLON_LISTEN: listen }),
      ...(advertise === undefined ? {} : { HOLON_ADVERTISE: advertise }),
      ...(state === undefined ? {} : { HOLON_STATE: state }),
      ...(stateSilence === undefined ? {} : { HOLON_STATE_SILENCE: stateSilence }),
      ...(dns === undefined ? {} : { HOLON_DNS: dns }),
      ...(dnsForward === undefined ? {} : { HOLON_DNS_FORWARD: dnsForward }),
    },
  }
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
