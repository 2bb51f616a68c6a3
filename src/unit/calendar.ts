/**
 * systemd's calendar events ("Mon..Fri *-*-* 02:30 Europe/Paris"), see systemd.time(7): what one is
 * once it is read, and its normal text, to the letter what `systemd-analyze calendar` prints.
 * calendar-parse.ts reads them, calendar-next.ts says when they elapse.
 */

/** One element of a list: `start`, and with a `step` each `start + n · step` up to `stop`. */
export interface CalendarPart {
  readonly start: number
  /** Inclusive; absent: to the end of what the component can be. */
  readonly stop?: number
  /** 0: `start` alone. */
  readonly step: number
}

/** An empty list of parts is "*": any. Lists are sorted and hold nothing twice. */
export interface CalendarSpec {
  /** 0 is Monday, 6 Sunday; empty for any. */
  readonly weekdays: readonly number[]
  readonly year: readonly CalendarPart[]
  readonly month: readonly CalendarPart[]
  readonly day: readonly CalendarPart[]
  /** `~`: days count from the month's end, where 1 is the last. */
  readonly fromMonthEnd: boolean
  readonly hour: readonly CalendarPart[]
  readonly minute: readonly CalendarPart[]
  /** In microseconds, as systemd counts; never empty: "*" is each whole second. */
  readonly secondUs: readonly CalendarPart[]
  /** "UTC" or a name of the IANA database; absent: the local time of who asks. */
  readonly zone?: string
}

export const weekdayNames = [
  'Monday',
  'Tuesday',
  'Wednesday',
  'Thursday',
  'Friday',
  'Saturday',
  'Sunday',
] as const

export const secondInUs = 1_000_000
export const yearMin = 1970
export const yearMax = 2199

export const everySecond: CalendarPart = { start: 0, step: secondInUs }

/** The normal text: "Mon..Fri *-*-* 02:30:00 Europe/Paris". Parsed again it is the same. */
export function formatCalendar(spec: CalendarSpec): string {
  const { weekdays, year, month, day, hour, minute, secondUs, zone } = spec
  const mark = spec.fromMonthEnd ? '~' : '-'
  const date = `${parts(year, 4)}-${parts(month, 2)}${mark}${parts(day, 2)}`
  const [second] = secondUs
  const whole =
    secondUs.length === 1 &&
    second?.start === 0 &&
    second.step === secondInUs &&
    second.stop === undefined
  const seconds = whole ? '*' : secondUs.map(secondsPart).join(',')
  const time = `${parts(hour, 2)}:${parts(minute, 2)}:${seconds}`
  const words = weekdays.length === 0 ? [date, time] : [formatWeekdays(weekdays), date, time]
  return (zone === undefined ? words : [...words, zone]).join(' ')
}

function parts(list: readonly CalendarPart[], width: number): string {
  if (list.length === 0) return '*'
  const pad = (value: number) => String(value).padStart(width, '0')
  return list
    .map(({ start, stop, step }) => {
      // A range's step is 1 when none is given.
      const every = step === 0 || (stop !== undefined && step === 1) ? '' : `/${step}`
      return `${pad(start)}${stop === undefined ? '' : `..${pad(stop)}`}${every}`
    })
    .join(',')
}

function secondsPart({ start, stop, step }: CalendarPart): string {
  const every = step === 0 || (stop !== undefined && step === secondInUs) ? '' : `/${seconds(step)}`
  return `${seconds(start, 2)}${stop === undefined ? '' : `..${seconds(stop, 2)}`}${every}`
}

function seconds(us: number, width = 1): string {
  const whole = String(Math.floor(us / secondInUs)).padStart(width, '0')
  const fraction = us % secondInUs
  return fraction === 0 ? whole : `${whole}.${String(fraction).padStart(6, '0')}`
}

// "Mon..Wed,Sat,Sun": runs of three and more as ranges.
function formatWeekdays(days: readonly number[]): string {
  const runs: { first: number; last: number }[] = []
  for (const day of days) {
    const run = runs.at(-1)
    if (run !== undefined && run.last === day - 1) run.last = day
    else runs.push({ first: day, last: day })
  }
  const name = (day: number) => weekdayNames[day]?.slice(0, 3) ?? ''
  return runs
    .map(({ first, last }) => {
      if (first === last) return name(first)
      return `${name(first)}${last === first + 1 ? ',' : '..'}${name(last)}`
    })
    .join(',')
}
