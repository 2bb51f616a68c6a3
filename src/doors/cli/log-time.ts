/**
 * Points in time as people type them for `--since` and `--until`: "2026-11-22 17:00", "yesterday",
 * "-1h", "10 min ago", "@1795366800". In the local time zone, as journalctl takes them. Pure.
 */
import { HolonError } from '../../base/errors.ts'
import { parseTimeSpanMs } from '../../unit/time-span.ts'

/** Wall-clock milliseconds; `option` names the option in the message when `text` is no time. */
export function parseLogTime(option: string, text: string, nowMs: number): number {
  const trimmed = text.trim()
  const time = named(trimmed, nowMs) ?? relative(trimmed, nowMs) ?? absolute(trimmed, nowMs)
  if (time !== undefined) return time
  throw new HolonError(
    'invalid_argument',
    `${option} ${JSON.stringify(text)}: no time; write "2026-11-22 17:00", "17:00", ` +
      '"yesterday", "-1h" or "10 min ago"',
  )
}

function named(text: string, nowMs: number): number | undefined {
  const epoch = /^@(\d+(?:\.\d+)?)$/.exec(text)
  if (epoch !== null) return Number(epoch[1]) * 1000
  const days = { yesterday: -1, today: 0, tomorrow: 1 }[text]
  if (days !== undefined) return midnight(nowMs, days)
  return text === 'now' ? nowMs : undefined
}

function midnight(nowMs: number, days: number): number {
  const now = new Date(nowMs)
  // Through the calendar, since a day may have 23 hours or 25.
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() + days).getTime()
}

function relative(text: string, nowMs: number): number | undefined {
  const ago = /^(.*\S)\s+ago$/.exec(text)
  const signed = /^([+-])\s*(.+)$/.exec(text)
  const span = ago?.[1] ?? signed?.[2]
  if (span === undefined) return undefined
  const ms = parseTimeSpanMs(span)
  if (ms === undefined || !Number.isFinite(ms)) return undefined
  return signed?.[1] === '+' ? nowMs + ms : nowMs - ms
}

function absolute(text: string, nowMs: number): number | undefined {
  const pattern =
    /^(?:(\d{4})-(\d\d)-(\d\d))?(?:(?:^|[ T])(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?(Z)?$/
  const match = pattern.exec(text)
  if (match === null || text === '' || text === 'Z') return undefined
  const now = new Date(nowMs)
  const [, year, month, day, hours = '0', minutes = '0', seconds = '0', fraction = '0', utc] = match
  const date =
    year === undefined
      ? [now.getFullYear(), now.getMonth(), now.getDate()]
      : [Number(year), Number(month) - 1, Number(day)]
  const [y = 0, m = 0, d = 0] = date
  const time = [Number(hours), Number(minutes), Number(seconds)] as const
  if (time[0] > 24 || time[1] > 59 || time[2] > 60) return undefined
  const ms = utc === undefined ? new Date(y, m, d, ...time).getTime() : Date.UTC(y, m, d, ...time)
  // The calendar would make March out of February 30.
  const given =
    utc === undefined ? new Date(y, m, d).getDate() : new Date(Date.UTC(y, m, d)).getUTCDate()
  if (given !== d || m > 11) return undefined
  return ms + Number(`0.${fraction}`) * 1000
}
