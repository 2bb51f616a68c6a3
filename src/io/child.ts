/** Running a program to its end, for the few that Holon itself needs. */
import { spawnSync } from 'node:child_process'
import { HolonError } from '../base/errors.ts'

const timeoutMs = 60_000

/** Its stdout. Throws with its stderr when it fails. Blocks: for the CLI and set-up only. */
export function runProgram(command: string, args: readonly string[]): string {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: timeoutMs })
  const line = [command, ...args].join(' ')
  if (result.error !== undefined) {
    throw new HolonError('internal', `${line}: ${result.error.message}`, { cause: result.error })
  }
  if (result.status !== 0) {
    const how = result.signal ?? `status ${result.status}`
    throw new HolonError('internal', `${line} ended with ${how}: ${result.stderr.trim()}`)
  }
  return result.stdout
}
