/**
 * Calendar events: text → CalendarSpec, with systemd's grammar and its rules of what is valid. A
 * text is at most four words: weekdays, date, time, zone. What is refused names the word.
 *
 * Differences, both listed in docs/limits.md: white space around words is never minded, and of time
 * zones there are UTC and those of the IANA database, not the abbreviations ("CEST") that systemd
 * takes from the machine it runs on, since here a text has to mean the same on every machine.
 */
import { limits } from '../base/limits.ts'
import {
  type CalendarPart,
  type CalendarSpec,
  everySecond,
  secondInUs,
  weekdayNames,
  yearMax,
  yearMin,
} from './calendar.ts'
import { findTimeZone } from './time-zone.ts'
import { bad, ok, type Parsed } from './values.ts'

const shorthands: Readonly<Record<string, string>> = {
  minutely: '*-*-* *:*:00',
  hourly: '*-*-* *:00:00',
  daily: '*-*-* 00:00:00',
  weekly: 'Mon *-*-* 00:00:00',
  monthly: '*-*-01 00:00:00',
  quarterly: '*-01,04,07,10-01 00:00:00',
  semiannually: '*-01,07-01 00:00:00',
  'semi-annually': '*-01,07-01 00:00:00',
  biannually: '*-01,07-01 00:00:00',
  'bi-annually': '*-01,07-01 00:00:00',
  yearly: '*-01-01 00:00:00',
  annually: '*-01-01 00:00:00',
  // systemd's own slip of the pen, kept there for old files.
  anually: '*-01-01 00:00:00',
}

/** `weekly`, `Mon,Fri 17:00`, `*-*-01..07 4:00:00 Europe/Paris`, `@1700000000`; never throws. */
export function parseCalendar(text: string): Parsed<CalendarSpec> {
  const words = text.split(' ').filter((word) => word !== '')
  const zone = words.length > 1 ? takeZone(words) : ok(undefined)
  if (zone.kind === 'bad') return zone
  const spec = parseEvent(words)
  // "@" is a moment: there is nothing left that a zone could decide.
  if (spec.kind === 'bad' || zone.value === undefined || spec.value.zone !== undefined) return spec
  return ok({ ...spec.value, zone: zone.value })
}

function takeZone(words: string[]): Parsed<string | undefined> {
  const last = words.at(-1) ?? ''
  if (!/^[A-Za-z]/.test(last) || parseWeekdays(last).kind === 'ok') return ok(undefined)
  words.pop()
  if (last.toUpperCase() === 'UTC') return ok('UTC')
  if (findTimeZone(last) !== undefined) return ok(last)
  return bad(`${quote(last)} is no known time zone, like UTC or Europe/Paris`)
}

function parseEvent(words: readonly string[]): Parsed<CalendarSpec> {
  const [first = '', ...others] = words
  const shorthand = first.toLowerCase()
  if (others.length === 0 && Object.hasOwn(shorthands, shorthand)) {
    return parseEvent((shorthands[shorthand] ?? '').split(' '))
  }
  const named = /^[A-Za-z]/.test(first)
  const weekdays = named ? parseWeekdays(first) : ok([])
  if (weekdays.kind === 'bad') {
    if (words.length > 1 || /[,.-]/.test(first)) return weekdays
    return bad(`${quote(first)}: expected weekdays, a date, a time, or a word like daily or weekly`)
  }
  const [date, time, ...rest] = dateAndTime(named ? others : words)
  if (words.length === 0 || rest.length > 0) {
    return bad(`${quote(rest[0] ?? '')}: expected nothing more than weekdays, date, time and zone`)
  }
  if (date?.startsWith('@') && time === undefined) return parseMoment(date, weekdays.value)
  const days = parseDate(date ?? '*-*-*')
  if (days.kind === 'bad') return days
  const times = parseTime(time ?? '00:00:00')
  if (times.kind === 'bad') return times
  return ok({ weekdays: weekdays.value, ...days.value, ...times.value })
}

// A single word is a time if it has a colon.
function dateAndTime(words: readonly string[]): readonly (string | undefined)[] {
  return words.length === 1 && words[0]?.includes(':') ? [undefined, ...words] : words
}

function parseMoment(word: string, weekdays: readonly number[]): Parsed<CalendarSpec> {
  const seconds = /^@([0-9]{1,12})$/.exec(word)?.[1]
  const at = new Date(Number(seconds ?? Number.NaN) * 1000)
  if (!(at.getUTCFullYear() <= yearMax)) {
    return bad(`${quote(word)}: expected whole seconds since 1970, up to the year ${yearMax}`)
  }
  const only = (start: number): readonly CalendarPart[] => [{ start, step: 0 }]
  return ok({
    weekdays,
    year: only(at.getUTCFullYear()),
    month: only(at.getUTCMonth() + 1),
    day: only(at.getUTCDate()),
    fromMonthEnd: false,
    hour: only(at.getUTCHours()),
    minute: only(at.getUTCMinutes()),
    secondUs: only(at.getUTCSeconds() * secondInUs),
    zone: 'UTC',
  })
}

// "Mon,Wed..Fri": names long or short in any case, also "Mon-Fri", and one comma at the end.
function parseWeekdays(word: string): Parsed<readonly number[]> {
  const days = new Set<number>()
  for (const item of word.replace(/,$/, '').split(',')) {
    const [first = '', last = first, ...rest] = item.split(/\.\.|-/)
    const from = weekdayOf(first)
    const to = weekdayOf(last)
    const wrong = from === undefined ? first : to === undefined ? last : rest[0]
    if (from === undefined || to === undefined || wrong !== undefined) {
      const where =
        wrong === word || wrong === '' ? quote(word) : `${quote(wrong ?? '')} in ${quote(word)}`
      return bad(`${where}: expected weekdays, like Mon, Mon,Sat or Mon..Fri`)
    }
    if (from > to) {
      return bad(
        `${quote(item)} in ${quote(word)}: ${last} comes before ${first}; weeks begin on Mon`,
      )
    }
    for (let day = from; day <= to; day++) days.add(day)
  }
  return ok(days.size === weekdayNames.length ? [] : [...days].sort())
}

function weekdayOf(text: string): number | undefined {
  const word = text.toLowerCase()
  const found = weekdayNames.findIndex((name) => {
    const long = name.toLowerCase()
    return word === long || word === long.slice(0, 3)
  })
  return found < 0 ? undefined : found
}

interface Component {
  readonly name: string
  readonly min: number
  readonly max: number
  /** What its numbers count: 1, or microseconds with a fraction. */
  readonly unit: number
}

const component = (name: string, min: number, max: number, unit = 1): Component => ({
  name,
  min,
  max,
  unit,
})
const yearComponent = component('year', yearMin, yearMax)
const monthComponent = component('month', 1, 12)
const dayComponent = component('day', 1, 31)
// What every month has, also the shortest.
const dayFromEndComponent = component('day from the end', 1, 28)
const hourComponent = component('hour', 0, 23)
const minuteComponent = component('minute', 0, 59)
const secondComponent = component('second', 0, 60 * secondInUs - 1, secondInUs)

type Days = Pick<CalendarSpec, 'year' | 'month' | 'day' | 'fromMonthEnd'>

function parseDate(word: string): Parsed<Days> {
  const match = /^(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)$/.exec(word)
  if (match === null) return bad(`${quote(word)} is no date, like 2026-*-01, *-05~1 or 12-24`)
  const [, yearText = '*', monthText = '', separator, dayText = ''] = match
  const fromEnd = separator === '~'
  const year = parseParts(yearText, yearComponent)
  if (year.kind === 'bad') return year
  const month = parseParts(monthText, monthComponent)
  if (month.kind === 'bad') return month
  const day = parseParts(dayText, fromEnd ? dayFromEndComponent : dayComponent)
  if (day.kind === 'bad') return day
  return ok({
    year: year.value,
    month: month.value,
    day: day.value,
    fromMonthEnd: fromEnd && day.value.length > 0,
  })
}

type Times = Pick<CalendarSpec, 'hour' | 'minute' | 'secondUs'>

function parseTime(word: string): Parsed<Times> {
  const [hourText = '', minuteText, secondText = '00', ...rest] = word.split(':')
  if (minuteText === undefined || rest.length > 0) {
    return bad(`${quote(word)} is no time, like 02:30, *:0/15 or 12:00:30.5`)
  }
  const hour = parseParts(hourText, hourComponent)
  if (hour.kind === 'bad') return hour
  const minute = parseParts(minuteText, minuteComponent)
  if (minute.kind === 'bad') return minute
  const second = parseParts(secondText, secondComponent)
  if (second.kind === 'bad') return second
  const secondUs = second.value.length === 0 ? [everySecond] : second.value
  return ok({ hour: hour.value, minute: minute.value, secondUs })
}

function parseParts(text: string, component: Component): Parsed<readonly CalendarPart[]> {
  if (text === '*') return ok([])
  const items = text.split(',')
  if (items.length > limits.calendarPartsMax) {
    return bad(
      `${items.length} values for the ${component.name}: at most ${limits.calendarPartsMax}`,
    )
  }
  const byText = new Map<string, CalendarPart>()
  for (const item of items) {
    const part = parsePart(item, component)
    if (part.kind === 'bad') return part
    byText.set(JSON.stringify(part.value), part.value)
  }
  const order = (part: CalendarPart) => [part.start, part.stop ?? -1, part.step] as const
  return ok([...byText.values()].sort((a, b) => compare(order(a), order(b))))
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, index) => value !== b[index])
  return at < 0 ? 0 : (a[at] ?? 0) - (b[at] ?? 0)
}

function parsePart(item: string, component: Component): Parsed<CalendarPart> {
  const { name, min, max, unit } = component
  const refuse = (why: string) => bad(`${quote(item)} as ${name}: ${why}`)
  const number = unit === 1 ? '[0-9]+' : '[0-9]+(?:\\.[0-9]+)?'
  const match = new RegExp(`^(${number})(?:\\.\\.(${number}))?(?:/(${number}))?$`).exec(item)
  if (match === null) {
    return refuse('expected *, or numbers like 5, 1,15, 1..5 or 0/10')
  }
  const numbers = match.slice(1).map((digits) => (digits ? numberOf(digits, unit) : undefined))
  const [first = 0, last, givenStep] = numbers
  const start = component === yearComponent ? fullYear(first) : first
  const rangeStop = component === yearComponent && last !== undefined ? fullYear(last) : last
  const step = givenStep ?? (rangeStop === undefined ? 0 : unit)
  if (givenStep === 0) return refuse('each 0 is never')
  if (start < min || start > max || (rangeStop ?? start) < min || (rangeStop ?? start) > max) {
    return refuse(`expected ${shown(min, unit)} to ${shown(max, unit)}`)
  }
  if (rangeStop === undefined) {
    // Counted from a month's end, the repetitions go down.
    const repeated = component === dayFromEndComponent ? start - step : start + step
    if (repeated < min || repeated > max) return refuse(`there is no second one to repeat`)
    return ok({ start, step })
  }
  if (rangeStop < start) return refuse('the range ends before it begins')
  // Finer than a second, a range says nothing unless it says in which steps.
  if (unit > 1 && givenStep === undefined && start + unit > rangeStop) {
    return refuse('a range of less than a second needs a step, like 0..0.5/0.1')
  }
  const stop = rangeStop - ((rangeStop - start) % step)
  return ok(stop === start ? { start, step: 0 } : { start, stop, step })
}

function numberOf(digits: string, unit: number): number {
  if (unit === 1) return Number(digits)
  const [whole = '', fraction = ''] = digits.split('.')
  // Six digits and a seventh to round by: floating point would be off here and there.
  const seven = Number(`${fraction}0000000`.slice(0, 7))
  return Number(whole) * unit + Math.floor(seven / 10) + (seven % 10 >= 5 ? 1 : 0)
}

// "26" is 2026, "89" is 1989.
function fullYear(year: number): number {
  if (year >= 100) return year
  return year + (year < 70 ? 2000 : 1900)
}

function shown(value: number, unit: number): string {
  return String(value / unit)
}

function quote(text: string): string {
  return JSON.stringify(text.length <= 60 ? text : `${text.slice(0, 59)}…`)
}
