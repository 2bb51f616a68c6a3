/**
 * The simulation over many seeds: a thousand fleets under faults, and each other family of
 * scenarios. Each seed is run twice, since the same one must give the same trace.
 */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

function simulate(...args: readonly string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [join(root, 'sim/main.ts'), ...args], (error, stdout, stderr) => {
      if (error === null) resolve()
      else reject(new assert.AssertionError({ message: `${stdout}\n${stderr}` }))
    })
  })
}

for (const [family, count] of [
  ['chaos', 1000],
  ['links', 40],
  ['lease', 100],
  ['loss', 150],
  ['drain', 50],
  ['leave', 100],
  ['silence', 20],
  ['order', 50],
  ['outage', 2],
  // In each of them a leader dies ten times.
  ['timers', 100],
  ['return', 20],
] as const) {
  test(`${count} seeds of family ${family}, each twice with the same trace`, () =>
    simulate('--family', family, '--count', `${count}`, '--jobs', '2', '--twice', '--first'))
}
