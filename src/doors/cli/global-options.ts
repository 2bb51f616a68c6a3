/** `holon --timeout 5s -m n2 CMD …`: the options before the command, in any order. */
import { HolonError } from '../../base/errors.ts'
import { parseTimeSpanMs } from '../../unit/time-span.ts'

export interface GlobalOptions {
  /** The command and its own words. */
  readonly rest: readonly string[]
  readonly timeout?: number
  /** A selector of machines. */
  readonly machine?: string
}

/** `invalid_argument` for an option without its value. Others are left in `rest`. */
export function globalOptions(args: readonly string[]): GlobalOptions {
  const words = [...args]
  const found: { timeout?: number; machine?: string } = {}
  for (;;) {
    const [word = ''] = words
    const match = /^(?:(--timeout|--machine)(?:=(.*))?|(-m)(.+)?)$/s.exec(word)
    if (match === null) return { rest: words, ...found }
    words.shift()
    const name = match[1] ?? match[3]
    const value = match[2] ?? match[4] ?? words.shift()
    if (name === '--timeout') found.timeout = timeSpan('--timeout', value)
    else if (value) found.machine = value
    else throw new HolonError('invalid_argument', `${name} needs machines, like n2 or n1,n3`)
  }
}

/** Milliseconds, more than none and not for ever. `option` is for the message. */
export function timeSpan(option: string, text: string | undefined): number {
  const ms = text === undefined ? undefined : parseTimeSpanMs(text)
  if (ms !== undefined && Number.isFinite(ms) && ms > 0) return ms
  throw new HolonError(
    'invalid_argument',
    `${option} ${JSON.stringify(text ?? '')}: a time span is expected, like 5s or 2min`,
  )
}
