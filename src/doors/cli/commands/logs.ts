/** Placeholder. */
import { Command } from 'commander'
import type { CliContext } from '../context.ts'

export function command(_context: CliContext): Command {
  return new Command('logs')
}
