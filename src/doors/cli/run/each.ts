/**
 * `holon run --each`: one program on many machines at the same time, so many in flight at most. Each
 * line of output carries the name of its machine and is written whole; stderr stays stderr. Signals
 * go to all that run, and what has not begun then never does. Who waits is never the program alone:
 * when our stdout is not read, every program that writes waits, as in a pipe.
 *
 * The fleet knows sooner than we that a machine has fallen silent: its beginning is then waited for
 * no longer, and whoever gets no answer says so.
 */
import type { Writable } from 'node:stream'
import { deadline, remainingMs, sleep } from '../../../base/clock.ts'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import { limits } from '../../../base/limits.ts'
import { signalNumbers } from '../../../io/host.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { MissingMachine, RunSpec } from '../../../kernel/types.ts'
import { type OutputName, openStdio, type Stdio } from '../../../rpc/stdio.ts'
import type { CliContext } from '../context.ts'
import { explain, nowhere, place } from './explain.ts'
import { type Outcome, outcomeJson, overallStatus, summary } from './outcome.ts'
import { LinePrefixer } from './prefix-lines.ts'

export interface EachOptions {
  readonly explain: boolean
  readonly dryRun: boolean
  readonly json: boolean
}

/** Programs at a time. Each holds a connection to the agent and up to 2 MiB of output. */
const inFlightMax = 64
/** A machine that has not begun by then counts as missing. */
const startTimeoutMs = 10_000

const forwarded = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
const ending: ReadonlySet<string> = new Set(['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'])

/** Prints output and a summary, and sets the exit status. */
export async function runEach(
  context: CliContext,
  spec: RunSpec,
  options: EachOptions,
): Promise<void> {
  const system = await context.system()
  const chosen = await chooseMachines(context, system, spec, options)
  if (options.dryRun) return
  const each = new Each(context, system, spec, chosen)
  const absent = chosen.missing.map(
    (machine): Outcome => ({ kind: 'missing', machine: machine.machine, missing: machine }),
  )
  const outcomes = [...(await each.run()), ...absent].sort((a, b) =>
    a.machine < b.machine ? -1 : a.machine > b.machine ? 1 : 0,
  )
  context.stderr.write(`holon: ${summary(outcomes, context.clock.wallMs())}\n`)
  if (options.json) context.stdout.write(`${JSON.stringify(outcomes.map(outcomeJson))}\n`)
  context.setExit(overallStatus(outcomes))
}

interface Chosen {
  readonly machines: readonly string[]
  readonly missing: readonly MissingMachine[]
  readonly lastSeen: ReadonlyMap<string, number>
}

/** Those that fit, and those that would have been asked but are away. */
async function chooseMachines(
  context: CliContext,
  system: System,
  spec: RunSpec,
  options: EachOptions,
): Promise<Chosen> {
  using limit = context.deadline(startTimeoutMs)
  if (spec.require !== undefined || options.explain || options.dryRun) {
    const answer = await place(system, spec, limit)
    if (options.explain || options.dryRun) explain(context, answer)
    const fitting = answer.candidates.filter(({ score }) => score !== undefined)
    if (fitting.length === 0 && answer.missing.length === 0) throw nowhere(answer)
    const names = fitting.map(({ machine }) => machine)
    return { machines: names, missing: answer.missing, lastSeen: new Map() }
  }
  const { machines } = await system.machines(limit)
  const away = machines.filter(({ status }) => status === 'down')
  return {
    machines: machines.filter(({ status }) => status !== 'down').map(({ name }) => name),
    lastSeen: new Map(
      machines.flatMap(({ name, lastSeenAtMs: at }) => (at === undefined ? [] : [[name, at]])),
    ),
    missing: away.map(({ name, lastSeenAtMs }) => ({
      machine: name,
      code: 'unavailable',
      ...(lastSeenAtMs === undefined ? {} : { lastSeenAtMs }),
    })),
  }
}

class Each {
  readonly #context: CliContext
  readonly #system: System
  readonly #spec: RunSpec
  readonly #machines: readonly string[]
  readonly #lastSeen: ReadonlyMap<string, number>
  readonly #live = new Set<Stdio>()
  /** Machines that have not begun yet, with what ends the wait for each. */
  readonly #beginning = new Map<string, AbortController>()
  /** The signal that says nothing more is to begin. */
  #ended: number | undefined

  constructor(context: CliContext, system: System, spec: RunSpec, chosen: Chosen) {
    this.#context = context
    this.#system = system
    this.#spec = spec
    this.#machines = chosen.machines
    this.#lastSeen = chosen.lastSeen
  }

  async run(): Promise<readonly Outcome[]> {
    using _signals = this.#forwardSignals()
    const outcomes: Outcome[] = []
    const queue = this.#machines.entries()
    const work = async () => {
      for (const [index, machine] of queue) outcomes.push(await this.#on(machine, index))
    }
    const over = new AbortController()
    const looking = this.#giveUpSilent(over.signal)
    await Promise.all(Array.from({ length: inFlightMax }, work))
    over.abort()
    await looking
    return outcomes
  }

  async #giveUpSilent(signal: AbortSignal): Promise<void> {
    const { clock } = this.#context
    while (!signal.aborted) {
      await sleep(clock, limits.fanOutMs, signal).catch(() => undefined)
      if (signal.aborted || this.#beginning.size === 0) continue
      using limit = deadline(clock, limits.fanOutMs, signal)
      // Who cannot be told of is waited for as before.
      const { machines } = await this.#system.machines(limit).catch(() => ({ machines: [] }))
      for (const { name, status } of machines) {
        if (status === 'up') continue
        const why = new HolonError('unavailable', `${name} is silent`, { outcome: 'unknown' })
        this.#beginning.get(name)?.abort(why)
      }
    }
  }

  async #on(machine: string, index: number): Promise<Outcome> {
    if (this.#ended !== undefined) return { kind: 'not-started', machine, signal: this.#ended }
    // An attached program begins when its stdio is there; a detached one at once.
    let mayRun = this.#spec.detached
    const silent = new AbortController()
    this.#beginning.set(machine, silent)
    try {
      using timeout = this.#context.deadline(startTimeoutMs)
      const timeoutMs = remainingMs(timeout.signal) ?? startTimeoutMs
      using limit = deadline(this.#context.clock, timeoutMs, silent.signal)
      const part = await this.#system.part(machine, limit)
      const run = await part.run(this.#spec, limit)
      if (this.#spec.detached) {
        const { id } = await run.info(limit)
        this.#context.stdout.write(`${machine} ${id}\n`)
        return { kind: 'started', machine, id }
      }
      const address = await run.address(limit)
      mayRun = true
      const stdio = await openStdio(address, { stdin: false }, limit)
      this.#beginning.delete(machine)
      return await this.#follow(machine, index, stdio)
    } catch (thrown) {
      const error = asHolonError(thrown)
      if (error.outcome === 'unknown' && mayRun) return { kind: 'lost', machine, error }
      if (error.code === 'unavailable' || error.code === 'deadline_exceeded') {
        const lastSeenAtMs = this.#lastSeen.get(machine)
        const seen = lastSeenAtMs === undefined ? {} : { lastSeenAtMs }
        return { kind: 'missing', machine, missing: { machine, code: error.code, ...seen } }
      }
      return { kind: 'refused', machine, error }
    } finally {
      this.#beginning.delete(machine)
    }
  }

  /** Until the program has ended and all of its output is written here. */
  async #follow(machine: string, index: number, stdio: Stdio): Promise<Outcome> {
    const startMs = this.#context.clock.nowMs()
    this.#live.add(stdio)
    try {
      if (this.#ended !== undefined) stdio.signal(this.#ended)
      const outputs = (['stdout', 'stderr'] as const).map((name) =>
        this.#pump(machine, index, stdio, name),
      )
      const [exit] = await Promise.all([
        stdio.exit.catch((error: unknown) => asHolonError(error)),
        ...outputs,
      ])
      if (exit instanceof HolonError) return { kind: 'lost', machine, error: exit }
      const { timeoutMs } = this.#spec
      const took = this.#context.clock.nowMs() - startMs
      const timedOut = timeoutMs !== undefined && exit.signal !== undefined && took >= timeoutMs
      return { kind: 'ended', machine, exit, timedOut }
    } finally {
      this.#live.delete(stdio)
      stdio[Symbol.dispose]()
    }
  }

  async #pump(machine: string, index: number, stdio: Stdio, name: OutputName): Promise<void> {
    const target = name === 'stdout' ? this.#context.stdout : this.#context.stderr
    const lines = new LinePrefixer(this.#prefixes(machine, index, target))
    await stdio.pumpTo(name, (bytes, done) => {
      const whole = lines.push(bytes)
      if (whole.length === 0) done()
      else target.write(whole, done)
    })
    await written(target, lines.end())
  }

  #prefixes(machine: string, index: number, target: NodeJS.WriteStream) {
    const widest = Math.max(...this.#machines.map((name) => name.length))
    const name = machine.padEnd(widest)
    const paint = colour(this.#context, target, index)
    return { line: `${paint(`${name} |`)} `, rest: `${paint(`${name} +`)} ` }
  }

  #forwardSignals(): Disposable {
    const handlers = forwarded.map((name) => {
      const number = signalNumbers[name] ?? 0
      const handler = () => {
        if (ending.has(name)) this.#ended = number
        for (const stdio of this.#live) stdio.signal(number)
      }
      process.on(name, handler)
      return [name, handler] as const
    })
    return {
      [Symbol.dispose]: () => {
        for (const [name, handler] of handlers) process.off(name, handler)
      },
    }
  }
}

/** Not red, which other commands have for stderr and failures. */
const colours = [36, 33, 32, 35, 34, 96, 93, 92, 95, 94] as const

function colour(context: CliContext, target: NodeJS.WriteStream, index: number) {
  const code = colours[index % colours.length]
  if (target.isTTY !== true || context.env['NO_COLOR']) return (text: string) => text
  return (text: string) => `\u001b[${code}m${text}\u001b[0m`
}

function written(target: Writable, bytes: Buffer): Promise<void> {
  if (bytes.length === 0) return Promise.resolve()
  // An end of the reader is dealt with where stdout is looked after; here it is only over.
  return new Promise((resolve) => target.write(bytes, () => resolve()))
}
