/**
 * The text of a unit file → its directives, each with file and line. Only syntax is judged here:
 * which directives exist, and what their values mean, is for the table and unit.ts.
 *
 * Follows systemd: comments begin with # or ; at the start of a line, a trailing backslash joins
 * the next line (comment lines in between fall out, an empty line ends it), values keep their
 * quotes. Where systemd warns and goes on (a line without "=", bad UTF-8, text before the first
 * section) this refuses, since a line that is not understood must not be dropped silently.
 */
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { trimWhitespace } from './words.ts'

/** Something in a unit file that stops it from being loaded. */
export interface UnitProblem {
  readonly file: string
  /** From 1. */
  readonly line: number
  readonly directive?: string
  readonly message: string
  /** The nearest spelling, for a name that is not known. */
  readonly suggestion?: string
}

export interface DirectiveLine {
  readonly section: string
  readonly name: string
  /** Without surrounding white space, continuation lines joined by a space each. */
  readonly value: string
  readonly file: string
  /** Where the directive begins. */
  readonly line: number
}

export interface SectionLine {
  readonly section: string
  readonly file: string
  readonly line: number
}

export interface ParsedUnitFile {
  readonly sections: readonly SectionLine[]
  /** In the order of the file; repeated names stay apart. */
  readonly directives: readonly DirectiveLine[]
  readonly problems: readonly UnitProblem[]
}

export interface UnitSource {
  /** For messages: "web.service" or a path. */
  readonly file: string
  /** Bytes are decoded as UTF-8; bytes that are none are a problem, except in comments. */
  readonly text: string | Uint8Array
}

/** Never throws for bad input: what is wrong is in `problems`. */
export function parseUnitFile(source: UnitSource): ParsedUnitFile {
  const bytes =
    typeof source.text === 'string' ? Buffer.byteLength(source.text) : source.text.length
  if (bytes > limits.unitFileBytesMax) {
    const message = `the file has ${bytes} bytes, more than ${limits.unitFileBytesMax}`
    return { sections: [], directives: [], problems: [{ file: source.file, line: 1, message }] }
  }
  return new UnitFileParser(source).parse()
}

/**
 * A unit file with its drop-ins, in the order they apply: as if each were appended to the one
 * before, so a later value replaces an earlier one, adds to a list, or resets it by being empty.
 */
export function mergeUnitFiles(
  main: ParsedUnitFile,
  dropIns: readonly ParsedUnitFile[],
): ParsedUnitFile {
  const files = [main, ...dropIns]
  return {
    sections: files.flatMap((file) => file.sections),
    directives: files.flatMap((file) => file.directives),
    problems: files.flatMap((file) => file.problems),
  }
}

/** One line for each problem: "web.service:7: Frobnicate=: unknown directive". */
export function formatUnitProblem(problem: UnitProblem): string {
  const directive = problem.directive === undefined ? '' : `${problem.directive}=: `
  const hint = problem.suggestion === undefined ? '' : ` (did you mean ${problem.suggestion}=?)`
  return `${problem.file}:${problem.line}: ${directive}${problem.message}${hint}`
}

/** All problems in one error, for the callers that cannot go on. */
export function unitProblemsError(name: string, problems: readonly UnitProblem[]): HolonError {
  const lines = problems.map(formatUnitProblem)
  return new HolonError(
    'invalid_argument',
    [`load ${name}: ${countOf(problems.length)}, nothing was changed`, ...lines].join('\n'),
    { details: { problems: lines } },
  )
}

function countOf(problems: number): string {
  return problems === 1 ? '1 line is refused' : `${problems} lines are refused`
}

class UnitFileParser {
  readonly #file: string
  readonly #lines: readonly string[]
  readonly #sections: SectionLine[] = []
  readonly #directives: DirectiveLine[] = []
  readonly #problems: UnitProblem[] = []
  #section: string | undefined

  constructor(source: UnitSource) {
    this.#file = source.file
    const text =
      typeof source.text === 'string'
        ? source.text
        : new TextDecoder('utf-8', { ignoreBOM: true }).decode(source.text)
    this.#lines = text.replace(/^\uFEFF/, '').split(/\r\n|\n|\r/)
  }

  parse(): ParsedUnitFile {
    let parts: string[] = []
    let start = 0
    for (const [index, text] of this.#lines.entries()) {
      const line = index + 1
      if (text.includes('\0')) this.#refuse(line, 'the line holds a NUL byte')
      if (/^[ \t]*[#;]/.test(text)) continue
      if (start === 0) start = line
      // An even number of backslashes at the end is escaped backslashes, no continuation.
      if (endsInBackslash(text)) {
        parts.push(text.slice(0, -1))
        continue
      }
      this.#line(trimWhitespace([...parts, text].join(' ')), start)
      parts = []
      start = 0
    }
    if (start !== 0) this.#line(trimWhitespace(parts.join(' ')), start)
    return { sections: this.#sections, directives: this.#directives, problems: this.#problems }
  }

  #line(text: string, line: number): void {
    if (text === '') return
    // A replacement character is what is left of bytes that were no UTF-8; surrogates alone are
    // what is left of a string cut in the middle.
    if (/\uFFFD/.test(text) || !text.isWellFormed()) {
      this.#refuse(line, 'the line holds bytes that are no UTF-8')
    } else if (text.startsWith('[')) this.#header(text, line)
    else this.#assignment(text, line)
  }

  #header(text: string, line: number): void {
    const name = /^\[([^\x00-\x1f\x7f[\]"'\\]+)\]$/.exec(text)?.[1]
    // The rest of a bad section belongs to nothing; "" keeps its lines from being judged too.
    this.#section = name ?? ''
    if (name === undefined) {
      this.#refuse(line, `${JSON.stringify(text)} is no section header, like [Service]`)
    } else this.#sections.push({ section: name, file: this.#file, line })
  }

  #assignment(text: string, line: number): void {
    const equals = text.indexOf('=')
    const name = trimWhitespace(text.slice(0, Math.max(equals, 0)))
    if (this.#section === '') return
    if (equals < 0) {
      this.#refuse(line, `${JSON.stringify(shorten(text))} has no "=": expected NAME=VALUE`)
    } else if (this.#section === undefined) {
      this.#refuse(line, `${JSON.stringify(shorten(text))} stands before the first [Section]`)
    } else if (name === '') {
      this.#refuse(line, 'there is no name before "="')
    } else {
      const value = trimWhitespace(text.slice(equals + 1))
      this.#directives.push({ section: this.#section, name, value, file: this.#file, line })
    }
  }

  #refuse(line: number, message: string): void {
    this.#problems.push({ file: this.#file, line, message })
  }
}

function endsInBackslash(text: string): boolean {
  let count = 0
  while (count < text.length && text.charAt(text.length - 1 - count) === '\\') count++
  return count % 2 === 1
}

function shorten(text: string): string {
  return text.length <= 60 ? text : `${text.slice(0, 59)}…`
}
