/** `holon logs UNIT|run/ID`: journalctl's habits for the logs of units and runs. */
import { once } from 'node:events'
import { Command, InvalidArgumentError, Option } from 'commander'
import { deadline, sleep } from '../../../base/clock.ts'
import { HolonError } from '../../../base/errors.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { CallOptions, LogEntry, LogPage, LogQuery } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { type LogFormat, LogRenderer, logFormats } from '../log-format.ts'
import { parseLogTime } from '../log-time.ts'
import { reportMissing } from '../missing.ts'
import { bytes } from '../time.ts'
import { resolveUnit } from '../unit-arguments.ts'

interface LogsCommandOptions {
  readonly unit?: string
  readonly follow?: boolean
  readonly lines?: number | 'all'
  readonly since?: string
  readonly until?: string
  readonly reverse?: boolean
  readonly output: LogFormat
  readonly instance?: readonly number[]
  readonly stdout?: boolean
  readonly stderr?: boolean
  readonly hostname: boolean
  readonly diskUsage?: boolean
}

/**
 * How long the agent may hold a call of `-f` open; it answers at once when something is written.
 */
const followWaitMs = 20_000
const callMarginMs = 10_000
const retryFirstMs = 100
const retryMaxMs = 2_000
/** With `-f` alone. */
const followTail = 10

export function command(context: CliContext): Command {
  return new Command('logs')
    .description('Shows the log of a unit, an instance (web.service/2) or a run (run/ID).')
    .argument('[unit]', 'a unit, an instance of one, or a run')
    .option('-u, --unit <unit>', 'the same, as with journalctl')
    .option('-f, --follow', 'go on with what is being written')
    .addOption(
      new Option('-n, --lines [count]', 'only the last so many lines, or "all"')
        .preset('10')
        .argParser(parseLines),
    )
    .option('-S, --since <time>', '"2026-11-22 17:00", "yesterday", "-1h", "10 min ago"')
    .option('-U, --until <time>', 'likewise')
    .option('-r, --reverse', 'the newest first')
    .addOption(
      new Option('-o, --output <format>', 'how to show it').choices(logFormats).default('short'),
    )
    .option('-i, --instance <number>', 'only this instance; may be repeated', collectInstances)
    .option('--stdout', 'only what was written to stdout')
    .option('--stderr', 'only what was written to stderr')
    .option('--no-hostname', 'without the name of the machine')
    .option('--disk-usage', 'bytes of all logs of this system')
    .option('--no-pager', 'accepted for habit: there is no pager')
    .action(async (argument: string | undefined, options: LogsCommandOptions) => {
      if (options.diskUsage === true) return await showUsage(context)
      const target = argument ?? options.unit
      if (target === undefined || (argument !== undefined && options.unit !== undefined)) {
        throw new HolonError(
          'invalid_argument',
          'logs: name one unit or run, as in `holon logs web.service`; `holon list-units` and ' +
            '`holon runs` list them',
        )
      }
      await showLogs(context, target, options)
    })
}

async function showUsage(context: CliContext): Promise<void> {
  using limit = context.deadline()
  const usage = await (await context.system()).logUsage(limit)
  context.stdout.write(`Logs take up ${bytes(usage.bytes)} in ${usage.files} files.\n`)
  reportMissing(context, usage.missing)
}

async function showLogs(context: CliContext, target: string, options: LogsCommandOptions) {
  const follow = options.follow === true
  if (follow && options.reverse === true) {
    throw new HolonError('invalid_argument', 'logs: -f shows what comes, -r shows it backwards')
  }
  const query = makeQuery(context, options)
  const { stdout } = context
  const color = stdout.isTTY === true && !context.env['NO_COLOR']
  const renderer = new LogRenderer({
    format: options.output,
    hostname: options.hostname,
    terminal: stdout.isTTY === true,
    color,
  })
  const reader = new LogReader(context, target)
  await using _ends = reader
  if (options.reverse === true) return await showReversed(context, reader, query, renderer)
  const absent = new Absent(context)
  let position: LogQuery = query
  for (;;) {
    const page = await reader.read(position, { follow })
    await write(context, Buffer.concat(page.entries.map((entry) => renderer.render(entry))))
    absent.tell(page)
    if (page.atEnd && !follow) break
    position = { ...query, cursor: page.cursor, ...(page.atEnd ? { waitMs: followWaitMs } : {}) }
  }
  await write(context, renderer.end())
}

async function showReversed(
  context: CliContext,
  reader: LogReader,
  query: LogQuery,
  renderer: LogRenderer,
): Promise<void> {
  const absent = new Absent(context)
  const entries: LogEntry[] = []
  for (let position = query; ; ) {
    const page = await reader.read(position, { follow: false })
    entries.push(...page.entries)
    absent.tell(page)
    if (page.atEnd) break
    position = { ...query, cursor: page.cursor }
  }
  for (const entry of entries.reverse()) await write(context, renderer.render(entry))
  await write(context, renderer.end())
}

/** Tells of machines whose part of the log is not shown: each once, and again after it was back. */
class Absent {
  readonly #context: CliContext
  #told: ReadonlySet<string> = new Set()

  constructor(context: CliContext) {
    this.#context = context
  }

  tell({ missing }: LogPage): void {
    reportMissing(
      this.#context,
      missing.filter(({ machine }) => !this.#told.has(machine)),
    )
    this.#told = new Set(missing.map(({ machine }) => machine))
  }
}

function makeQuery(context: CliContext, options: LogsCommandOptions): LogQuery {
  const nowMs = context.clock.wallMs()
  const { since, until, instance, stdout, stderr } = options
  const lines = options.lines ?? (options.follow === true ? followTail : 'all')
  const stream = stdout === stderr ? undefined : stdout === true ? 'stdout' : 'stderr'
  return {
    ...(lines === 'all' ? {} : { tail: lines }),
    ...(since === undefined ? {} : { sinceMs: parseLogTime('--since', since, nowMs) }),
    ...(until === undefined ? {} : { untilMs: parseLogTime('--until', until, nowMs) }),
    ...(instance === undefined ? {} : { instances: instance }),
    ...(stream === undefined ? {} : { stream }),
  }
}

/** Waits until it is taken: what is read ahead of a slow terminal or pipe stays bounded. */
async function write({ stdout }: CliContext, chunk: Buffer): Promise<void> {
  if (chunk.length > 0 && !stdout.write(chunk)) await once(stdout, 'drain')
}

interface Readable {
  readonly logs: (query: LogQuery, options: CallOptions) => Promise<LogPage>
}

/** Reads one log over a link that may have to be made anew. */
class LogReader implements AsyncDisposable {
  readonly #context: CliContext
  readonly #target: string
  readonly #links: AsyncDisposable[] = []
  #readable: Promise<Readable> | undefined
  /** Once it has answered, an agent that does not is waited for. */
  #answered = false

  constructor(context: CliContext, target: string) {
    this.#context = context
    this.#target = target
  }

  /** With `follow` the agent may be away for any time: it is waited for, and told of once. */
  async read(query: LogQuery, { follow }: { readonly follow: boolean }): Promise<LogPage> {
    const { clock, stderr } = this.#context
    let retryMs = retryFirstMs
    for (;;) {
      try {
        const page = await this.#call(query)
        this.#answered = true
        if (retryMs > retryFirstMs) stderr.write('holon: the agent answers again\n')
        return page
      } catch (error) {
        if (!follow || !this.#answered || !isAway(error)) throw error
        if (retryMs === retryFirstMs) {
          stderr.write('holon: the agent does not answer; waiting for it\n')
        }
        this.#readable = undefined
        await sleep(clock, retryMs, new AbortController().signal)
        retryMs = Math.min(2 * retryMs, retryMaxMs)
        await this.#reconnect()
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#links.splice(0).map((link) => link[Symbol.asyncDispose]()))
  }

  async #call(query: LogQuery): Promise<LogPage> {
    const { clock } = this.#context
    using limit =
      query.waitMs === undefined
        ? this.#context.deadline()
        : deadline(clock, query.waitMs + callMarginMs)
    this.#readable ??= this.#context
      .system()
      .then((system) => findReadable(system, this.#target, limit.signal))
    return await (await this.#readable).logs(query, limit)
  }

  /** The context's own link stays broken once it is: make one of our own. */
  async #reconnect(): Promise<void> {
    await this[Symbol.asyncDispose]().catch(() => {})
    using limit = this.#context.deadline()
    const found = this.#context.connectAnew(limit.signal).then((link) => {
      this.#links.push(link)
      return findReadable(link.system, this.#target, limit.signal)
    })
    this.#readable = found
    // The next call meets the failure; unheard it would end the process.
    await found.catch(() => {})
  }
}

/** No agent, a broken link, or one that was too slow; all of them pass. */
function isAway(error: unknown): boolean {
  return error instanceof HolonError && (error.retryable || error.code === 'cancelled')
}

async function findReadable(
  system: System,
  target: string,
  signal: AbortSignal,
): Promise<Readable> {
  if (target.startsWith('run/'))
    return readableOf(await system.findRun(target.slice(4), { signal }))
  try {
    const { unit, instance } = await resolveUnit(system, target, { signal, load: false })
    if (instance === undefined) return readableOf(unit)
    return { logs: (query, options) => unit.logs({ ...query, instances: [instance] }, options) }
  } catch (error) {
    if (!(error instanceof HolonError) || error.code !== 'not_found') throw error
    // `holon run -d` prints the bare id of the run.
    const run = await system.findRun(target, { signal }).catch(() => undefined)
    if (run === undefined) throw error
    return readableOf(run)
  }
}

// A plain object: a remote one must not be what a promise resolves to.
function readableOf(remote: Readable): Readable {
  return { logs: (query, options) => remote.logs(query, options) }
}

function parseLines(text: string): number | 'all' {
  if (text === 'all') return text
  if (/^\+?\d+$/.test(text)) return Number(text)
  throw new InvalidArgumentError('a number or "all" is expected.')
}

function collectInstances(text: string, earlier: readonly number[] = []): readonly number[] {
  const numbers = text.split(',').map(Number)
  if (numbers.every((number) => Number.isInteger(number) && number > 0)) {
    return [...earlier, ...numbers]
  }
  throw new InvalidArgumentError('instances are numbers from 1.')
}
