/**
 * The command line's entry. It is small on purpose: scripts ask for the version, and every command
 * waits for what is loaded here. The rest is a bundle of its own, kept in compiled form.
 */
import { version } from '../../base/version.ts'
import { loadProgram } from '../../io/program-code.ts'

if (process.argv[2] === '--version' || process.argv[2] === '-V') {
  process.stdout.write(`holon ${version}\n`)
} else {
  const program = loadProgram<typeof import('./program.ts')>(`${import.meta.dirname}/program.cjs`)
  program.exports.runProgram(process.argv.slice(2), program)
}
