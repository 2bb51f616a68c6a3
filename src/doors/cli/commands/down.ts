/** `holon down`: ends the agent; jobs go on under their keepers unless --all. */
import { Command } from 'commander'
import { deadline, sleep } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import { ProcFs } from '../../../io/proc.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { SystemStatus } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { answeringMachine } from '../start-agent.ts'

const downTimeoutMs = 120_000
const pollMs = 10

export function command(context: CliContext): Command {
  return new Command('down')
    .description(
      'Stops the agent. Units and detached runs go on; the next `holon up` takes them over.',
    )
    .option('-a, --all', 'stop all units and runs first')
    .action(async (options: { all?: boolean }) => {
      using limit = deadline(context.clock, downTimeoutMs)
      const { signal } = limit
      const system = await context.system()
      const { agentPid, units, runs } = await ownStatus(system, signal)
      if (options.all) context.stderr.write('holon: stopping units and runs …\n')
      try {
        await system.shutdown({ stopJobs: options.all === true }, { signal })
      } catch (error) {
        // The agent may be gone before its answer is out: that is what was asked for.
        if (!(error instanceof HolonError && error.code === 'unavailable')) throw error
      }
      const proc = new ProcFs()
      while (isAlive(proc, agentPid)) await sleep(context.clock, pollMs, signal)
      const kept = (units['active'] ?? 0) + runs
      const note =
        options.all || kept === 0
          ? ''
          : ` ${kept} ${kept === 1 ? 'job goes' : 'jobs go'} on; \`holon up\` takes over again.`
      context.stdout.write(`The agent (pid ${agentPid}) is down.${note}\n`)
    })
}

/** What this machine has to lose, however many others there are. */
async function ownStatus(system: System, signal: AbortSignal): Promise<SystemStatus> {
  const status = await system.status({ signal })
  const own = answeringMachine(status)
  if (status.machines.length < 2 || own === undefined) return status
  return await (await system.part(own, { signal })).status({ signal })
}

/** A process that has ended but whom nobody has asked how (a zombie) is no longer alive. */
function isAlive(proc: ProcFs, pid: number): boolean {
  const state = proc.stat(pid)?.state
  return state !== undefined && state !== 'Z' && state !== 'X'
}
