/**
 * systemd's own opinion of calendar events: `systemd-analyze calendar`, many at a time. It needs no
 * running systemd. Only tests use this.
 */
import { spawnSync } from 'node:child_process'

export interface CalendarQuestion {
  /** The local time zone. */
  readonly zone: string
  /** Whole seconds, in milliseconds. */
  readonly afterMs: number
  readonly iterations: number
}

export interface CalendarAnswer {
  readonly normal: string
  /** In milliseconds; systemd prints whole seconds, so fractions are cut off. */
  readonly elapses: readonly number[]
}

/** Why there is no oracle here, or undefined when there is one. */
export function calendarOracleAbsence(): string | undefined {
  const probe = spawnSync('systemd-analyze', ['calendar', '--iterations=1', 'daily'])
  return probe.status === 0 ? undefined : 'systemd-analyze calendar is not installed'
}

/** One answer for each text; undefined for one that systemd refuses. */
export function askCalendar(
  { zone, afterMs, iterations }: CalendarQuestion,
  texts: readonly string[],
): readonly (CalendarAnswer | undefined)[] {
  const after = new Date(afterMs).toISOString().replace('T', ' ').slice(0, 19)
  const result = spawnSync(
    'systemd-analyze',
    ['calendar', `--iterations=${iterations}`, `--base-time=${after} UTC`, ...texts],
    { encoding: 'utf8', env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', TZ: zone } },
  )
  // An empty line ends each text's lines; a refused one has none.
  const chunks: string[][] = [[]]
  for (const line of result.stdout.replace(/\n$/, '').split('\n')) {
    if (line === '') chunks.push([])
    else chunks.at(-1)?.push(line)
  }
  return texts.map((_, index) => readAnswer(chunks[index] ?? []))
}

function readAnswer(lines: readonly string[]): CalendarAnswer | undefined {
  const elapses: number[] = []
  let normal: string | undefined
  for (const line of lines) {
    const [, name = '', value = ''] = /^ *([^:]+): (.*)$/.exec(line) ?? []
    if (name === 'Normalized form') normal = value
    else if (/^(Next elapse|Iter)/.test(name) && value.endsWith(' UTC')) elapses.push(moment(value))
    else if (name === '(in UTC)') elapses.push(moment(value))
  }
  return normal === undefined ? undefined : { normal, elapses }
}

// "Sun 2026-10-25 02:00:00 UTC".
function moment(text: string): number {
  const [, date, time] = text.split(' ')
  return Date.parse(`${date}T${time}Z`)
}
