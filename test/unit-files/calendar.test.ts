/**
 * Our reading of calendar events against systemd's own: what is refused, the normal text, and when
 * they elapse, also around the hours that clocks leave out or show twice.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { type CalendarPart, type CalendarSpec, formatCalendar } from '../../src/unit/calendar.ts'
import { nextElapse } from '../../src/unit/calendar-next.ts'
import { parseCalendar } from '../../src/unit/calendar-parse.ts'
import { askCalendar, type CalendarQuestion, calendarOracleAbsence } from './calendar-oracle.ts'

const skip = calendarOracleAbsence() ?? false

// The examples of systemd.time(7), and the corners of its grammar.
const handMade = `
Thu,Fri 2012-*-1,5 11:12:13|Sat,Thu,Mon..Wed,Sat..Sun|Mon,Sun 12-*-* 2,1:23|Wed *-1
Wed..Wed,Wed *-1|Wed, 17:48|Wed..Sat,Tue 12-10-15 1:2:3|*-*-7 0:0:0|10-15|monday *-12-* 17:00
Mon,Fri *-*-3,1,2 *:30:45|12,14,13,12:20,10,30|12..14:10,20,30|mon,fri *-1/2-1,3 *:30:45
03-05 08:05:40|08:05:40|05:40|Sat,Sun 12-05 08:05:40|Sat,Sun 08:05:40|2003-03-05 05:40
05:40:23.4200004/3.1700005|2003-02..04-05|2003-03-05 05:40 UTC|2003-03-05|03-05|hourly|daily
daily UTC|monthly|weekly|weekly Pacific/Auckland|yearly|annually|*:2/3|minutely|quarterly
semiannually|semi-annually|biannually|bi-annually|anually|ANNUALLY|Hourly utc|*-02~03|Mon *-05~07/1
0:0:0..5|0:0:1.5..7.5/1.5|0:0:0/1|*:*:0,1|*:*:*|*:*|@1900000000|Mon @1900000000
@1900000000 Europe/Paris|1,1..1:0|5..5:0|*-*~28|*-*~3/2|*-*~1..3|*-*~1..7/3|*-*~7..7|*-*~28/27
*-2-29|*-2-31|99-1-1|70..99-*-*|69-1-1|*:1..4/2|1~2|Mon,|Mon,Tue,Wed|Mon-Fri|Mon-Tue,Thu
*:*:59.999|*-*|*-*-*|*~*|*-*~*|1-1  12:00|Friday, 1-1|*-1..12/13-1|*-1/11-1|*:*:0..0.5/0.1
*:*:0..1.5|*:*:1..1.5/2|*:*:1..2/2|*:0..59/60|*:*:0/7.5|*-3,1/2-1|*-*-1..5,3..7
2000..2010/3-1-1|10..20-1-1|2026..2060/7-2-29|2199-12-31 23:59:59|12:00 Etc/UTC|12:00 Asia/Kathmandu
*:*:0.1/0.2|0/6:0/7:0/11|Mon..Sun 1:00|Sun *-*-1..7 2:30|*-*-31 3:00|*-4,6,9,11-31|Fri *-*-13
mOnDaY 5:00|MON..THURSDAY 5:00|*-*-* 00:00:00.5|*-*-* 0:0:0.0000004|12:00 CET
12:00 America/Port_of_Spain`
  .split(/[|\n]/)
  .slice(1)

const refused = `
foo|12|1,2|*|*/2-1-1|*:0/0|*-*~0|*-*~29|*-*~3/3|*-*~3..1|*-*~28/28|50..80-1-1|1000-1-1|100-1-1
Mon,Tue Wed|Sun..Mon|Mon..|Mon.|Mons 1:00|Mon..Wed..Fri|Mon-Wed-Fri|,Mon|Mon,,|*-*-32|*-13-1|*-0-1
24:00|0:60|0:0:60|*:*:59.9999999|@123.5|@|@x|@-1|@99999999999999|12:00:00:00|12:|:12|12:00:|mon 5
2012-1-1 2012-1-1|12:00 2012-1-1|12:00 Europe/Atlantis|12:00 europe/paris|12:00 +01:00|Mon hourly
hourly daily|*-1/12-1|2000/300-1-1|*:*:0..0.5|*:*:3..3|*:*:1..1.5|*:*:0/60|*:1.5|1.5:0|*:*:1.|*:*:.5
*:*:1..|*:3..|*:3/|*:/3|*:3..1|*:-1|*:1,|*,1:0|*-*-*-*|2012~1~1|2012~1-1|2012-1|1970-1-1-1|0-0-0
5 5|--|~|-|*-*-1~|2200-1-1|1969-1-1|*-*-* *-*-*|minutely/2|12:00 UTC UTC|Mon UTC UTC|12.00|12h
*:1 0|０:００|1e1:0|0x5:0`
  .split(/[|\n]/)
  .slice(1)

const hourMs = 3_600_000
// Hours from a change of clocks: some before, at it, within, after. Not within an hour that clocks
// show twice: systemd may then answer with a moment that is past.
const forward = [-30 * 24, -3, -1, -0.5, 0, 0.5, 1, 2, 26]
const back = [-30 * 24, -3, -2, -1.5, -1, -0.5, 1, 2, 26]
const changes: readonly (readonly [zone: string, atMs: number, hours: readonly number[]])[] = [
  ['Europe/Paris', Date.UTC(2026, 2, 29, 1), forward],
  ['Europe/Paris', Date.UTC(2026, 9, 25, 1), back],
  ['America/New_York', Date.UTC(2027, 2, 14, 7), forward],
  ['America/New_York', Date.UTC(2027, 10, 7, 6), back],
  // Half an hour, and the other way round in the year.
  ['Australia/Lord_Howe', Date.UTC(2028, 8, 30, 15, 30), forward],
  ['Australia/Lord_Howe', Date.UTC(2028, 3, 1, 15), back],
  // Summer is the standard time there, for which systemd may lose the day of the change in spring.
  ['Europe/Dublin', Date.UTC(2028, 9, 29, 1), back],
  // At midnight: a day that begins at one o'clock, and one that ends an hour late.
  ['Asia/Beirut', Date.UTC(2027, 2, 27, 22), forward],
  ['Asia/Beirut', Date.UTC(2027, 9, 30, 21), back],
  ['UTC', Date.UTC(2027, 11, 31, 23), forward],
]

const numbers = (min: number, max: number) => {
  const one = fc.integer({ min, max })
  const step = fc.integer({ min: 1, max: Math.max(1, Math.floor((max - min) / 2)) })
  const part = fc.oneof(
    one.map(String),
    fc.tuple(one, step).map(([start, by]) => `${start}/${by}`),
    fc.tuple(one, one).map((pair) => `${Math.min(...pair)}..${Math.max(...pair)}`),
    fc.tuple(one, one, step).map(([a, b, by]) => `${Math.min(a, b)}..${Math.max(a, b)}/${by}`),
  )
  return fc.oneof(
    { weight: 2, arbitrary: fc.constant('*') },
    { weight: 3, arbitrary: one.map(String) },
    { weight: 3, arbitrary: fc.array(part, { minLength: 1, maxLength: 3 }).map(String) },
  )
}
const day = fc.constantFrom('Mon', 'tue', 'Wednesday', 'THU', 'Fri', 'Sat', 'sunday')
const weekdays = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  fc.array(day, { minLength: 1, maxLength: 3 }).map(String),
  fc
    .tuple(fc.constantFrom('Mon', 'Tue'), fc.constantFrom('..', '-'), fc.constantFrom('Thu', 'Sun'))
    .map((range) => range.join('')),
)
const date = fc.oneof(
  { weight: 2, arbitrary: fc.constant('') },
  fc.tuple(numbers(1, 12), numbers(1, 31)).map((pair) => pair.join('-')),
  fc.tuple(numbers(2026, 2040), numbers(1, 12), numbers(1, 31)).map((three) => three.join('-')),
  fc
    .tuple(fc.constantFrom('*', '2027..2030', '26'), numbers(1, 12), numbers(1, 22))
    .map(([year, month, back]) => `${year}-${month}~${back}`),
)
const second = fc.oneof(
  numbers(0, 59),
  fc.constantFrom('0.25', '0/0.75', '3.5..9.25/1.25', '59.999', '10..20.5'),
)
const time = fc.oneof(
  { weight: 1, arbitrary: fc.constant('') },
  {
    weight: 2,
    arbitrary: fc
      .tuple(fc.constantFrom('*', '0..4', '1', '2', '3'), numbers(0, 59))
      .map((pair) => pair.join(':')),
  },
  { weight: 2, arbitrary: fc.tuple(numbers(0, 23), numbers(0, 59)).map((pair) => pair.join(':')) },
  {
    weight: 1,
    arbitrary: fc.tuple(numbers(0, 23), numbers(0, 59), second).map((three) => three.join(':')),
  },
)
const suffix = fc.oneof(
  { weight: 3, arbitrary: fc.constant('') },
  fc.constantFrom(
    'UTC',
    'utc',
    'Europe/Paris',
    'America/New_York',
    'Australia/Lord_Howe',
    'Asia/Kolkata',
  ),
)
const expression = fc
  .tuple(weekdays, date, time, suffix)
  .filter((words) => words.slice(0, 3).some((word) => word !== ''))
  .map((words) => words.filter((word) => word !== '').join(' '))

// A step without an end ("0/7:00") systemd lets run out of the day, hour or year, and sometimes goes
// on behind the next one that it should have found, or not at all. With an end it means the same,
// and the search is sound.
function withEnds(spec: CalendarSpec): CalendarSpec {
  const upTo = (max: number) => (part: CalendarPart) =>
    part.step === 0 || part.stop !== undefined
      ? part
      : { ...part, stop: max - ((max - part.start) % part.step) }
  const back = (part: CalendarPart) =>
    part.step === 0 || part.stop !== undefined
      ? part
      : { ...part, start: ((part.start - 1) % part.step) + 1, stop: part.start }
  const every = formatCalendar(spec).includes(':* ') || formatCalendar(spec).endsWith(':*')
  return {
    ...spec,
    year: spec.year.map(upTo(2199)),
    month: spec.month.map(upTo(12)),
    day: spec.day.map(spec.fromMonthEnd ? back : upTo(31)),
    hour: spec.hour.map(upTo(23)),
    minute: spec.minute.map(upTo(59)),
    secondUs: every ? spec.secondUs : spec.secondUs.map(upTo(59_999_999)),
  }
}

function elapsesOf(spec: CalendarSpec, { zone, afterMs, iterations }: CalendarQuestion) {
  const elapses: number[] = []
  let at = nextElapse(spec, afterMs, zone)
  while (at !== undefined && elapses.length < iterations) {
    elapses.push(Math.floor(at / 1000) * 1000)
    at = nextElapse(spec, at, zone)
  }
  return elapses
}

function compareElapses(question: CalendarQuestion, specs: readonly CalendarSpec[]): void {
  const texts = specs.map((spec) => formatCalendar(withEnds(spec)))
  const answers = askCalendar(question, texts)
  for (const [index, spec] of specs.entries()) {
    const after = new Date(question.afterMs).toISOString()
    const what = `${texts[index]} after ${after} in ${question.zone}`
    assert.deepEqual(elapsesOf(spec, question), answers[index]?.elapses, what)
  }
}

/** What both accept, its normal text compared. */
function accepted(texts: readonly string[]): readonly CalendarSpec[] {
  const answers = askCalendar({ zone: 'UTC', afterMs: Date.UTC(2026, 6), iterations: 1 }, texts)
  const specs: CalendarSpec[] = []
  for (const [index, text] of texts.entries()) {
    const parsed = parseCalendar(text)
    const spec = parsed.kind === 'ok' ? parsed.value : undefined
    assert.equal(spec && formatCalendar(spec), answers[index]?.normal, text)
    if (spec !== undefined) specs.push(spec)
  }
  return specs
}

test('parseCalendar() and nextElapse() agree with systemd on the manual and the corners', {
  skip,
}, () => {
  const specs = accepted(handMade)
  assert.equal(specs.length, handMade.length)
  for (const zone of new Set(changes.map(([name]) => name))) {
    compareElapses({ zone, afterMs: Date.UTC(2026, 0, 1), iterations: 3 }, specs)
  }
})

test('parseCalendar() refuses what systemd refuses', { skip }, () => {
  for (const text of refused) assert.equal(parseCalendar(text).kind, 'bad', text)
  assert.deepEqual(accepted(refused), [])
})

test('nextElapse() agrees with systemd on generated events around changes of clocks', {
  skip,
}, () => {
  const specs = accepted(fc.sample(expression, { seed: 4, numRuns: 1000 }))
  assert.ok(new Set(specs.map(formatCalendar)).size >= 600)
  let number = 0
  for (const [zone, atMs, hours] of changes) {
    for (const hour of hours) {
      number++
      const some = specs.filter((_, at) => at % 18 === number % 18)
      // systemd's "~" asks about the month's end in between, and then takes the second of the two.
      const sound = hours === back ? some.filter(({ fromMonthEnd }) => !fromMonthEnd) : some
      compareElapses({ zone, afterMs: atMs + hour * hourMs, iterations: 6 }, sound)
    }
  }
})
