/**
 * Environment= assignments, and the files of EnvironmentFile=. The two have different grammars: the
 * first is split like a command line, the second is a restricted shell syntax, see systemd.exec(5).
 */
import { isWhitespace, splitWords, trimWhitespace } from './words.ts'

export type Assignment = readonly [name: string, value: string]

export type Assignments =
  | { readonly kind: 'assignments'; readonly assignments: readonly Assignment[] }
  | { readonly kind: 'bad'; readonly message: string }

export function isVariableName(name: string): boolean {
  return /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
}

/** `A=1 "B=two words"`; specifiers are left in the values. */
export function parseAssignments(value: string): Assignments {
  const split = splitWords(value)
  if (split.kind === 'bad') return split
  const unknown = split.unknownEscapes[0]
  if (unknown !== undefined) {
    return { kind: 'bad', message: `unknown escape ${unknown}: write \\\\ for a backslash` }
  }
  const assignments: Assignment[] = []
  for (const word of split.words) {
    const equals = word.indexOf('=')
    const name = equals < 0 ? word : word.slice(0, equals)
    if (equals < 0 || !isVariableName(name)) {
      return {
        kind: 'bad',
        message: `${JSON.stringify(word)} is no assignment NAME=VALUE (quote the whole of it)`,
      }
    }
    assignments.push([name, word.slice(equals + 1)])
  }
  return { kind: 'assignments', assignments }
}

export interface EnvironmentFileContent {
  readonly assignments: readonly Assignment[]
  /** Lines that were passed over, as systemd does, with their number. */
  readonly skipped: readonly { readonly line: number; readonly message: string }[]
}

/**
 * Reads a file of assignments. As with systemd, a line that is none does not fail the service: it
 * is passed over, and reported here: by its number alone, since what such a file holds is often
 * a secret, and one that was put into a file of another form most of all.
 */
export function parseEnvironmentFile(text: string): EnvironmentFileContent {
  const reader = new EnvironmentReader(text)
  return reader.read()
}

class EnvironmentReader {
  readonly #text: string
  readonly #assignments: Assignment[] = []
  readonly #skipped: { line: number; message: string }[] = []
  #at = 0
  #line = 1

  constructor(text: string) {
    this.#text = text.startsWith('\uFEFF') ? text.slice(1) : text
  }

  read(): EnvironmentFileContent {
    while (this.#at < this.#text.length) {
      const character = this.#peek()
      if (isWhitespace(character)) this.#take()
      else if (character === '#' || character === ';') this.#comment()
      else this.#assignment()
    }
    return { assignments: this.#assignments, skipped: this.#skipped }
  }

  // To the end of the line. A backslash there means nothing, as in systemd since 254.
  #comment(): void {
    while (this.#at < this.#text.length && !isLineEnd(this.#take()));
  }

  #assignment(): void {
    const line = this.#line
    let name = ''
    while (this.#at < this.#text.length && !isLineEnd(this.#peek()) && this.#peek() !== '=') {
      name += this.#take()
    }
    name = trimWhitespace(name)
    if (this.#peek() !== '=') {
      this.#skip(line, 'there is no "=" in it')
      return
    }
    this.#take()
    const value = this.#value()
    if (!isVariableName(name)) {
      this.#skip(line, 'what stands before the "=" is no name of a variable')
    } else if (value.includes('\0')) {
      this.#skip(line, `the value of ${name} holds a NUL`)
    } else {
      this.#assignments.push([name, value])
    }
  }

  // Quoted parts may stand at the beginning and right after one another; behind the first plain
  // character a quote is a character like any other.
  #value(): string {
    let value = ''
    while (this.#at < this.#text.length) {
      const character = this.#peek()
      if (isLineEnd(character)) return value
      if (character === "'") value += this.#singleQuoted()
      else if (character === '"') value += this.#doubleQuoted()
      else if (isWhitespace(character)) this.#take()
      else return value + this.#plain()
    }
    return value
  }

  #singleQuoted(): string {
    this.#take()
    let value = ''
    while (this.#at < this.#text.length) {
      const character = this.#take()
      if (character === "'") break
      value += character
    }
    return value
  }

  #doubleQuoted(): string {
    this.#take()
    let value = ''
    while (this.#at < this.#text.length) {
      const character = this.#take()
      if (character === '"') break
      if (character !== '\\') {
        value += character
        continue
      }
      const next = this.#take()
      if (next === '\n') continue
      value += '"\\`$'.includes(next) ? next : `\\${next}`
    }
    return value
  }

  #plain(): string {
    let value = ''
    // White space at the end falls away, but not where a backslash kept it.
    let kept = 0
    while (this.#at < this.#text.length && !isLineEnd(this.#peek())) {
      const character = this.#take()
      if (character === '\\') {
        const next = this.#take()
        if (!isLineEnd(next)) value += next
        kept = value.length
      } else {
        value += character
        if (!isWhitespace(character)) kept = value.length
      }
    }
    return value.slice(0, kept)
  }

  #skip(line: number, message: string): void {
    this.#skipped.push({ line, message })
  }

  #peek(): string {
    return this.#text.charAt(this.#at)
  }

  #take(): string {
    const character = this.#text.charAt(this.#at)
    this.#at++
    if (character === '\n') this.#line++
    return character
  }
}

function isLineEnd(character: string): boolean {
  return character === '\n' || character === '\r'
}
