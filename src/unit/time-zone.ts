/**
 * Time zones: the offset of local time at a moment, and the moments at which clocks show a time.
 * The rules are the platform's (Intl, from the IANA database in the pinned Node), so every machine
 * has the same ones, whatever its own tzdata says.
 */

export interface TimeZone {
  /** Local time minus UTC at the moment `atMs`. */
  offsetMs(atMs: number): number
}

// Making a formatter costs a quarter of a millisecond, using it one microsecond. There are at most
// as many as zones in the database.
const zones = new Map<string, TimeZone>()

/** The zone called "UTC" or by a name of the IANA database; undefined when there is none. */
export function findTimeZone(name: string): TimeZone | undefined {
  const known = zones.get(name)
  if (known !== undefined) return known
  const format = formatterFor(name)
  if (format === undefined) return undefined
  const zone: TimeZone = { offsetMs: (atMs) => offsetIn(format.format(atMs)) }
  zones.set(name, zone)
  return zone
}

function formatterFor(name: string): Intl.DateTimeFormat | undefined {
  // Intl also takes offsets ("+01:00"), which are no zones, and any case, which systemd does not.
  if (!/^[A-Za-z]/.test(name)) return undefined
  try {
    const format = new Intl.DateTimeFormat('en-US', { timeZone: name, timeZoneName: 'longOffset' })
    const proper = format.resolvedOptions().timeZone
    const otherCase = proper !== name && proper.toLowerCase() === name.toLowerCase()
    return otherCase ? undefined : format
  } catch {
    return undefined
  }
}

// "9/9/2001, GMT+02:00", "…, GMT".
function offsetIn(text: string): number {
  const match = /GMT([+-])(\d{2}):(\d{2})(?::(\d{2}))?$/.exec(text)
  if (match === null) return 0
  const [, sign, hours, minutes, seconds = '0'] = match
  const offset = (Number(hours) * 60 + Number(minutes)) * 60 + Number(seconds)
  return (sign === '-' ? -offset : offset) * 1000
}

const dayMs = 86_400_000

/**
 * The moments at which clocks in `zone` show `wallMs` (local time, counted as if it were UTC),
 * earliest first: one, two where they were put back, none where they were put forward over it.
 */
export function momentsOf(zone: TimeZone, wallMs: number): readonly number[] {
  // Clocks change at most once within two days.
  const offsets = new Set([zone.offsetMs(wallMs - dayMs), zone.offsetMs(wallMs + dayMs)])
  return [...offsets]
    .map((offset) => wallMs - offset)
    .filter((atMs) => atMs + zone.offsetMs(atMs) === wallMs)
    .sort((a, b) => a - b)
}
