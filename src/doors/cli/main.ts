/**
 * The command line's entry: finds the command, loads only that one, runs it, and turns its outcome
 * into an exit status. Everything a command does, it does through the kernel interfaces.
 */
import { version } from '../../base/version.ts'

// Answered before anything else is loaded: scripts ask for it, and it should cost a bare Node.
if (process.argv[2] === '--version' || process.argv[2] === '-V') {
  process.stdout.write(`holon ${version}\n`)
} else {
  import('./program.ts').then(({ runProgram }) => runProgram(process.argv.slice(2)))
}
