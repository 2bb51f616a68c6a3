/**
 * Where things are. Root keeps state in /var/lib/holon and its runtime in /run/holon; an ordinary
 * user has both in the XDG directories; HOLON_DIR puts both below one directory, for tests and for
 * several agents on one host.
 */
import { join } from 'node:path'

export interface Directories {
  readonly scope: 'system' | 'user' | 'custom'
  /** Survives a reboot: the store, logs, the keeper's binary. */
  readonly stateDir: string
  /** Gone after a reboot: sockets, running jobs. */
  readonly runtimeDir: string
}

type Environment = Readonly<Record<string, string | undefined>>

/** The directories of the agent that `uid` would run. */
export function ownDirectories(env: Environment, uid: number): Directories {
  const dir = env['HOLON_DIR']
  if (dir) {
    return { scope: 'custom', stateDir: join(dir, 'state'), runtimeDir: join(dir, 'run') }
  }
  if (uid === 0) return systemDirectories
  const home = env['HOME'] || '/'
  const stateDir = join(env['XDG_STATE_HOME'] || join(home, '.local/state'), 'holon')
  const runtimeBase = env['XDG_RUNTIME_DIR']
  return {
    scope: 'user',
    stateDir,
    runtimeDir: runtimeBase ? join(runtimeBase, 'holon') : join(stateDir, 'run'),
  }
}

export const systemDirectories: Directories = {
  scope: 'system',
  stateDir: '/var/lib/holon',
  runtimeDir: '/run/holon',
}

/** The directory that only `uid` can enter; who connects in there is `uid` (or root). */
export function callerDir(runtimeDir: string, uid: number): string {
  return join(runtimeDir, 'user', String(uid))
}

export function callerSocket(runtimeDir: string, uid: number): string {
  return join(callerDir(runtimeDir, uid), 'agent.sock')
}

/** Through it a user reaches the stdio of runs on other machines. */
export function relaySocketPath(runtimeDir: string, uid: number): string {
  return join(callerDir(runtimeDir, uid), 'relay.sock')
}

/**
 * A user whom the agent has no socket for yet makes a directory in here; its owner tells who it is.
 */
export function knockDir(runtimeDir: string): string {
  return join(runtimeDir, 'knock')
}

export function jobsDir(runtimeDir: string): string {
  return join(runtimeDir, 'jobs')
}

export function databasePath(stateDir: string): string {
  return join(stateDir, 'state.db')
}

export function backupDir(stateDir: string): string {
  return join(stateDir, 'backup')
}

/** Bundles of programs. */
export function bundlesDir(stateDir: string): string {
  return join(stateDir, 'bundles')
}

/** The machine's key and its papers of the fleet. */
export function identityDir(stateDir: string): string {
  return join(stateDir, 'identity')
}

/** The key of the machine's own secrets. */
export function secretsDir(stateDir: string): string {
  return join(stateDir, 'secrets')
}

/** Who is in the fleet, as last heard. */
export function membersPath(stateDir: string): string {
  return join(stateDir, 'members.json')
}

export function logsDir(stateDir: string): string {
  return join(stateDir, 'log')
}

/** Copies of other machines' logs. */
export function keptLogsDir(stateDir: string): string {
  return join(stateDir, 'kept-logs')
}

export function agentLogPath(stateDir: string): string {
  return join(stateDir, 'agent.log')
}
