/**
 * systemd's time spans: "5min 20s", "1.5h", "90" (seconds), "100ms", "infinity". They are read and
 * written only here; everywhere else a duration is a number of milliseconds. A span of less than a
 * millisecond rounds up, so that a short one never turns into 0, which often means "none".
 */

const us = 1
const ms = 1000 * us
const s = 1000 * ms
const min = 60 * s
const h = 60 * min
const d = 24 * h

const unitsUs: ReadonlyMap<string, number> = new Map<string, number>(
  (
    [
      [us, 'usec us µs μs'],
      [ms, 'msec ms'],
      [s, 'seconds second sec s'],
      [min, 'minutes minute min m'],
      [h, 'hours hour hr h'],
      [d, 'days day d'],
      [7 * d, 'weeks week w'],
      [30.4375 * d, 'months month M'],
      [365.25 * d, 'years year y'],
    ] as const
  ).flatMap(([value, names]) => names.split(' ').map((name): [string, number] => [name, value])),
)

/** Microseconds; `Infinity` for "infinity"; undefined when it is no time span. */
export function parseTimeSpanUs(text: string): number | undefined {
  const trimmed = text.trim()
  if (trimmed === 'infinity') return Number.POSITIVE_INFINITY
  if (trimmed === '') return undefined
  // One term is a number, perhaps with a fraction, and perhaps a unit. A number without a unit
  // ends at white space or the end, so that "1.2.3" is no span.
  const term = /\s*(?:([0-9]+)(?:\.([0-9]+))?|\.([0-9]+))\s*([A-Za-zµμ]+|(?=\s)|$)/y
  let total = 0
  while (term.lastIndex < trimmed.length) {
    const match = term.exec(trimmed)
    if (match === null) return undefined
    const [, whole = '0', fraction, bareFraction, unit = ''] = match
    const scale = unit === '' ? s : unitsUs.get(unit)
    if (scale === undefined) return undefined
    total += Number(whole) * scale + fractionUs(fraction ?? bareFraction ?? '', scale)
  }
  return Number.isSafeInteger(total) ? total : undefined
}

// Digit by digit in whole microseconds: floating point would lose one here and there.
function fractionUs(digits: string, scale: number): number {
  let sum = 0
  let weight = Math.floor(scale / 10)
  for (const digit of digits) {
    sum += Number(digit) * weight
    weight = Math.floor(weight / 10)
  }
  return sum
}

/** Milliseconds, rounded up; `Infinity` for "infinity"; undefined when it is no time span. */
export function parseTimeSpanMs(text: string): number | undefined {
  const value = parseTimeSpanUs(text)
  return value === undefined ? undefined : Math.ceil(value / 1000)
}

const written: readonly (readonly [string, number])[] = [
  ['w', 7 * d],
  ['d', d],
  ['h', h],
  ['min', min],
  ['s', s],
  ['ms', ms],
]

/** "1h 5min 200ms" for whole milliseconds, "0" for none, "infinity" for Infinity. */
export function formatTimeSpan(durationMs: number): string {
  if (durationMs === Number.POSITIVE_INFINITY) return 'infinity'
  let rest = Math.round(durationMs) * 1000
  if (rest <= 0) return '0'
  const parts: string[] = []
  for (const [name, value] of written) {
    const count = Math.floor(rest / value)
    if (count === 0) continue
    parts.push(`${count}${name}`)
    rest -= count * value
  }
  return parts.join(' ')
}
