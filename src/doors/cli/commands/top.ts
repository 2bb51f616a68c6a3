/**
 * `holon top`: the busiest processes of all machines, live in the terminal or as text for a pipe.
 */
import { Command, InvalidArgumentError, Option } from 'commander'
import { sleep } from '../../../base/clock.ts'
import { asHolonError, HolonError } from '../../../base/errors.ts'
import { localTime } from '../../../io/proc-time.ts'
import type { ProcessListing } from '../../../kernel/types.ts'
import { allProcesses } from '../../sdk/all-pages.ts'
import type { CliContext } from '../context.ts'
import { fanOutLimit, missingExitStatus } from '../missing.ts'
import { FullScreen } from '../ps/full-screen.ts'
import type { PidRef } from '../ps/select.ts'
import {
  decodeKeys,
  pressKey,
  type TopEffect,
  type TopSort,
  type TopState,
  topSorts,
} from '../ps/top-keys.ts'
import { sample, type TopSample } from '../ps/top-sample.ts'
import { topFrame } from '../ps/top-screen.ts'

interface TopOptions {
  readonly batch?: boolean
  readonly iterations?: number
  readonly delay: number
  readonly sort: TopSort
  readonly user?: string
  readonly full?: boolean
  readonly width?: number
}

const delayDefaultS = 1.5
const delayMinS = 0.1
/** The first shares are shown after this, not after a whole delay. */
const firstDelayMs = 500

export function command(context: CliContext): Command {
  const number = (least: number) => (text: string) => {
    const value = Number(text)
    if (text.trim() !== '' && value >= least && Number.isFinite(value)) return value
    throw new InvalidArgumentError(`a number of ${least} or more is expected.`)
  }
  return new Command('top')
    .description(
      'Shows the busiest processes of all machines, again and again. `h` lists its keys.',
    )
    .helpOption('--help', 'show this')
    .option('-b, --batch', 'print text instead of filling the screen')
    .option('-n, --iterations <count>', 'end after so many', number(1))
    .option('-d, --delay <seconds>', 'time between two', number(delayMinS), delayDefaultS)
    .addOption(
      new Option('-o, --sort <by>', 'order')
        .choices([...topSorts])
        .default('cpu' satisfies TopSort),
    )
    .option('-u, --user <user>', 'only this user, by name or number')
    .option('-c, --full', 'command lines instead of names')
    .option('-w, --width <cells>', 'length of a line with -b', number(1))
    .action(async (options: TopOptions) => {
      if (options.batch) return runBatch(context, options)
      if (!context.stdout.isTTY || !context.stdin.isTTY) {
        throw new HolonError('unsupported', 'top needs a terminal; `holon top -b` prints text')
      }
      return new LiveTop(context, options).run()
    })
}

function firstState(options: TopOptions): TopState {
  return {
    sort: options.sort,
    reversed: false,
    fullCommand: options.full === true,
    scroll: 0,
    help: false,
    ...(options.user === undefined ? {} : { user: options.user }),
  }
}

async function fetchListing(context: CliContext, args: boolean): Promise<ProcessListing> {
  using limit = fanOutLimit(context)
  const { signal, fanOutMs } = limit
  return await allProcesses(await context.system(), { args, fanOutMs }, { signal })
}

async function runBatch(context: CliContext, options: TopOptions): Promise<void> {
  const state = firstState(options)
  const forever = new AbortController().signal
  const size = {
    rows: Number.POSITIVE_INFINITY,
    columns: options.width ?? Number.POSITIVE_INFINITY,
  }
  const delayMs = options.delay * 1000
  let before = await fetchListing(context, state.fullCommand)
  for (let done = 0; done < (options.iterations ?? Number.POSITIVE_INFINITY); done += 1) {
    await sleep(context.clock, done === 0 ? Math.min(firstDelayMs, delayMs) : delayMs, forever)
    const now = await fetchListing(context, state.fullCommand)
    const time = localTime(context.clock.wallMs())
    const { lines } = topFrame(sample(now, before), state, time, size)
    context.stdout.write(`${done === 0 ? '' : '\n'}${lines.join('\n')}\n`)
    if (now.missing.length > 0) context.setExit(missingExitStatus)
    before = now
  }
}

/** One run of the live screen. */
class LiveTop {
  readonly #context: CliContext
  readonly #options: TopOptions
  #state: TopState
  #page = 0
  #before: ProcessListing | undefined
  #listing: ProcessListing | undefined
  #sample: TopSample | undefined
  #screen: FullScreen | undefined
  #trouble: string | undefined
  #ended = false
  #wake: () => void = () => {}

  constructor(context: CliContext, options: TopOptions) {
    this.#context = context
    this.#options = options
    this.#state = firstState(options)
  }

  async run(): Promise<void> {
    // The first reading comes before the screen is taken: its failure is an ordinary error.
    await this.#read()
    using screen = new FullScreen(this.#context.stdin, this.#context.stdout, {
      onInput: (text) => this.#onInput(text),
      onRedraw: () => this.#draw(),
      onHangUp: () => this.#end(),
    })
    this.#screen = screen
    this.#draw()
    const delayMs = this.#options.delay * 1000
    let count = 1
    await this.#pause(Math.min(firstDelayMs, delayMs))
    while (!this.#ended) {
      await this.#readOrSay()
      this.#draw()
      count += 1
      if (count > (this.#options.iterations ?? Number.POSITIVE_INFINITY)) break
      await this.#pause(delayMs)
    }
  }

  async #read(): Promise<void> {
    const listing = await fetchListing(this.#context, this.#state.fullCommand)
    this.#before = this.#listing
    this.#listing = listing
    this.#sample = sample(listing, this.#before)
  }

  /** The agent may restart while we watch: what is shown stays, with a word about it. */
  async #readOrSay(): Promise<void> {
    const { message, ...state } = this.#state
    try {
      await this.#read()
      if (message !== undefined && message === this.#trouble) this.#state = state
    } catch (error) {
      this.#trouble = `${asHolonError(error).message}; trying again`
      this.#state = { ...this.#state, message: this.#trouble }
    }
  }

  #draw(): void {
    if (this.#sample === undefined || this.#screen === undefined || this.#ended) return
    const time = localTime(this.#context.clock.wallMs())
    const frame = topFrame(this.#sample, this.#state, time, this.#screen.size)
    this.#page = frame.page
    this.#state = { ...this.#state, scroll: frame.scroll }
    this.#screen.draw(frame.lines, frame.header)
  }

  #onInput(text: string): void {
    for (const key of decodeKeys(text)) {
      const step = pressKey(this.#state, key, this.#page)
      this.#state = step.state
      if (step.effect !== undefined) this.#carryOut(step.effect)
    }
    this.#draw()
  }

  #carryOut(effect: TopEffect): void {
    if (effect.kind === 'kill') void this.#kill(effect.target, effect.signal)
    else if (effect.kind === 'quit') this.#end()
    else if (effect.kind === 'suspend') this.#screen?.suspend()
    else this.#wake()
  }

  async #kill(target: PidRef, signal: number): Promise<void> {
    let message: string
    try {
      // Only what is on the screen: its start time keeps a reused pid from being hit.
      const rows = (this.#listing?.processes ?? []).filter(
        (row) => row.pid === target.pid && (target.machine ?? row.machine) === row.machine,
      )
      const [row] = rows
      if (row === undefined) throw new HolonError('not_found', `there is no process ${target.pid}`)
      if (rows.length > 1) {
        throw new HolonError('invalid_argument', `several machines have one; say n1:${target.pid}`)
      }
      using limit = this.#context.deadline()
      const options = { signal: limit.signal }
      const { machine, pid, startTicks } = row
      const system = await this.#context.system()
      const process = await system.process({ machine, pid, startTicks }, options)
      await process.signal(signal, options)
      message = `sent signal ${signal} to ${machine}:${pid}`
    } catch (error) {
      message = asHolonError(error).message
    }
    this.#state = { ...this.#state, message }
    this.#wake()
    this.#draw()
  }

  #end(): void {
    this.#ended = true
    this.#wake()
  }

  /** Until the delay is over, a key asks for more, or the end. */
  #pause(delayMs: number): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      const timer = this.#context.clock.timer(delayMs, resolve)
      this.#wake = () => {
        timer[Symbol.dispose]()
        resolve()
      }
    })
  }
}
