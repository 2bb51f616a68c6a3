import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatCalendar } from './calendar.ts'
import { nextElapse } from './calendar-next.ts'
import { parseCalendar } from './calendar-parse.ts'

function read(text: string) {
  const parsed = parseCalendar(text)
  assert.ok(parsed.kind === 'ok', JSON.stringify(parsed))
  return parsed.value
}

function refusal(text: string): string {
  const parsed = parseCalendar(text)
  assert.equal(parsed.kind, 'bad', text)
  return parsed.kind === 'bad' ? parsed.message : ''
}

/** The next moments after `after`, as ISO texts in UTC. */
function next(text: string, after: string, zone = 'UTC', count = 3): readonly string[] {
  const found: string[] = []
  let at = nextElapse(read(text), Date.parse(after), zone)
  while (at !== undefined && found.length < count) {
    found.push(new Date(at).toISOString().replace('.000Z', 'Z'))
    at = nextElapse(read(text), at, zone)
  }
  return found
}

test('formatCalendar() writes the normal text', () => {
  const pairs: readonly (readonly [text: string, normal: string])[] = [
    ['weekly', 'Mon *-*-* 00:00:00'],
    ['Sat,Thu,Mon..Wed,Sat..Sun', 'Mon..Thu,Sat,Sun *-*-* 00:00:00'],
    ['mon,fri *-1/2-1,3 *:30:45', 'Mon,Fri *-01/2-01,03 *:30:45'],
    ['*-02~03', '*-02~03 00:00:00'],
    ['05:40:23.4200004/3.1700005', '*-*-* 05:40:23.420000/3.170001'],
    ['12-10-15 1:2:3 utc', '2012-10-15 01:02:03 UTC'],
    ['*:*:*  Europe/Paris', '*-*-* *:*:* Europe/Paris'],
    ['@1700000000', '2023-11-14 22:13:20 UTC'],
  ]
  for (const [text, normal] of pairs) assert.equal(formatCalendar(read(text)), normal, text)
})

test('parseCalendar() names the word that it does not understand', () => {
  const wrong: readonly (readonly [text: string, message: RegExp])[] = [
    ['fortnightly', /"fortnightly": expected weekdays, a date, a time, or a word like daily/],
    ['Mon,Fra 12:00', /"Fra" in "Mon,Fra": expected weekdays, like Mon/],
    ['Fri..Mon', /"Fri..Mon": Mon comes before Fri/],
    ['25:00', /"25" as hour: expected 0 to 23/],
    ['*-*-* 1:2:60', /"60" as second: expected 0 to 59/],
    ['*:0/0', /"0\/0" as minute: each 0 is never/],
    ['*:30..10', /"30..10" as minute: the range ends before it begins/],
    ['*:*/5', /"\*\/5" as minute: expected \*, or numbers like/],
    ['2026-1', /"2026" as month/],
    ['12:00 Europe/Atlantis', /"Europe\/Atlantis" is no known time zone, like UTC/],
    ['12:00 CEST', /"CEST" is no known time zone/],
    ['12:00 13:00', /"12:00" is no date/],
    ['Mon 1-1 12:00 5 UTC', /"5": expected nothing more/],
    ['@99999999999999', /expected whole seconds since 1970/],
    ['', /"": expected/],
  ]
  for (const [text, message] of wrong) assert.match(refusal(text), message, text)
})

test('parseCalendar() reads its own normal text as the same', () => {
  const words = fc.constantFrom('*', '1', '3,1', '5..9', '2/3', '1..12/4', '7..8,2/5')
  const text = fc
    .tuple(
      fc.constantFrom('', 'Mon ', 'Sat,tue '),
      fc.constantFrom('*', '2026', '2030/2', '26..31'),
      words,
      fc.constantFrom('-', '~'),
      words,
      words,
      words,
      fc.oneof(words, fc.constantFrom('0.5', '1.25/7.5', '3..4.5/0.000001')),
      fc.constantFrom('', ' UTC', ' America/New_York'),
    )
    .map(([days, year, month, mark, day, hour, minute, second, zone]) =>
      [days, year, '-', month, mark, day, ' ', hour, ':', minute, ':', second, zone].join(''),
    )
  fc.assert(
    fc.property(text, (value) => {
      const parsed = parseCalendar(value)
      // "~2/5" is none: five before the last but one is behind the month.
      fc.pre(parsed.kind === 'ok')
      assert.deepEqual(parseCalendar(formatCalendar(parsed.value)), parsed)
    }),
  )
})

test('parseCalendar() takes any text without throwing', () => {
  const token = fc.constantFrom('Mon', '*', '-', '~', ':', '/', '..', ',', ' ', '1', '59', '@', '.')
  const text = fc.oneof(
    fc.string(),
    fc.array(token).map((list) => list.join('')),
  )
  fc.assert(
    fc.property(text, (value) => {
      const parsed = parseCalendar(value)
      if (parsed.kind === 'ok') nextElapse(parsed.value, 0, 'UTC')
    }),
  )
})

test('nextElapse() is after the moment asked about, and the first one there', () => {
  const text = fc.constantFrom(
    '*:*:0/7',
    '*:0/5',
    'Mon,Thu 2:30',
    '*-*~1..3 1:*',
    '*-1/5-29 *:0/20',
  )
  const zone = fc.constantFrom('UTC', 'Europe/Paris', 'America/New_York', 'Australia/Lord_Howe')
  const after = fc.integer({ min: Date.UTC(2026, 0), max: Date.UTC(2030, 0) })
  fc.assert(
    fc.property(
      text,
      zone,
      after,
      fc.integer({ min: 0, max: 1000 }),
      (text, zone, afterMs, share) => {
        const spec = read(text)
        const found = nextElapse(spec, afterMs, zone)
        assert.ok(found !== undefined && found > afterMs)
        // From anywhere in between it is the same, also while clocks show an hour twice.
        const betweenMs = afterMs + Math.floor(((found - 1 - afterMs) * share) / 1000)
        assert.equal(nextElapse(spec, betweenMs, zone), found)
      },
    ),
    { numRuns: 1000 },
  )
})

test('nextElapse() leaves out times that clocks leave out, and counts repeated ones once', () => {
  assert.deepEqual(next('2:30', '2026-03-28T12:00Z', 'Europe/Paris', 2), [
    '2026-03-30T00:30:00Z',
    '2026-03-31T00:30:00Z',
  ])
  assert.deepEqual(next('2:30', '2026-10-24T12:00Z', 'Europe/Paris', 2), [
    '2026-10-25T00:30:00Z',
    '2026-10-26T01:30:00Z',
  ])
  assert.deepEqual(next('hourly', '2026-10-24T23:30Z', 'Europe/Paris'), [
    '2026-10-25T00:00:00Z',
    '2026-10-25T02:00:00Z',
    '2026-10-25T03:00:00Z',
  ])
  // Half an hour only.
  assert.deepEqual(next('*:0/15', '2028-09-30T15:15Z', 'Australia/Lord_Howe'), [
    '2028-09-30T15:30:00Z',
    '2028-09-30T15:45:00Z',
    '2028-09-30T16:00:00Z',
  ])
  // A whole day that Samoa never had.
  assert.deepEqual(next('12:00', '2011-12-29T12:00Z', 'Pacific/Apia', 2), [
    '2011-12-29T22:00:00Z',
    '2011-12-30T22:00:00Z',
  ])
})

test('nextElapse() counts from the end of the month', () => {
  const ends = ['2027-01-31T00:00:00Z', '2027-02-28T00:00:00Z', '2027-03-31T00:00:00Z']
  assert.deepEqual(next('*-*~1', '2027-01-15T00:00Z'), ends)
  assert.deepEqual(next('Mon *-05~07/1', '2026-01-01T00:00Z', 'UTC', 2), [
    '2026-05-25T00:00:00Z',
    '2027-05-31T00:00:00Z',
  ])
})

test('nextElapse() ends with the calendar, and knows days that never come', () => {
  assert.deepEqual(next('2199-12-31 23:59', '2026-01-01T00:00Z'), ['2199-12-31T23:59:00Z'])
  assert.deepEqual(next('*-02-30', '2026-01-01T00:00Z'), [])
  assert.deepEqual(next('daily', '2250-01-01T00:00Z'), [])
  assert.deepEqual(next('*-02-29', '2096-03-01T00:00Z', 'UTC', 1), ['2104-02-29T00:00:00Z'])
})

test('nextElapse() rounds fractions up to milliseconds', () => {
  assert.deepEqual(next('*:*:59.9995', '2026-01-01T00:00Z', 'UTC', 1), ['2026-01-01T00:01:00Z'])
  assert.deepEqual(next('*:*:0/0.0004', '2026-01-01T00:00Z', 'UTC', 2), [
    '2026-01-01T00:00:00.001Z',
    '2026-01-01T00:00:00.002Z',
  ])
})
