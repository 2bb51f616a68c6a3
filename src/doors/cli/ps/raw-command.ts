/**
 * A commander command that leaves its words alone, `--` and order included, for commands whose
 * options follow older habits than commander knows (`ps aux`, `kill -9`). `--help` is commander's.
 */
import { Command } from 'commander'

export interface RawCommandOptions {
  readonly name: string
  readonly description: string
  readonly usage: string
  /** The list of options, as --help shows it. */
  readonly help: string
}

export class RawCommand extends Command {
  readonly #run: (args: readonly string[]) => Promise<void>

  constructor(name: string, run: (args: readonly string[]) => Promise<void>) {
    super(name)
    this.#run = run
  }

  override async parseAsync(
    argv?: readonly string[],
    options?: { readonly from: 'node' | 'electron' | 'user' },
  ): Promise<this> {
    const words = argv ?? []
    const end = words.indexOf('--')
    if ((end < 0 ? words : words.slice(0, end)).includes('--help')) {
      return super.parseAsync(['--help'], options ?? { from: 'user' })
    }
    await this.#run(words)
    return this
  }
}

/** `run` gets every word as typed. */
export function rawCommand(
  options: RawCommandOptions,
  run: (args: readonly string[]) => Promise<void>,
): Command {
  return new RawCommand(options.name, run)
    .description(options.description)
    .usage(options.usage)
    .helpOption('--help', 'show this')
    .addHelpText('after', `\n${options.help}`)
}
