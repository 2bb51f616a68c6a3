/** The agents of a lab's machines: starting them, and joining them to one system. */
import { HolonError } from '../base/errors.ts'
import { runCommand } from '../io/command.ts'
import { joinPath } from '../io/files.ts'
import { entering, type MachineDeps, type Running, runningMachines } from './machine.ts'
import { addressOf, type LabRecord, machineName } from './record.ts'

const upTimeoutMs = 90_000
const joinTimeoutMs = 120_000
/** The port that agents listen on; see docs/protocol.md. */
const port = 4656

export interface AgentsDeps extends MachineDeps {
  readonly report: (line: string) => void
}

export class Agents {
  readonly #deps: AgentsDeps
  readonly #lab: string

  constructor(deps: AgentsDeps, lab: string) {
    this.#deps = deps
    this.#lab = lab
  }

  /** `holon up` in the machine, as its administrator would type it. */
  async start(machine: Running): Promise<void> {
    await this.#holon(machine, ['up'], upTimeoutMs)
  }

  /** Makes the machines one system: one invites, the others join, all at the same time. */
  async join(lab: LabRecord, inviter: number, newcomers: readonly number[]): Promise<void> {
    if (newcomers.length === 0) return
    const { report } = this.#deps
    const host = this.#running(inviter)
    const uses = String(newcomers.length)
    const invitation = await this.#holon(host, ['invite', '--uses', uses], joinTimeoutMs)
    const token = /\bholon join \S+ (\S+)/.exec(invitation)?.[1]
    if (token === undefined) {
      throw new HolonError(
        'internal',
        `holon invite on ${machineName(inviter)} printed no token: ${invitation.trim()}`,
      )
    }
    const address = `${addressOf(lab, inviter)}:${port}`
    await Promise.all(
      newcomers.map(async (number) => {
        // By stdin: no process table shows it.
        const args = ['join', address, '-']
        await this.#holon(this.#running(number), args, joinTimeoutMs, `${token}\n`)
        report(`${machineName(number)} has joined`)
      }),
    )
  }

  #running(number: number): Running {
    const initPid = runningMachines(this.#lab).get(machineName(number))
    if (initPid !== undefined) return { number, initPid }
    throw new HolonError('unavailable', `${machineName(number)} went off meanwhile`)
  }

  async #holon(
    machine: Running,
    args: readonly string[],
    timeoutMs: number,
    input = '',
  ): Promise<string> {
    const launcher = joinPath(this.#deps.program.packageDir, 'holon')
    const { argv, env } = entering(this.#deps, this.#lab, machine, [launcher, ...args])
    const options = { env, timeoutMs, input, detached: true }
    const { status, stdout, stderr } = await runCommand(argv, options)
    if (status === 0) return stdout
    throw new HolonError(
      'unavailable',
      `holon ${args.join(' ')} on ${machineName(machine.number)} failed (status ${status}): ` +
        `${(stderr || stdout).trim()}\n` +
        `The lab is left as it is, for a look: holon lab sh ${machineName(machine.number)}; ` +
        '`holon lab down` removes it.',
    )
  }
}
