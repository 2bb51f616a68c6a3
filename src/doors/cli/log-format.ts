/**
 * Log entries as journalctl shows them. A terminal never gets a control character of a program's:
 * what it cannot show is written out. Where bytes matter, `cat` and pipes have them as they are.
 */
import type { LogEntry } from '../../kernel/log-types.ts'

export const logFormats = ['short', 'short-iso', 'short-precise', 'cat', 'json', 'jsonl'] as const
export type LogFormat = (typeof logFormats)[number]

export interface LogFormatOptions {
  /** The machine's name in the short formats. Default true. */
  readonly hostname?: boolean
  /** Lines of stderr are coloured. Default false. */
  readonly color?: boolean
}

/** One line, without its newline, safe for a terminal whatever the program wrote. */
export function formatEntry(
  entry: LogEntry,
  format: LogFormat,
  options: LogFormatOptions = {},
): string {
  if (format === 'json' || format === 'jsonl') return JSON.stringify(entry)
  const text = paint(escapeControls(entry.text), entry, options)
  return format === 'cat' ? text : `${prefix(entry, format, options)}${text}`
}

/** What goes before the program's own text: "Nov 22 17:24:00 n1 web.service/1: ". */
function prefix(entry: LogEntry, format: LogFormat, { hostname = true }: LogFormatOptions): string {
  const machine = hostname ? `${entry.machine} ` : ''
  return `${timestamp(entry.atMs, format)} ${machine}${entry.instance}: `
}

function paint(text: string, entry: LogEntry, { color = false }: LogFormatOptions): string {
  return color && entry.stream === 'stderr' && text !== '' ? `\x1b[31m${text}\x1b[39m` : text
}

/** Control characters but tabs as \xNN, and those that reorder or hide text as \u{…}. */
export function escapeControls(text: string): string {
  return text.replaceAll(
    /[\x00-\x08\x0a-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]/g,
    (character) => {
      const code = character.charCodeAt(0)
      const hex = code.toString(16)
      return code < 0x100 ? `\\x${hex.padStart(2, '0')}` : `\\u{${hex}}`
    },
  )
}

const months = 'Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec'.split(' ')
const two = (n: number) => String(n).padStart(2, '0')

function timestamp(atMs: number, format: LogFormat): string {
  const t = new Date(atMs)
  const time = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`
  if (format === 'short-iso') {
    const offset = -t.getTimezoneOffset()
    const zone = `${offset < 0 ? '-' : '+'}${two(Math.floor(Math.abs(offset) / 60))}${two(Math.abs(offset) % 60)}`
    return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())}T${time}${zone}`
  }
  const date = `${months[t.getMonth()]} ${two(t.getDate())} ${time}`
  if (format !== 'short-precise') return date
  const microseconds = Math.floor((((atMs % 1000) + 1000) % 1000) * 1000)
  return `${date}.${String(microseconds).padStart(6, '0')}`
}

export interface LogRendererOptions extends LogFormatOptions {
  readonly format: LogFormat
  /** The output is a terminal: nothing but `cat` may write control characters to it. */
  readonly terminal: boolean
}

/**
 * Entries as the bytes to write, one after the other. The pieces of a line that comes in several
 * entries are put together on one line again, unless another line comes in between.
 */
export class LogRenderer {
  readonly #options: LogRendererOptions
  /** The instance and stream whose line is not ended yet. */
  #open: string | undefined

  constructor(options: LogRendererOptions) {
    this.#options = options
  }

  render(entry: LogEntry): Buffer {
    const { format, terminal } = this.#options
    if (format === 'json' || format === 'jsonl') {
      return Buffer.from(`${formatEntry(entry, format)}\n`)
    }
    const line = `${entry.stream} ${entry.machine} ${entry.instance}`
    const goesOn = this.#open === line
    const parts: Buffer[] = []
    if (this.#open !== undefined && !goesOn) parts.push(Buffer.from('\n'))
    if (format !== 'cat' && !goesOn) {
      parts.push(Buffer.from(prefix(entry, format, this.#options)))
    }
    if (terminal && format !== 'cat') {
      parts.push(Buffer.from(paint(escapeControls(entry.text), entry, this.#options)))
    } else {
      parts.push(exactBytes(entry))
    }
    if (entry.complete) parts.push(Buffer.from('\n'))
    this.#open = entry.complete ? undefined : line
    return Buffer.concat(parts)
  }

  /** What is to be written behind the last entry. */
  end(): Buffer {
    const open = this.#open !== undefined && this.#options.format !== 'cat'
    this.#open = undefined
    return Buffer.from(open ? '\n' : '')
  }
}

function exactBytes(entry: LogEntry): Buffer {
  return entry.base64 === undefined ? Buffer.from(entry.text) : Buffer.from(entry.base64, 'base64')
}
