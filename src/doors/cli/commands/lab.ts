/** `holon lab`: test hosts on this machine, and what can go wrong with them. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import { packageDir } from '../../../io/agent-process.ts'
import { joinPath } from '../../../io/files.ts'
import { realHost } from '../../../io/host.ts'
import { runInteractively } from '../../../io/interactive.ts'
import {
  cutOff,
  cutOneWay,
  parseGroups,
  parsePercent,
  partition,
  setLoss,
} from '../../../lab/faults.ts'
import { Lab, type MachineStatus } from '../../../lab/lab.ts'
import { defaultLab } from '../../../lab/record.ts'
import type { CliContext } from '../context.ts'
import {
  jsonOption,
  type ListingOptions,
  noHeadersOption,
  outputOption,
  printListing,
} from '../output.ts'

interface NameOption {
  readonly name: string
}

type Verb = (name: string, description: string) => Command

export function command(context: CliContext): Command {
  const lab = new Command('lab')
    .description('Makes test hosts on this machine, and lets things go wrong with them.')
    .enablePositionalOptions()
    .action((_options, self: Command) => {
      const [unknown] = self.args
      if (unknown === undefined) context.stdout.write(self.helpInformation())
      else {
        const hint = '`holon lab --help` lists them'
        throw new HolonError(
          'invalid_argument',
          `lab has no verb ${JSON.stringify(unknown)}; ${hint}`,
        )
      }
    })
    .allowExcessArguments()
  const verb: Verb = (name, description) =>
    lab
      .command(name)
      .description(description)
      .configureOutput({ writeErr: () => {} })
      .exitOverride()
      .option('--name <lab>', 'which lab, where there are several', defaultLab)
  addLifeVerbs(context, verb)
  addListing(context, verb)
  addShell(context, verb)
  addPowerVerbs(context, verb)
  addNetworkVerbs(context, verb)
  return lab
}

function labOf(context: CliContext, { name }: NameOption): Lab {
  const host = realHost()
  const program = { packageDir: packageDir(), nodeDir: joinPath(host.nodePath, '../..') }
  const report = (line: string) => void context.stderr.write(`${line}\n`)
  return new Lab({ clock: context.clock, host, program, report }, name)
}

function addLifeVerbs(context: CliContext, verb: Verb): void {
  verb('up', 'Makes N machines, n1 to nN, each with an agent of its own, and joins them.')
    .argument('[n]', 'how many', '3')
    .option('--no-join', 'leave them single')
    .option('--dir <dir>', 'where their disks are (default: /var/lib/holon-lab/NAME)')
    .action(async (n: string, options: NameOption & { join: boolean; dir?: string }) => {
      if (!/^\d{1,4}$/.test(n)) {
        throw new HolonError(
          'invalid_argument',
          `lab up ${JSON.stringify(n)}: a number is expected`,
        )
      }
      const { dir, join, name } = options
      const lab = labOf(context, options)
      await lab.up({ machines: Number(n), join, ...(dir === undefined ? {} : { disksDir: dir }) })
      const which = name === defaultLab ? '' : ` --name ${name}`
      context.stdout.write(
        `The lab is up. \`holon lab sh${which} n1\` is a root shell on n1; ` +
          `\`holon lab down${which}\` removes everything.\n`,
      )
    })
  verb('add', 'Makes one machine more.').action(async (options: NameOption) => {
    await labOf(context, options).add()
  })
  verb('down', 'Ends and removes everything of the lab: machines, network, disks.')
    .option('--dir <dir>', 'where its disks were, when /run has been lost')
    .action(async (options: NameOption & { dir?: string }) => {
      const { dir } = options
      const was = await labOf(context, options).down(dir === undefined ? {} : { disksDir: dir })
      context.stdout.write(was ? 'The lab is gone.\n' : 'There is no lab.\n')
    })
}

function addListing(context: CliContext, verb: Verb): void {
  verb('ls', 'Lists the machines and their faults.')
    .alias('status')
    .addOption(outputOption())
    .addOption(jsonOption())
    .addOption(noHeadersOption())
    .action((options: NameOption & ListingOptions) => {
      const row = (m: MachineStatus) => [
        m.name,
        m.address,
        m.status,
        m.agentPid === undefined ? '-' : String(m.agentPid),
        m.lossPercent === 0 ? '-' : `${m.lossPercent}%`,
        m.cuts.join(' ') || '-',
      ]
      const header = ['MACHINE', 'ADDRESS', 'STATUS', 'AGENT', 'LOSS', 'CUTS']
      printListing(context, options, labOf(context, options).status(), { header, row })
    })
}

function addShell(context: CliContext, verb: Verb): void {
  verb('sh', 'Opens a root shell in a machine, or runs a command there.')
    .argument('<machine>')
    .argument('[command...]')
    .passThroughOptions()
    .action(async (machine: string, words: readonly string[], options: NameOption) => {
      const shell = ['sh', '-c', 'command -v bash >/dev/null && exec bash || exec sh']
      const asked = words[0] === '--' ? words.slice(1) : words
      const command = asked.length === 0 ? shell : asked
      const { argv, env } = labOf(context, options).enter(machine, command)
      context.setExit(await runInteractively(argv, { env }))
    })
}

function addPowerVerbs(context: CliContext, verb: Verb): void {
  const each = (
    name: string,
    description: string,
    act: (lab: Lab, names: readonly string[]) => Promise<void>,
  ) =>
    verb(name, description)
      .argument('<machines...>')
      .action((names: readonly string[], options: NameOption) =>
        act(labOf(context, options), names),
      )
  each('kill', 'Powers machines off at once: nothing in them is told.', (lab, names) =>
    lab.kill(names),
  )
  each('restart', 'Boots machines with their disks as they were.', (lab, names) =>
    lab.restart(names),
  )
  each('freeze', 'Stops everything in machines: alive, but silent.', (lab, names) =>
    lab.freeze(names),
  )
  each('thaw', 'Lets frozen machines go on.', (lab, names) => lab.thaw(names))
}

function addNetworkVerbs(context: CliContext, verb: Verb): void {
  verb('cut', 'Cuts a machine off, or two from each other, or one direction only.')
    .argument('[machine]')
    .argument('[other]')
    .option('--from <machine>', 'lose what it sends')
    .option('--to <machine>', 'lose what it receives')
    .action(
      async (
        machine: string | undefined,
        other: string | undefined,
        options: NameOption & { from?: string; to?: string },
      ) => {
        const { from, to } = options
        const oneWay = from !== undefined || to !== undefined
        if (oneWay === (machine !== undefined)) {
          throw new HolonError(
            'invalid_argument',
            'cut: machines are expected (cut n3, cut n1 n3), or a direction (--from n1 --to n3)',
          )
        }
        await labOf(context, options).fault((lab) =>
          machine === undefined ? cutOneWay(lab, options) : cutOff(lab, machine, other),
        )
      },
    )
  verb('partition', 'Cuts groups of machines from each other: n1,n2 / n3,n4,n5')
    .argument('<groups...>')
    .action((words: readonly string[], options: NameOption) =>
      labOf(context, options).fault((lab) => partition(lab, parseGroups(words))),
    )
  verb('loss', 'Loses a part of what a machine sends and receives: loss n3 20%')
    .argument('<machine>')
    .argument('<percent>')
    .action((machine: string, percent: string, options: NameOption) =>
      labOf(context, options).fault((lab) => setLoss(lab, machine, parsePercent(percent))),
    )
  verb('heal', 'Ends cuts and loss, of one machine or all.')
    .argument('[machine]')
    .action((machine: string | undefined, options: NameOption) =>
      labOf(context, options).heal(machine),
    )
}
