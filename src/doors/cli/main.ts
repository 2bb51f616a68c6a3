/**
 * The command line's entry. It is small on purpose: scripts ask for the version, and every command
 * waits for what is loaded here. The rest is a bundle of its own, compiled once and cached.
 */
import { enableCompileCache } from 'node:module'
import { version } from '../../base/version.ts'

if (process.argv[2] === '--version' || process.argv[2] === '-V') {
  process.stdout.write(`holon ${version}\n`)
} else {
  enableCompileCache(`${import.meta.dirname}/.cache`)
  import('./program.ts').then(({ runProgram }) => runProgram(process.argv.slice(2)))
}
