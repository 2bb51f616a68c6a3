/** `holon kill`: sends a signal to processes and runs, wherever they are. */
import type { Command } from 'commander'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import { signalList } from '../../../base/signals.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { CallOptions } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { type KillTarget, parseKill, translateSignals } from '../ps/kill-options.ts'
import { rawCommand } from '../ps/raw-command.ts'
import type { PidRef } from '../ps/select.ts'

export function command(context: CliContext): Command {
  const options = {
    name: 'kill',
    description: 'Sends a signal (TERM unless another is named) to processes and runs.',
    usage: '[-m MACHINES] [-SIGNAL | -s SIGNAL] TARGET… | -l [SIGNAL…]',
    help: `Targets:
  n1:42          process 42 of machine n1, as ps and pgrep print it
  42             where there is only one machine, or with -m MACHINE
  run/ID         the processes of a run in the foreground

Options:
  -9, -KILL, -s KILL, -n 9   the signal, by number or name; 0 only looks
  -l [SIGNAL…]               names of signals, or names for numbers and back
  -L                         all signals with their numbers
  -m MACHINE                 where 42 is

Exit status: 0; 1 a target was not signalled; 2 usage.`,
  }
  return rawCommand(options, (args) => killCommand(context, args))
}

async function killCommand(context: CliContext, args: readonly string[]): Promise<void> {
  const request = parseKill(args)
  if (request.kind === 'table') {
    const lines = signalList().map(({ name, number }) => `${String(number).padStart(2)} ${name}`)
    context.stdout.write(`${lines.join('\n')}\n`)
    return
  }
  if (request.kind === 'list') {
    const names = signalList().map(({ name }) => name.slice('SIG'.length))
    const shown = request.words.length === 0 ? [names.join(' ')] : translateSignals(request.words)
    context.stdout.write(`${shown.join('\n')}\n`)
    return
  }
  if (request.machine !== undefined) context.selectMachines(request.machine)
  using limit = context.deadline()
  const sender = new Sender(await context.system(), { signal: limit.signal })
  for (const target of request.targets) {
    try {
      await sender.send(target, request.signal)
    } catch (error) {
      context.stderr.write(`holon: kill ${target.text}: ${failureText(error)}\n`)
      context.setExit(1)
    }
  }
}

function failureText(thrown: unknown): string {
  const error = asHolonError(thrown)
  const unsure = error.outcome === 'unknown' ? ' (it may have been sent all the same)' : ''
  return error.message + unsure
}

class Sender {
  readonly #system: System
  readonly #options: CallOptions
  #onlyMachine: Promise<string | undefined> | undefined

  constructor(system: System, options: CallOptions) {
    this.#system = system
    this.#options = options
  }

  async send(target: KillTarget, signal: number): Promise<void> {
    if (target.kind === 'bad') throw new HolonError('invalid_argument', target.why)
    if (target.kind === 'run') {
      const run = await this.#system.findRun(target.id, this.#options)
      return run.signal(signal, this.#options)
    }
    const machine = await this.#machineOf(target.ref)
    const process = await this.#system.process({ machine, pid: target.ref.pid }, this.#options)
    return process.signal(signal, this.#options)
  }

  /** A bare number means a process only where no other machine can have one of that number. */
  async #machineOf(ref: PidRef): Promise<string> {
    if (ref.machine !== undefined) return ref.machine
    this.#onlyMachine ??= this.#system
      .machines(this.#options)
      .then(({ machines }) => (machines.length === 1 ? machines[0]?.name : undefined))
    const machine = await this.#onlyMachine
    if (machine !== undefined) return machine
    throw new HolonError(
      'invalid_argument',
      `there are several machines; name the one you mean, like n1:${ref.pid}`,
    )
  }
}
