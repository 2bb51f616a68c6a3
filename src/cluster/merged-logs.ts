/**
 * One log put together from the logs of several machines, by time. Clocks differ between machines:
 * lines of one machine keep their order, between machines it is that of their clocks.
 *
 * A machine that does not answer is read from the copy that a peer has of its log, if there is one.
 * Positions mean the same in both, so that a cursor is good for either: no line comes twice.
 *
 * A page ends where the first of the sources that has more to say ended (the horizon): beyond it
 * another line of that source could still come first. What others said beyond it is read again with
 * the next page; the cursor holds each source's own.
 */
import { abortError, type Clock, deadline, sleep, withSignal } from '../base/clock.ts'
import { asHolonError, type ErrorCode, HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { LogEntry, LogPage, LogQuery } from '../kernel/log-types.ts'
import type { CallOptions, MissingMachine } from '../kernel/types.ts'
import { isJsonObject, stringField } from './fields.ts'

export interface LogReading {
  readonly machine: string
  /** Names it in cursors. */
  readonly key: string
  readonly read: (query: LogQuery, options: CallOptions) => Promise<LogPage>
  /** It is a copy, which ends there. */
  readonly endsAtMs?: number
  /** What is read when it does not answer. */
  readonly copy?: LogReading | undefined
}

const silencePauseMs = 1_000

type Cursors = Readonly<Record<string, string>>

/** `missing`: machines known to be missing already; those that fail now are added. */
export async function mergedLogs(
  clock: Clock,
  sources: readonly LogReading[],
  missing: readonly MissingMachine[],
  query: LogQuery,
  { signal }: CallOptions,
): Promise<LogPage> {
  const cursors = decodeCursors(query.cursor)
  const { waitMs, ...now } = query
  const first = await readAll(clock, sources, cursors, sources.length > 1 ? now : query, signal)
  const quiet = first.pages.every(({ page }) => page.entries.length === 0 && page.atEnd)
  const waits = quiet && waitMs !== undefined && sources.length > 1
  const read = waits ? await waitForAny(clock, sources, cursors, query, signal) : first
  if (read.pages.length === 0 && waitMs !== undefined) {
    // Nobody answers, and who waits for news asks again at once.
    await sleep(clock, Math.min(waitMs, silencePauseMs), signal)
  }
  return merge(read.pages, [...missing, ...read.missing], query, cursors, signal)
}

interface PageOf {
  readonly source: LogReading
  readonly page: LogPage
}

interface Read {
  readonly pages: readonly PageOf[]
  readonly missing: readonly MissingMachine[]
}

async function readAll(
  clock: Clock,
  sources: readonly LogReading[],
  cursors: Cursors,
  query: LogQuery,
  signal: AbortSignal,
): Promise<Read> {
  const pages: PageOf[] = []
  const missing: MissingMachine[] = []
  const one = async (source: LogReading): Promise<PageOf> => {
    using limit = deadline(clock, (query.waitMs ?? 0) + limits.fanOutMs, signal)
    return { source, page: await source.read(partOf(query, cursors, source), limit) }
  }
  await Promise.all(
    sources.map(async (source) => {
      try {
        const copy = source.copy
        pages.push(
          await one(source).catch((error: unknown) => {
            if (copy === undefined || !isSilence(asHolonError(error).code)) throw error
            return one(copy).catch(() => Promise.reject(error))
          }),
        )
      } catch (thrown) {
        const error = asHolonError(thrown)
        // Of one machine its error is the answer.
        if (sources.length === 1 && !isSilence(error.code)) throw error
        missing.push({ machine: source.machine, code: error.code })
      }
    }),
  )
  if (signal.aborted) throw abortError(signal)
  return { pages, missing }
}

/** The machine does not answer; other codes are what it answers. */
export function isSilence(code: ErrorCode): boolean {
  return code === 'unavailable' || code === 'deadline_exceeded' || code === 'cancelled'
}

/** Until one of them has something to say; the others are asked what they have by then. */
async function waitForAny(
  clock: Clock,
  sources: readonly LogReading[],
  cursors: Cursors,
  query: LogQuery,
  signal: AbortSignal,
): Promise<Read> {
  const waitMs = query.waitMs ?? 0
  using waiting = deadline(clock, waitMs + limits.fanOutMs, signal)
  const stop = new AbortController()
  waiting.signal.addEventListener('abort', () => stop.abort(waiting.signal.reason), { once: true })
  const said = sources.map(async (source) => {
    const page = await source.read(partOf(query, cursors, source), { signal: stop.signal })
    // An empty page of one is no reason to stop waiting for the others.
    if (page.entries.length === 0) throw new HolonError('not_found', 'nothing was said')
  })
  try {
    await withSignal(Promise.any(said), waiting.signal)
  } catch (error) {
    if (signal.aborted) throw error
    // Nobody said anything in time.
  } finally {
    stop.abort(new HolonError('cancelled', 'another machine has said something'))
  }
  const { waitMs: _, ...now } = query
  return readAll(clock, sources, cursors, now, signal)
}

function partOf(query: LogQuery, cursors: Cursors, { key }: LogReading): LogQuery {
  const { cursor: _, ...rest } = query
  const own = cursors[key]
  return own === undefined ? rest : { ...rest, cursor: own }
}

async function merge(
  pages: readonly PageOf[],
  missing: readonly MissingMachine[],
  query: LogQuery,
  cursors: Cursors,
  signal: AbortSignal,
): Promise<LogPage> {
  const horizonMs = Math.min(
    ...pages.filter(({ page }) => !page.atEnd).map(({ page }) => lastAtMs(page)),
  )
  const within = await Promise.all(
    pages.map(({ source, page }) => {
      if (lastAtMs(page) <= horizonMs) return { source, page }
      const part = { ...partOf(query, cursors, source), untilMs: horizonMs }
      return source.read(part, { signal }).then((shorter) => ({ source, page: shorter }))
    }),
  )
  const copies = within.flatMap(({ source: { machine, endsAtMs } }) =>
    endsAtMs === undefined ? [] : [{ machine, endsAtMs }],
  )
  const entries = byTime(within.map(({ page }) => page.entries))
  const next: Record<string, string> = { ...cursors }
  for (const { source, page } of within) next[source.key] = page.cursor
  return {
    entries: query.cursor === undefined ? lastOf(entries, query.tail) : entries,
    cursor: Buffer.from(JSON.stringify(next)).toString('base64url'),
    atEnd: pages.every(({ page }) => page.atEnd),
    missing: [...missing, ...within.flatMap(({ page }) => page.missing)],
    ...(copies.length === 0 ? {} : { copies }),
  }
}

function lastAtMs(page: LogPage): number {
  return page.entries.at(-1)?.atMs ?? 0
}

/** Stable: of lines of one time, those of the earlier source come first. */
function byTime(lists: readonly (readonly LogEntry[])[]): readonly LogEntry[] {
  return lists.flat().sort((a, b) => a.atMs - b.atMs)
}

function lastOf(entries: readonly LogEntry[], tail: number | undefined): readonly LogEntry[] {
  return tail === undefined ? entries : entries.slice(Math.max(0, entries.length - tail))
}

function decodeCursors(cursor: string | undefined): Cursors {
  if (cursor === undefined) return {}
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (isJsonObject(value)) {
      const machines = Object.keys(value)
      const cursors = machines.map((machine) => [machine, stringField(value, machine)] as const)
      if (cursors.every(([, own]) => own !== undefined)) return value as Cursors
    }
  } catch {
    // Not ours.
  }
  throw new HolonError('invalid_argument', `read logs: ${JSON.stringify(cursor)} is no cursor`)
}
