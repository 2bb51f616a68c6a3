/** `holon logs UNIT|run/ID`: journalctl's habits for the logs of units and runs. */
import { once } from 'node:events'
import { Command, InvalidArgumentError, Option } from 'commander'
import { HolonError } from '../../../base/errors.ts'
import type { System } from '../../../kernel/kernel.ts'
import type { LogEntry, LogPage, LogQuery } from '../../../kernel/log-types.ts'
import type { CallOptions } from '../../../kernel/types.ts'
import type { CliContext } from '../context.ts'
import { type LogFormat, LogRenderer, logFormats } from '../log-format.ts'
import { parseLogTime } from '../log-time.ts'
import { reportMissing } from '../missing.ts'
import { followWaitMs, PageReader } from '../page-reader.ts'
import { bytes, isoTime } from '../time.ts'
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
  const reader: LogReader = new PageReader(context, async (system, signal) => {
    const readable = await findReadable(system, target, signal)
    return (page, callOptions) => readable.logs(page, callOptions)
  })
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

/**
 * Tells of machines whose part of the log is not shown, or is from a copy: each once, and again
 * after it was back.
 */
class Absent {
  readonly #context: CliContext
  #told: ReadonlySet<string> = new Set()
  #toldCopies: ReadonlySet<string> = new Set()

  constructor(context: CliContext) {
    this.#context = context
  }

  tell({ missing, copies = [] }: LogPage): void {
    reportMissing(
      this.#context,
      missing.filter(({ machine }) => !this.#told.has(machine)),
    )
    this.#told = new Set(missing.map(({ machine }) => machine))
    for (const { machine, endsAtMs } of copies) {
      if (this.#toldCopies.has(machine)) continue
      const end = isoTime(endsAtMs)
      this.#context.stderr.write(
        `holon: lines of ${machine} come from a copy that ends at ${end}\n`,
      )
    }
    this.#toldCopies = new Set(copies.map(({ machine }) => machine))
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

type LogReader = PageReader<LogQuery, LogPage>

interface Readable {
  readonly logs: (query: LogQuery, options: CallOptions) => Promise<LogPage>
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
