/** Times and durations in procps' spellings. Pure: the time zone comes in with `localTime`. */
import type { LocalTime } from '../../../io/proc-time.ts'

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
const weekdays = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat']
const dayMs = 24 * 3600 * 1000

const two = (value: number): string => String(value).padStart(2, '0')

function split(ms: number): { days: number; hours: number; minutes: number; seconds: number } {
  const total = Math.max(0, Math.floor(ms / 1000))
  return {
    days: Math.floor(total / 86_400),
    hours: Math.floor(total / 3600) % 24,
    minutes: Math.floor(total / 60) % 60,
    seconds: total % 60,
  }
}

/** CPU time, `[dd-]hh:mm:ss`. */
export function cpuTime(ms: number): string {
  const { days, hours, minutes, seconds } = split(ms)
  return `${days > 0 ? `${days}-` : ''}${two(hours)}:${two(minutes)}:${two(seconds)}`
}

/** CPU time as BSD has it, `m:ss`. */
export function bsdCpuTime(ms: number): string {
  const total = Math.max(0, Math.floor(ms / 1000))
  return `${Math.floor(total / 60)}:${two(total % 60)}`
}

/** CPU time as top has it, `m:ss.hh`. */
export function fineCpuTime(ms: number): string {
  return `${bsdCpuTime(ms)}.${two(Math.floor((ms % 1000) / 10))}`
}

/** Elapsed time, `[[dd-]hh:]mm:ss`. */
export function elapsed(ms: number): string {
  const { days, hours, minutes, seconds } = split(ms)
  const tail = `${two(minutes)}:${two(seconds)}`
  if (days > 0) return `${days}-${two(hours)}:${tail}`
  return hours > 0 ? `${two(hours)}:${tail}` : tail
}

/** How long the machine is up, as uptime(1) has it: "3 days, 2:04", "41 min". */
export function uptimeText(ms: number): string {
  const { days, hours, minutes } = split(ms)
  const day = days === 0 ? '' : `${days} day${days === 1 ? '' : 's'}, `
  return day + (hours > 0 ? `${hours}:${two(minutes)}` : `${minutes} min`)
}

const month = (time: LocalTime): string => months[time.month - 1] ?? ''

/** STIME: the time today, the day this year, else the year. */
export function startShort(at: LocalTime, now: LocalTime): string {
  if (at.year !== now.year) return String(at.year)
  if (at.month !== now.month || at.day !== now.day) return `${month(at)}${two(at.day)}`
  return `${two(at.hour)}:${two(at.minute)}`
}

/** START of `ps u`: the time within a day, else the day. */
export function startBsd(at: LocalTime, ageMs: number): string {
  if (ageMs > dayMs) return `${month(at)}${two(at.day)}`
  return `${two(at.hour)}:${two(at.minute)}`
}

/** STARTED of `-o start`. */
export function startLong(at: LocalTime, ageMs: number): string {
  if (ageMs > dayMs) return `  ${month(at)} ${two(at.day)}`
  return clockText(at)
}

/** STARTED of `-o lstart`: "Sun Nov 22 17:24:05 2026". */
export function startFull(at: LocalTime): string {
  const day = String(at.day).padStart(2)
  return `${weekdays[at.weekday]} ${month(at)} ${day} ${clockText(at)} ${at.year}`
}

export function clockText(at: LocalTime): string {
  return `${two(at.hour)}:${two(at.minute)}:${two(at.second)}`
}
