/** The time zone in which this host shows times, as the IANA database names it; UTC without one. */
export function localTimeZone(): string {
  return new Intl.DateTimeFormat().resolvedOptions().timeZone ?? 'UTC'
}
