/** Single values of directives: text → value, or why not. Messages say what was expected. */
import { signalName, signalNumber } from '../base/signals.ts'
import { formatTimeSpan, parseTimeSpanMs } from './time-span.ts'

export type Parsed<T> =
  | { readonly kind: 'ok'; readonly value: T }
  | { readonly kind: 'bad'; readonly message: string }

export function ok<T>(value: T): Parsed<T> {
  return { kind: 'ok', value }
}

export function bad(message: string): { readonly kind: 'bad'; readonly message: string } {
  return { kind: 'bad', message }
}

export function parseBoolean(text: string): Parsed<boolean> {
  const word = text.toLowerCase()
  if (['1', 'yes', 'y', 'true', 't', 'on'].includes(word)) return ok(true)
  if (['0', 'no', 'n', 'false', 'f', 'off'].includes(word)) return ok(false)
  return bad(`${JSON.stringify(text)} is neither yes nor no`)
}

export function parseChoice<T extends string>(text: string, choices: readonly T[]): Parsed<T> {
  const found = choices.find((choice) => choice === text)
  if (found !== undefined) return ok(found)
  return bad(`${JSON.stringify(text)} is not one of ${choices.join(', ')}`)
}

export function parseCount(text: string, min: number, max: number): Parsed<number> {
  const value = /^[0-9]{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= max) return ok(value)
  return bad(`${JSON.stringify(text)} is no whole number from ${min} to ${max}`)
}

// What the keeper's 64-bit timers can hold without overflow, with room for adding two.
const durationMsMax = 100 * 365.25 * 86_400_000

export interface DurationOptions {
  /** What "infinity" becomes; left out, it is refused. */
  readonly infinity?: number
}

/** Milliseconds. */
export function parseDuration(text: string, options: DurationOptions = {}): Parsed<number> {
  const value = parseTimeSpanMs(text)
  if (value === undefined) {
    return bad(`${JSON.stringify(text)} is no time span, like 90, 500ms, "1min 30s" or infinity`)
  }
  if (value === Number.POSITIVE_INFINITY) {
    return options.infinity === undefined
      ? bad('infinity makes no sense here')
      : ok(options.infinity)
  }
  if (value > durationMsMax) return bad(`${formatTimeSpan(value)} is more than 100 years`)
  return ok(value)
}

export function parseSignal(text: string): Parsed<number> {
  const number = signalNumber(text)
  if (number !== undefined && signalName(number) !== undefined) return ok(number)
  return bad(`${JSON.stringify(text)} is no signal, like SIGTERM, INT or RTMIN+3`)
}

export function parseUmask(text: string): Parsed<number> {
  if (/^[0-7]{1,4}$/.test(text)) return ok(Number.parseInt(text, 8))
  return bad(`${JSON.stringify(text)} is no octal mode, like 0027`)
}

/** A user's or group's name or number; specifiers are checked after they are expanded. */
export function parseAccount(text: string): Parsed<string> {
  if (text.includes('%')) return ok(text)
  // As systemd's relaxed rule: what the user database could hold, and nothing that looks like a
  // number, a path or an option.
  const name = /^[A-Za-z_][A-Za-z0-9_.-]{0,254}\$?$/.test(text)
  const number = /^(0|[1-9][0-9]{0,9})$/.test(text) && Number(text) < 2 ** 32 - 1
  if (name || number) return ok(text)
  return bad(`${JSON.stringify(text)} is no name of a user or group, nor a number`)
}

/** A path that begins with "/" or with a specifier that may become one. */
export function parseAbsolutePath(text: string): Parsed<string> {
  if (!text.startsWith('/') && !text.startsWith('%')) {
    return bad(`${JSON.stringify(text)} is no absolute path`)
  }
  if (/[\x00-\x1f\x7f]/.test(text)) {
    return bad(`${JSON.stringify(text)} holds control characters`)
  }
  return ok(text)
}
