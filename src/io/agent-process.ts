/** Starting the agent's process in the background, away from the caller's terminal. */
import { spawn } from 'node:child_process'
import { mkdirSync, openSync, renameSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { asHolonError, HolonError } from '../base/errors.ts'
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
  const log = openLog(logPath)
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

function openLog(path: string): number {
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o711 })
    const old = statSync(path, { throwIfNoEntry: false })
    if (old !== undefined && old.size > logBytesMax) renameSync(path, `${path}.1`)
    return openSync(path, 'a', 0o600)
  } catch (error) {
    const { code, message } = asHolonError(error)
    throw new HolonError(
      code,
      `the agent cannot write its log ${path}: ${message}; ` +
        'it needs a state directory that is writable and has room (HOLON_DIR chooses another)',
      { cause: error },
    )
  }
}
