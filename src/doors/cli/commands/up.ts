/** `holon up`: the agent runs and answers when this returns. */
import { Command } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import type { CliContext } from '../context.ts'
import { type AgentSettings, answeringMachine, type Started, startAgent } from '../start-agent.ts'

export function command(context: CliContext): Command {
  return new Command('up')
    .description('Starts the agent in the background and waits until it answers.')
    .option('--foreground', 'be the agent, for a service manager; the first option then')
    .option('--listen <address>', 'listen for other machines here, like 10.0.0.2:4656')
    .option('--advertise <address>', 'what other machines are told, if that is another address')
    .option('--state <url>', 'keep the shared state in an etcd of yours, etcd://HOST:PORT')
    .option('--state-silence <time>', 'when another takes over from a silent keeper of the state')
    .option('--dns <address>', 'answer names in DNS here, like 127.0.0.1:53, or off')
    .option('--dns-forward <addresses>', 'ask these servers for other names, or off')
    .action(async (options: AgentSettings) => {
      const started = await startAgent(context, options)
      if (started.kind === 'already-up') {
        if (Object.keys(options).some((name) => name !== 'foreground')) {
          throw new HolonError(
            'conflict',
            'the agent is already up, and takes such options when it starts: `holon down` first',
          )
        }
        context.stdout.write(`${describe(started)} is already up.\n`)
        return
      }
      const { warnings } = started.status
      for (const warning of warnings) context.stderr.write(`holon: note: ${warning}\n`)
      context.stdout.write(`${describe(started)} is up.\n\n${whatNext}`)
    })
}

const whatNext = `Try:
  holon ps aux                       every process
  holon run make -j4                 a program, as if typed here
  holon enable --now ./web.service   a service that stays up
  holon logs -f web                  what it says
  holon invite                       another machine, as one with this
  holon status                       this system
  holon help                         everything else
`

function describe({ status, directories }: Started): string {
  const machine = answeringMachine(status) ?? '?'
  const scope = directories.scope === 'user' ? `for user ${status.uid}` : 'for the whole machine'
  return (
    `Holon ${status.version} on ${machine}, ${scope}` +
    ` (agent ${status.agentPid}, state in ${status.stateDir}, runtime in ${status.runtimeDir})`
  )
}
