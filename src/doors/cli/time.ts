/** Times as people read them. */

/** "2026-11-22 17:24:00" in the local time zone. */
export function isoTime(wallMs: number): string {
  const t = new Date(wallMs)
  const two = (n: number) => String(n).padStart(2, '0')
  return (
    `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ` +
    `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`
  )
}

/** "3min 20s ago", "2 days ago": the two largest parts. */
export function ago(elapsedMs: number): string {
  return `${duration(elapsedMs)} ago`
}

/** "3min 20s left"; "due" when nothing is. */
export function leftText(ms: number): string {
  return ms <= 0 ? 'due' : `${duration(ms)} left`
}

/** "12 s ago", "3 min ago": one part, for a time that stands beside it. */
export function sinceText(elapsedMs: number): string {
  const [size, name] = parts.find(([ms]) => elapsedMs >= ms) ?? ([1000, 's'] as const)
  return `${Math.floor(Math.max(0, elapsedMs) / size)} ${name} ago`
}

const parts = [
  [86_400_000, 'd'],
  [3_600_000, 'h'],
  [60_000, 'min'],
  [1000, 's'],
] as const

/** "2d 3h", "3min 20s", "0s". */
export function duration(ms: number): string {
  const words: string[] = []
  let rest = Math.max(0, ms)
  for (const [size, name] of parts) {
    const count = Math.floor(rest / size)
    rest -= count * size
    if (count > 0) words.push(`${count}${name}`)
    if (words.length === 2) break
  }
  return words.length === 0 ? '0s' : words.join(' ')
}

const units = ['B', 'K', 'M', 'G', 'T'] as const

/** "12.3M". */
export function bytes(count: number): string {
  let value = count
  let unit = 0
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024
    unit++
  }
  return unit === 0 ? `${count}B` : `${value.toFixed(1)}${units[unit]}`
}
