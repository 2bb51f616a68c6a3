/**
 * What a keeper writes down: the line of `state` and the lines of `events` (docs/keeper.md),
 * parsed.
 *
 * A keeper may be killed in the middle of a write, and a newer one may know more kinds and keys:
 * what cannot be read is undefined here and counted by the caller, never an error.
 */
import { signalName } from '../../base/signals.ts'
import type { ExitStatus } from '../../kernel/types.ts'

export const jobPhases = [
  'start-pre',
  'start',
  'start-post',
  'running',
  'reload-notify',
  'exited',
  'stop',
  'stop-sigterm',
  'stop-sigkill',
  'stop-post',
  'final-sigkill',
  'auto-restart',
  'dead',
  'failed',
] as const
export type JobPhase = (typeof jobPhases)[number]

export const jobResults = [
  'success',
  'exit-code',
  'signal',
  'core-dump',
  'timeout',
  'start-limit-hit',
  'oom-kill',
  'resources',
  'protocol',
  'watchdog',
  'lease',
] as const
export type JobResult = (typeof jobResults)[number]

export const jobEventKinds = [
  'start',
  'exit',
  'running',
  'restart',
  'limit',
  'stop',
  'kill',
  'exec-failed',
  'main',
  'notify-ignored',
  'lease-over',
  'end',
] as const
export type JobEventKind = (typeof jobEventKinds)[number]

/** The last known state of a job. Times are wall-clock milliseconds. */
export interface JobState {
  /** Number of the last event. */
  readonly seq: number
  readonly phase: JobPhase
  readonly keeperPid: number
  readonly bootId: string
  /** The main process; 0 when there is none. */
  readonly pid: number
  readonly startTicks: number
  /** When this phase began. */
  readonly sinceMs: number
  /** When the main process was last started; 0 before the first time. */
  readonly startedMs: number
  readonly restarts: number
  readonly result: JobResult
  /** What the job says of itself: STATUS= and ERRNO= of sd_notify(3). */
  readonly statusText?: string
  readonly statusErrno?: number
  /** How the main process ended the last time it did. */
  readonly exit?: ExitStatus
  /** Its resources, where the keeper knows them. */
  readonly rusage?: {
    readonly userUs: number
    readonly systemUs: number
    readonly maxRssKb: number
  }
}

/** Something a keeper did or saw. `fields` are as docs/keeper.md lists them for each kind. */
export interface JobEvent {
  readonly seq: number
  readonly wallMs: number
  /** Milliseconds since boot. */
  readonly bootMs: number
  readonly kind: JobEventKind
  readonly fields: Readonly<Record<string, string>>
}

/** Phases in which nothing of the job runs any more and nothing will. */
export function isFinal(phase: JobPhase): boolean {
  return phase === 'dead' || phase === 'failed'
}

/** Undefined when the line says nothing that can be relied on. */
export function parseState(line: string): JobState | undefined {
  const fields = parseFields(line.trimEnd().split(' '))
  const phase = jobPhases.find((name) => name === fields['phase'])
  const result = jobResults.find((name) => name === fields['result'])
  const number = (key: string) => wholeNumber(fields[key])
  const [seq, keeperPid, pid] = [number('seq'), number('keeper'), number('pid')]
  const bootId = fields['boot']
  if (phase === undefined || result === undefined || bootId === undefined) return undefined
  if (seq === undefined || keeperPid === undefined || pid === undefined) return undefined
  const exit = parseExit(fields)
  const [statusText, statusErrno] = [fields['status'], number('status-errno')]
  const [userUs, systemUs] = [number('user-us'), number('sys-us')]
  return {
    seq,
    phase,
    keeperPid,
    bootId,
    pid,
    startTicks: number('ticks') ?? 0,
    sinceMs: number('since') ?? 0,
    startedMs: number('started') ?? 0,
    restarts: number('restarts') ?? 0,
    result,
    ...(statusText === undefined ? {} : { statusText }),
    ...(statusErrno === undefined ? {} : { statusErrno }),
    ...(exit === undefined ? {} : { exit }),
    ...(userUs === undefined || systemUs === undefined
      ? {}
      : { rusage: { userUs, systemUs, maxRssKb: number('maxrss-kb') ?? 0 } }),
  }
}

/** Undefined for a line that is none, or of a kind that is not known here. */
export function parseEvent(line: string): JobEvent | undefined {
  const [seqText, wallText, bootText, kindText, ...rest] = line.trimEnd().split(' ')
  const [seq, wallMs, bootMs] = [seqText, wallText, bootText].map(wholeNumber)
  const kind = jobEventKinds.find((name) => name === kindText)
  if (seq === undefined || wallMs === undefined || bootMs === undefined) return undefined
  if (kind === undefined) return undefined
  return { seq, wallMs, bootMs, kind, fields: parseFields(rest) }
}

export interface ParsedEvents {
  readonly events: readonly JobEvent[]
  /** Lines that could not be read. */
  readonly malformed: number
}

/** All events of a file's text; a last line without its end is still being written. */
export function parseEvents(text: string): ParsedEvents {
  const events: JobEvent[] = []
  let malformed = 0
  for (const line of text.split('\n').slice(0, -1)) {
    const event = parseEvent(line)
    if (event === undefined) malformed++
    else events.push(event)
  }
  return { events, malformed }
}

/**
 * `code=` or `signal=` (with `core=`, `oom=`) as the kernel's value; undefined when neither is
 * there.
 */
export function parseExit(fields: Readonly<Record<string, string>>): ExitStatus | undefined {
  const outOfMemory = fields['oom'] === '1' ? { outOfMemory: true } : {}
  const code = wholeNumber(fields['code'])
  if (code !== undefined) return { code, ...outOfMemory }
  const signal = wholeNumber(fields['signal'])
  const name = signal === undefined ? undefined : signalName(signal)
  if (name === undefined) return undefined
  return { signal: name, ...(fields['core'] === '1' ? { coreDumped: true } : {}), ...outOfMemory }
}

/** Bytes up to 0x20, 0x7f and "%" as %XX; others, UTF-8 included, stay. */
export function percentEncode(text: string): string {
  return text.replaceAll(
    /[\x00-\x20%\x7f]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

export function percentDecode(text: string): string {
  return text.replaceAll(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
}

function parseFields(words: readonly string[]): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {}
  for (const word of words) {
    const equals = word.indexOf('=')
    if (equals > 0) fields[word.slice(0, equals)] = percentDecode(word.slice(equals + 1))
  }
  return fields
}

function wholeNumber(text: string | undefined): number | undefined {
  if (text === undefined || !/^[0-9]{1,16}$/.test(text)) return undefined
  return Number(text)
}
