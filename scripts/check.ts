/** `npm run check`: types, lint and format, structure. Prints what fails; exits 1 if anything does. */
import { spawnSync } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const steps: readonly (readonly string[])[] = [
  ['node_modules/.bin/tsc', '-p', '.'],
  ['node_modules/.bin/biome', 'check', '--error-on-warnings'],
  [process.execPath, '--test', 'test/tidy/tidy.test.ts'],
]

let failed = false
for (const [command = '', ...args] of steps) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: 'inherit' })
  failed ||= status !== 0
}
process.exitCode = failed ? 1 : 0
