/**
 * A .timer file → a loaded timer, or the list of what is refused, each with file and line. As with
 * services, all problems are reported at once, and nothing is dropped silently.
 */
import { type CalendarSpec, formatCalendar } from './calendar.ts'
import { parseCalendar } from './calendar-parse.ts'
import { findDirective, isList } from './directives.ts'
import {
  inOrder,
  type JudgedLine,
  judgeLines,
  type Outcome,
  parseUnit,
  refusedLines,
  sectionProblems,
  type UnitInput,
  type UnitNote,
} from './load.ts'
import type { DirectiveLine, ParsedUnitFile, UnitProblem } from './parse.ts'
import { unitNameError, unitStem } from './unit-name.ts'
import { bad, ok, type Parsed, parseBoolean, parseChoice, parseDuration } from './values.ts'

/**
 * From when a span counts: when the timer was started, when its unit was last started, or when the
 * unit last ended.
 */
export type SpanBase = 'timer' | 'unit-active' | 'unit-inactive'

export interface TimerSpan {
  readonly base: SpanBase
  readonly spanMs: number
}

export const missedPolicies = ['run-once', 'skip', 'run-all'] as const
/** What becomes of elapses of calendars that nobody could act on: made up for once, not, each. */
export type MissedPolicy = (typeof missedPolicies)[number]

export const overlapPolicies = ['queue', 'skip', 'allow'] as const
/**
 * What becomes of elapses while the unit runs: one start when it has ended (as systemd does), none,
 * or a start at once.
 */
export type OverlapPolicy = (typeof overlapPolicies)[number]

export interface TimerUnit {
  /** "backup.timer". */
  readonly name: string
  readonly description: string
  readonly documentation: readonly string[]
  /** The service it starts: "backup.service". */
  readonly unit: string
  readonly calendars: readonly CalendarSpec[]
  readonly spans: readonly TimerSpan[]
  /** Elapses of calendars count that came while the timer was stopped. */
  readonly persistent: boolean
  /** 0 for none. */
  readonly randomizedDelayMs: number
  /** The same random delay each time. */
  readonly fixedRandomDelay: boolean
  /** How late a start may be. */
  readonly accuracyMs: number
  /** Stays started once it cannot elapse again. */
  readonly remainAfterElapse: boolean
  readonly onMissed: MissedPolicy
  readonly overlap: OverlapPolicy
}

export type LoadedTimer =
  | {
      readonly kind: 'loaded'
      readonly unit: TimerUnit
      readonly notes: readonly UnitNote[]
    }
  | { readonly kind: 'refused'; readonly problems: readonly UnitProblem[] }

/** Whether `name` is loaded here, and not by loadUnit(). */
export function isTimerName(name: string): boolean {
  return name.endsWith('.timer')
}

/** The verdict of the table and of the value, for every line of a file: what `verify` lists. */
export function judgeTimer(input: UnitInput): {
  readonly lines: readonly JudgedLine[]
  readonly problems: readonly UnitProblem[]
} {
  const parsed = parseUnit(input)
  return { lines: judgeAll(parsed).lines, problems: parsed.problems }
}

export function loadTimer(input: UnitInput): LoadedTimer {
  const file = input.sourcePath ?? input.name
  const nameProblem = unitNameError(input.name, 'timer')
  if (nameProblem !== undefined) {
    return { kind: 'refused', problems: [{ file, line: 1, message: nameProblem }] }
  }
  const parsed = parseUnit(input)
  const { timer, lines, notes } = judgeAll(parsed)
  const problems: UnitProblem[] = [
    ...parsed.problems,
    ...sectionProblems(file, parsed, 'timer', 'Timer'),
    ...refusedLines(lines),
  ]
  if (problems.length === 0) problems.push(...contradictions(file, parsed, timer))
  if (problems.length > 0) return { kind: 'refused', problems: inOrder(problems, parsed) }
  return { kind: 'loaded', unit: makeTimer(input.name, timer), notes }
}

interface TimerSettings {
  description?: string | undefined
  documentation: string[]
  calendars: CalendarSpec[]
  spans: TimerSpan[]
  unit?: string
  persistent?: boolean
  randomizedDelayMs?: number
  fixedRandomDelay?: boolean
  accuracyMs?: number
  deferReactivation?: boolean
  remainAfterElapse?: boolean
  onMissed?: MissedPolicy
  overlap?: OverlapPolicy
}

function judgeAll(parsed: ParsedUnitFile) {
  const timer: TimerSettings = { documentation: [], calendars: [], spans: [] }
  return { timer, ...judgeLines(parsed, 'timer', (line) => applyLine(timer, line)) }
}

function applyLine(timer: TimerSettings, line: DirectiveLine): Outcome {
  const handler = handlers[line.name]
  if (handler === undefined) {
    return bad(
      // The rest of [Unit] is about how a service is started, and where.
      line.section === 'Unit'
        ? 'it would have no effect in a .timer file: put it into the service'
        : 'this directive has no handler',
    )
  }
  const kind = findDirective(line.section, line.name, 'timer')?.kind ?? 'text'
  if (line.value === '' && !isList(kind) && line.name !== 'Description') {
    return bad('the value is empty')
  }
  return handler(timer, line.value)
}

const spanBases: Readonly<Record<string, SpanBase>> = {
  OnActiveSec: 'timer',
  OnBootSec: 'timer',
  OnStartupSec: 'timer',
  OnUnitActiveSec: 'unit-active',
  OnUnitInactiveSec: 'unit-inactive',
}

type Handler = (timer: TimerSettings, value: string) => Outcome

const handlers: Readonly<Record<string, Handler>> = {
  Description: (timer, value) => {
    timer.description = value === '' ? undefined : value
    return ok([])
  },
  Documentation: (timer, value) => {
    if (value === '') timer.documentation = []
    else timer.documentation.push(...value.split(/[ \t]+/))
    return ok([])
  },
  OnCalendar: (timer, value) => {
    if (value === '') return resetTriggers(timer)
    return store(parseCalendar(value), (calendar) => timer.calendars.push(calendar))
  },
  ...Object.fromEntries(
    Object.entries(spanBases).map(([name, base]): [string, Handler] => [
      name,
      (timer, value) => {
        if (value === '') return resetTriggers(timer)
        return store(parseSpan(value, base), (span) => timer.spans.push(span))
      },
    ]),
  ),
  Unit: (timer, value) =>
    store(parseService(value), (unit) => {
      timer.unit = unit
    }),
  Persistent: (timer, value) =>
    store(parseBoolean(value), (persistent) => {
      timer.persistent = persistent
    }),
  RandomizedDelaySec: (timer, value) =>
    store(parseDuration(value), (ms) => {
      timer.randomizedDelayMs = ms
    }),
  FixedRandomDelay: (timer, value) =>
    store(parseBoolean(value), (fixed) => {
      timer.fixedRandomDelay = fixed
    }),
  AccuracySec: (timer, value) =>
    store(parseDuration(value), (ms) => {
      timer.accuracyMs = ms
    }),
  DeferReactivation: (timer, value) =>
    store(parseBoolean(value), (defer) => {
      timer.deferReactivation = defer
    }),
  RemainAfterElapse: (timer, value) =>
    store(parseBoolean(value), (remain) => {
      timer.remainAfterElapse = remain
    }),
  OnMissed: (timer, value) =>
    store(parseChoice(value, missedPolicies), (policy) => {
      timer.onMissed = policy
    }),
  Overlap: (timer, value) =>
    store(parseChoice(value, overlapPolicies), (policy) => {
      timer.overlap = policy
    }),
}

// As with systemd, an empty one of any kind resets all of them, calendars and spans.
function resetTriggers(timer: TimerSettings): Outcome {
  timer.calendars = []
  timer.spans = []
  return ok([])
}

function store<T>(parsed: Parsed<T>, set: (value: T) => void): Outcome {
  if (parsed.kind === 'bad') return parsed
  set(parsed.value)
  return ok([])
}

function parseSpan(text: string, base: SpanBase): Parsed<TimerSpan> {
  const parsed = parseDuration(text)
  if (parsed.kind === 'bad') return parsed
  if (parsed.value === 0 && base !== 'timer') {
    return bad('0 would start the unit again and again without a pause')
  }
  return ok({ base, spanMs: parsed.value })
}

function parseService(name: string): Parsed<string> {
  const problem = unitNameError(name)
  return problem === undefined ? ok(name) : bad(problem)
}

function contradictions(
  file: string,
  parsed: ParsedUnitFile,
  timer: TimerSettings,
): readonly UnitProblem[] {
  const header = parsed.sections.find(({ section }) => section === 'Timer')
  const at = (directive: string, message: string): UnitProblem => {
    const line = parsed.directives.findLast(({ name }) => name === directive) ?? header
    return { file: line?.file ?? file, line: line?.line ?? 1, directive, message }
  }
  const problems: UnitProblem[] = []
  if (timer.calendars.length === 0 && timer.spans.length === 0) {
    problems.push(at('OnCalendar', 'the timer needs one, or one of On…Sec=, to elapse at all'))
  }
  const deferred = timer.deferReactivation === true
  if (deferred && timer.overlap !== undefined && timer.overlap !== 'skip') {
    problems.push(at('Overlap', `${timer.overlap} contradicts DeferReactivation=yes`))
  }
  if (timer.onMissed === 'run-all' && overlapOf(timer) === 'skip') {
    const why = deferred ? 'DeferReactivation=yes' : 'Overlap=skip'
    problems.push(at('OnMissed', `with ${why} only the first of those missed would be run`))
  }
  return problems
}

function overlapOf(timer: TimerSettings): OverlapPolicy {
  return timer.overlap ?? (timer.deferReactivation === true ? 'skip' : 'queue')
}

function makeTimer(name: string, timer: TimerSettings): TimerUnit {
  const persistent = timer.persistent ?? false
  // The same calendar twice is one: it elapses once.
  const calendars = new Map(timer.calendars.map((spec) => [formatCalendar(spec), spec]))
  return {
    name,
    description: timer.description ?? name,
    documentation: timer.documentation,
    unit: timer.unit ?? `${unitStem(name)}.service`,
    calendars: [...calendars.values()],
    spans: timer.spans,
    persistent,
    randomizedDelayMs: timer.randomizedDelayMs ?? 0,
    fixedRandomDelay: timer.fixedRandomDelay ?? false,
    accuracyMs: timer.accuracyMs ?? 60_000,
    remainAfterElapse: timer.remainAfterElapse ?? true,
    onMissed: timer.onMissed ?? (persistent ? 'run-once' : 'skip'),
    overlap: overlapOf(timer),
  }
}
