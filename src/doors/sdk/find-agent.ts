/**
 * Which agent answers this caller: the one HOLON_DIR names, else the user's own, else the system's.
 * A user whom the system's agent has not met yet knocks: it makes a directory whose owner tells the
 * agent for whom to open a socket.
 */
import { type Clock, type Deadline, deadline, sleep } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { exists, isDir, joinPath, makeDir } from '../../io/files.ts'
import type { Host } from '../../io/host.ts'
import {
  callerSocket,
  type Directories,
  knockDir,
  ownDirectories,
  systemDirectories,
} from '../../io/paths.ts'

const knockTimeoutMs = 2000
const knockPollMs = 10

/** The socket to connect to. `unavailable` when no agent runs that this user could ask. */
export async function findAgent(clock: Clock, host: Host): Promise<string> {
  const candidates = agentCandidates(host)
  for (const { runtimeDir } of candidates) {
    const path = callerSocket(runtimeDir, host.uid)
    if (exists(path)) return path
  }
  for (const { runtimeDir } of candidates) {
    if (isDir(knockDir(runtimeDir))) return knock(clock, host, runtimeDir)
  }
  const where = candidates.map(({ runtimeDir }) => runtimeDir).join(' nor in ')
  throw new HolonError(
    'unavailable',
    `Holon does not run here (no socket in ${where}); start it with \`holon up\``,
  )
}

/** In order of preference. */
export function agentCandidates(host: Host): readonly Directories[] {
  const own = ownDirectories(host.env, host.uid)
  return own.scope === 'user' ? [own, systemDirectories] : [own]
}

async function knock(clock: Clock, host: Host, runtimeDir: string): Promise<string> {
  const path = callerSocket(runtimeDir, host.uid)
  makeDir(joinPath(knockDir(runtimeDir), `${host.uid}-${host.pid}`), 0o700)
  using limit: Deadline = deadline(clock, knockTimeoutMs)
  while (!exists(path)) {
    try {
      await sleep(clock, knockPollMs, limit.signal)
    } catch (cause) {
      throw new HolonError(
        'unavailable',
        `the agent of ${runtimeDir} opened no socket for uid ${host.uid} within ${knockTimeoutMs} ms; ` +
          'it may have ended: ask root to run `holon up`',
        { cause },
      )
    }
  }
  return path
}
