/** Starting the agent's process in the background, away from the caller's terminal. */
import { spawn } from 'node:child_process'
import { mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Host } from './host.ts'

/** The root of the installed package or clone: the bundles lie in its dist/. */
export function packageDir(): string {
  return dirname(dirname(process.argv[1] ?? ''))
}

/** The agent says little; what is more than this belongs to an earlier life of it. */
const logBytesMax = 4 * 1024 * 1024

/**
 * Runs `holon up --foreground` detached; it writes to the log. `exited` tells how it ended, if it
 * did.
 */
export function spawnAgent(
  host: Host,
  logPath: string,
): { readonly pid: number; readonly exited: () => string | undefined } {
  mkdirSync(dirname(logPath), { recursive: true, mode: 0o711 })
  const old = statSync(logPath, { throwIfNoEntry: false })
  if (old !== undefined && old.size > logBytesMax) renameSync(logPath, `${logPath}.1`)
  const log = openSync(logPath, 'a', 0o600)
  const child = spawn(join(packageDir(), 'holon'), ['up', '--foreground'], {
    detached: true,
    stdio: ['ignore', log, log],
    cwd: '/',
    env: host.env,
  })
  let ended: string | undefined
  child.on('exit', (code, signal) => {
    ended = signal ?? `status ${code}`
  })
  child.on('error', (error) => {
    ended = error.message
  })
  child.unref()
  return { pid: child.pid ?? 0, exited: () => ended }
}
