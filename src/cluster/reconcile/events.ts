/**
 * What was decided about all units, and seen of machines, as one list by time: the records of
 * DecisionLog, read a page at a time. A cursor holds the revision of State that was read up to and,
 * for each unit, which of its decisions was the last one read: a change of a record then shows what
 * is new in it.
 *
 * State lists all at first; from then on its watch tells what changed. A decision is shown once;
 * one is left out only when `limits.decisionsMax` others about its unit were recorded since the last
 * page, or `limits.eventsPageMax` about all.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Decision, EventPage, EventQuery, FleetEvent } from '../../kernel/decisions.ts'
import { patiently } from '../../state/commit.ts'
import type { Entry, Listing, SignalOptions, State } from '../../state/port.ts'
import { isJsonObject, stringMapField } from '../fields.ts'
import { machinesWhyKey, parseDecisions, whyKey, whyPrefix } from './decision-log.ts'

interface Position {
  readonly revision: number
  /** By what they are about, which decision was the last one read. */
  readonly marks: Readonly<Record<string, string>>
}

/** How long a state that does not answer is asked again. */
const patienceMs = 6_000

/** `unit` in the query is a full name. */
export async function readEvents(
  clock: Clock,
  state: State,
  query: EventQuery,
  { signal }: SignalOptions,
): Promise<EventPage> {
  const { unit, about, tail = limits.eventsPageMax, cursor, waitMs } = query
  const only = about !== undefined ? machinesWhyKey : unit && whyKey(unit)
  const prefix = only ?? whyPrefix
  const from = cursor === undefined ? undefined : decodeCursor(cursor)
  const changes = from && (await changesSince(clock, state, prefix, from.revision, waitMs, signal))
  const list = () => state.list(prefix, { signal })
  const { entries, revision } = changes ?? (await patiently(clock, patienceMs, signal, list))
  const concerned = entries.filter(({ key }) => only === undefined || key === only)
  const { events: all, marks } = unread(concerned, from?.marks ?? {})
  const events = about === undefined ? all : all.filter((event) => event.about === about)
  const bound = from === undefined ? Math.min(tail, limits.eventsPageMax) : limits.eventsPageMax
  return {
    events: events.slice(Math.max(0, events.length - bound)),
    cursor: encodeCursor({ revision, marks }),
  }
}

/** What changed, as of a revision; undefined when the watch cannot tell. */
async function changesSince(
  clock: Clock,
  state: State,
  prefix: string,
  from: number,
  waitMs: number | undefined,
  signal: AbortSignal,
): Promise<Listing | undefined> {
  const newest = new Map<string, Entry>()
  let revision = from
  let complete = false
  using waiting = waitMs === undefined ? undefined : deadline(clock, waitMs, signal)
  const until = waiting?.signal ?? signal
  try {
    for await (const event of state.watch(prefix, from, { signal: until })) {
      if (event.kind === 'reset') return undefined
      // Only this says that nothing before is still to come.
      if (event.kind === 'synced') revision = Math.max(revision, event.revision)
      complete ||= event.kind === 'synced'
      if (event.kind === 'put' && event.revision > (newest.get(event.key)?.revision ?? 0)) {
        newest.set(event.key, event.entry)
      }
      if (complete && (newest.size > 0 || waitMs === undefined)) break
    }
  } catch (error) {
    if (signal.aborted || !until.aborted) throw error
  }
  return { entries: [...newest.values()], revision }
}

function unread(entries: readonly Entry[], before: Position['marks']) {
  const marks: Record<string, string> = { ...before }
  const events: FleetEvent[] = []
  for (const { key, value } of entries) {
    const subject = key.slice(whyPrefix.length)
    const decisions = parseDecisions(value)
    const read = decisions.findLastIndex((each) => markOf(each) === before[subject])
    const unit = key === machinesWhyKey ? {} : { unit: subject }
    for (const decision of decisions.slice(read + 1)) events.push({ ...unit, ...decision })
    const last = decisions.at(-1)
    if (last !== undefined) marks[subject] = markOf(last)
  }
  return { events: events.sort((a, b) => a.atMs - b.atMs), marks }
}

/** What is recorded together is read together: it does not matter that some of it is alike. */
function markOf({ atMs, machine, instance, about = '' }: Decision): string {
  return `${atMs} ${machine} ${instance ?? about}`
}

function encodeCursor(position: Position): string {
  return Buffer.from(JSON.stringify(position)).toString('base64url')
}

function decodeCursor(cursor: string): Position {
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, 'base64url').toString())
    if (isJsonObject(value)) {
      const { revision } = value
      const marks = stringMapField(value, 'marks')
      if (typeof revision === 'number' && marks !== undefined) return { revision, marks }
    }
  } catch {
    // Not ours.
  }
  throw new HolonError('invalid_argument', `read events: ${JSON.stringify(cursor)} is no cursor`)
}
