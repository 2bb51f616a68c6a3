/**
 * What a keeper writes down: its `state` line and its `events` lines, as docs/keeper.md has them. They
 * are read after crashes and full disks, so a line that is none is passed over, never a failure.
 */
import { signalName } from '../../base/signals.ts'
import type { ExitStatus } from '../../kernel/types.ts'

/** The last known state of a job. */
export interface JobState {
  /** Number of the last event. */
  readonly seq: number
  /** systemd's sub states. */
  readonly phase: string
  readonly keeperPid: number
  readonly bootId: string
  /** Main process, 0 when there is none. */
  readonly pid: number
  readonly startTicks: number
  /** Wall clock, of this phase. */
  readonly sinceMs: number
  /** Wall clock, of the last start of the main process; 0 before the first. */
  readonly startedMs: number
  readonly restarts: number
  readonly result: string
  /** How the main process ended last. */
  readonly exit?: ExitStatus
}

export interface JobEvent {
  readonly seq: number
  readonly wallMs: number
  /** start, exit, running, restart, limit, stop, kill, exec-failed, end. */
  readonly kind: string
  readonly fields: Readonly<Record<string, string>>
}

/** Undefined when the line is no state. */
export function parseState(line: string): JobState | undefined {
  const fields = parseFields(line.trim().split(' '))
  const number = (name: string) => Number(fields[name] ?? 0) || 0
  const phase = fields['phase']
  if (phase === undefined || fields['seq'] === undefined) return undefined
  const exit = exitOf(fields)
  return {
    seq: number('seq'),
    phase,
    keeperPid: number('keeper'),
    bootId: fields['boot'] ?? '',
    pid: number('pid'),
    startTicks: number('ticks'),
    sinceMs: number('since'),
    startedMs: number('started'),
    restarts: number('restarts'),
    result: fields['result'] ?? 'success',
    ...(exit === undefined ? {} : { exit }),
  }
}

/** Undefined when the line is no event. */
export function parseEvent(line: string): JobEvent | undefined {
  const [seq = '', wallMs = '', , kind, ...rest] = line.trim().split(' ')
  if (kind === undefined || !/^\d+$/.test(seq) || !/^\d+$/.test(wallMs)) return undefined
  return { seq: Number(seq), wallMs: Number(wallMs), kind, fields: parseFields(rest) }
}

/** Whether nothing more will happen by itself. */
export function hasEnded(state: JobState): boolean {
  return state.phase === 'dead' || state.phase === 'failed'
}

function exitOf(fields: Readonly<Record<string, string>>): ExitStatus | undefined {
  const { signal, code, errno } = fields
  if (errno !== undefined) return { code: Number(code ?? 203), execErrno: errno }
  if (signal !== undefined) {
    return {
      signal: signalName(Number(signal)) ?? `SIG${signal}`,
      ...(fields['core'] === '1' ? { coreDumped: true } : {}),
      ...(fields['result'] === 'oom-kill' ? { outOfMemory: true } : {}),
    }
  }
  return code === undefined ? undefined : { code: Number(code) }
}

function parseFields(words: readonly string[]): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {}
  for (const word of words) {
    const equals = word.indexOf('=')
    if (equals > 0) fields[word.slice(0, equals)] = decode(word.slice(equals + 1))
  }
  return fields
}

// Bytes, not characters, are encoded: what is no UTF-8 afterwards is shown as such.
function decode(text: string): string {
  if (!text.includes('%')) return text
  const bytes = Buffer.from(text).toString('latin1')
  const decoded = bytes.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  )
  return Buffer.from(decoded, 'latin1').toString('utf8')
}
