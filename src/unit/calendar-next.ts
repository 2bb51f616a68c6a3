/**
 * When a calendar event elapses next. The search is on the wall clock, in whole microseconds; the
 * time zone comes in only where a time found there is turned into a moment.
 *
 * Where clocks change it is as with systemd: a time that clocks are put forward over does not come
 * that day, and a time that they show twice counts once, the first time. So "hourly" leaves out an
 * hour in autumn. Invariant: the moments of a spec do not depend on where a search begins.
 */

import { assert } from '../base/assert.ts'
import { type CalendarPart, type CalendarSpec, secondInUs, yearMax, yearMin } from './calendar.ts'
import { findTimeZone, momentsOf } from './time-zone.ts'

const minuteUs = 60 * secondInUs
const hourUs = 60 * minuteUs
const dayUs = 24 * hourUs
const dayMs = dayUs / 1000

/**
 * The first moment after `afterMs` at which `spec` elapses, in milliseconds, rounded up; undefined
 * when it never does again (the calendar ends with the year 2199). `localZone` is for a spec that
 * names none.
 */
export function nextElapse(
  spec: CalendarSpec,
  afterMs: number,
  localZone: string,
): number | undefined {
  const name = spec.zone ?? localZone
  const zone = findTimeZone(name)
  assert(zone !== undefined, `the time zone ${JSON.stringify(name)} was checked before`)
  const afterUs = Math.max(Math.floor(afterMs * 1000), 0)
  if (afterUs >= Date.UTC(yearMax + 1, 0, 2) * 1000) return undefined
  let wallUs = afterUs + zone.offsetMs(afterUs / 1000) * 1000 + 1
  for (;;) {
    const foundUs = nextWallUs(spec, wallUs)
    if (foundUs === undefined) return undefined
    const restUs = modulo(foundUs, 1000)
    const [firstMs] = momentsOf(zone, (foundUs - restUs) / 1000)
    const elapseUs = firstMs === undefined ? undefined : firstMs * 1000 + restUs
    if (elapseUs !== undefined && elapseUs > afterUs) return Math.ceil(elapseUs / 1000)
    // Clocks are put forward over it, or show it for the second time. Both end at a full minute.
    wallUs = foundUs - modulo(foundUs, minuteUs) + minuteUs
  }
}

function nextWallUs(spec: CalendarSpec, fromUs: number): number | undefined {
  const timeUs = modulo(fromUs, dayUs)
  const today = (fromUs - timeUs) / dayUs
  let day = nextDay(spec, today)
  if (day === today) {
    const time = nextTimeUs(spec, timeUs)
    if (time !== undefined) return day * dayUs + time
    day = nextDay(spec, today + 1)
  }
  const time = nextTimeUs(spec, 0)
  return day === undefined || time === undefined ? undefined : day * dayUs + time
}

/** The first matching day from `from` on; both count days since 1970. */
function nextDay(spec: CalendarSpec, from: number): number | undefined {
  const date = new Date(from * dayMs)
  const fromYear = Math.max(date.getUTCFullYear(), yearMin)
  const fromMonth = date.getUTCMonth() + 1
  for (const year of matching(spec.year, fromYear, yearMax)) {
    const firstMonth = year === fromYear ? fromMonth : 1
    for (const month of matching(spec.month, firstMonth, 12)) {
      const days = new Date(Date.UTC(year, month, 0)).getUTCDate()
      const parts = spec.fromMonthEnd ? spec.day.map((part) => fromMonthEnd(part, days)) : spec.day
      const firstDay = year === fromYear && month === fromMonth ? date.getUTCDate() : 1
      for (const day of matching(parts, firstDay, days)) {
        const found = Date.UTC(year, month - 1, day) / dayMs
        if (spec.weekdays.length === 0 || spec.weekdays.includes(weekday(found))) return found
      }
    }
  }
  return undefined
}

/** The first matching time of day from `from` on, in microseconds; undefined: none today. */
function nextTimeUs(spec: CalendarSpec, from: number): number | undefined {
  const fromHour = Math.floor(from / hourUs)
  const fromMinute = Math.floor((from % hourUs) / minuteUs)
  for (const hour of matching(spec.hour, fromHour, 23)) {
    const firstMinute = hour === fromHour ? fromMinute : 0
    for (const minute of matching(spec.minute, firstMinute, 59)) {
      const now = hour === fromHour && minute === fromMinute
      const second = nextIn(spec.secondUs, now ? from % minuteUs : 0)
      if (second !== undefined && second < minuteUs) {
        return hour * hourUs + minute * minuteUs + second
      }
    }
  }
  return undefined
}

function* matching(parts: readonly CalendarPart[], from: number, max: number): Iterable<number> {
  for (
    let value = nextIn(parts, from);
    value !== undefined && value <= max;
    value = nextIn(parts, value + 1)
  ) {
    yield value
  }
}

function nextIn(parts: readonly CalendarPart[], from: number): number | undefined {
  if (parts.length === 0) return from
  let best: number | undefined
  for (const { start, stop, step } of parts) {
    let value = start
    if (start < from) {
      if (step === 0) continue
      value += Math.ceil((from - start) / step) * step
      if (stop !== undefined && value > stop) continue
    }
    if (best === undefined || value < best) best = value
  }
  return best
}

// "~3..7" of 31 days is 25 to 29, and a step counts from the earlier one.
function fromMonthEnd({ start, stop, step }: CalendarPart, days: number): CalendarPart {
  const first = days + 1 - (stop ?? start)
  return stop === undefined
    ? { start: first, step }
    : { start: first, stop: days + 1 - start, step }
}

// 1970 began on a Thursday.
function weekday(day: number): number {
  return modulo(day + 3, 7)
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by
}
