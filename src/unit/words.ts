/**
 * Words of a unit file's value: split at white space, with quotes and C escapes, as
 * systemd.syntax(7) describes. Quotes may open anywhere in a word; escapes count inside both kinds
 * of quotes. An unknown escape is kept as it is written, and reported, since regular expressions
 * hold many.
 */

const whitespace = ' \t\n\r'
const simpleEscapes: Readonly<Record<string, string>> = {
  a: '\x07',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
  s: ' ',
  '\\': '\\',
  '"': '"',
  "'": "'",
}

export type WordScan =
  | {
      readonly kind: 'word'
      readonly word: string
      /** Where the next word or the end is: past the white space. */
      readonly next: number
      readonly unknownEscapes: readonly string[]
    }
  | { readonly kind: 'end' }
  | { readonly kind: 'bad'; readonly message: string }

export function skipWhitespace(text: string, start: number): number {
  let at = start
  while (at < text.length && isWhitespace(text.charAt(at))) at++
  return at
}

export function isWhitespace(character: string): boolean {
  return character !== '' && whitespace.includes(character)
}

/** Without white space at both ends. A loop: a pattern would be slow on long runs of spaces. */
export function trimWhitespace(text: string): string {
  const start = skipWhitespace(text, 0)
  let end = text.length
  while (end > start && isWhitespace(text.charAt(end - 1))) end--
  return text.slice(start, end)
}

/** The word that begins at or after `start`. */
export function nextWord(text: string, start: number): WordScan {
  let at = skipWhitespace(text, start)
  if (at >= text.length) return { kind: 'end' }
  const builder = new WordBuilder()
  const unknownEscapes: string[] = []
  let quote = ''
  for (; at < text.length; at++) {
    const character = text.charAt(at)
    if (character === '\\') {
      const known = readEscape(text, at)
      if (known === undefined) {
        const verbatim = text.slice(at, at + 2)
        unknownEscapes.push(verbatim)
        builder.text(verbatim)
        at += verbatim.length - 1
      } else {
        if (known.byte === undefined) builder.text(known.text)
        else builder.byte(known.byte)
        at += known.length - 1
      }
    } else if (quote !== '') {
      if (character === quote) quote = ''
      else builder.text(character)
    } else if (character === '"' || character === "'") {
      quote = character
    } else if (isWhitespace(character)) {
      break
    } else {
      builder.text(character)
    }
  }
  if (quote !== '') return { kind: 'bad', message: `a quote ${quote} is not closed` }
  const word = builder.finish()
  if (word === undefined) {
    return {
      kind: 'bad',
      message: 'the escapes make bytes that are no UTF-8, which no word can hold',
    }
  }
  return { kind: 'word', word, next: skipWhitespace(text, at), unknownEscapes }
}

export type Words =
  | {
      readonly kind: 'words'
      readonly words: readonly string[]
      readonly unknownEscapes: readonly string[]
    }
  | { readonly kind: 'bad'; readonly message: string }

/** All words of `text`. */
export function splitWords(text: string): Words {
  const words: string[] = []
  const unknownEscapes: string[] = []
  for (let at = 0; ; ) {
    const scan = nextWord(text, at)
    if (scan.kind === 'bad') return scan
    if (scan.kind === 'end') return { kind: 'words', words, unknownEscapes }
    words.push(scan.word)
    unknownEscapes.push(...scan.unknownEscapes)
    at = scan.next
  }
}

/**
 * Words of a variable's value, for `$NAME`: quotes group and vanish, a backslash takes the next
 * character as it is, and a quote left open ends with the value. Cannot fail.
 */
export function splitVariable(value: string): readonly string[] {
  const words: string[] = []
  let word: string | undefined
  let quote = ''
  for (let at = 0; at < value.length; at++) {
    const character = value.charAt(at)
    if (character === '\\') {
      at++
      word = (word ?? '') + value.charAt(at)
    } else if (quote !== '') {
      if (character === quote) quote = ''
      else word = (word ?? '') + character
    } else if (character === '"' || character === "'") {
      quote = character
      word ??= ''
    } else if (isWhitespace(character)) {
      if (word !== undefined) words.push(word)
      word = undefined
    } else {
      word = (word ?? '') + character
    }
  }
  if (word !== undefined) words.push(word)
  return words
}

/** `word` so that `splitWords` gives it back: as it is where possible, else in double quotes. */
export function quoteWord(word: string): string {
  if (word !== '' && !/[\s"'\\;\x00-\x1f\x7f]/.test(word)) return word
  const escaped = word.replace(/[\\"\x00-\x1f\x7f]/g, (character) => {
    if (character === '\\' || character === '"') return `\\${character}`
    if (character === '\n') return '\\n'
    if (character === '\t') return '\\t'
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
  return `"${escaped}"`
}

/** `text` with its escapes replaced; undefined when one is not known. */
export function unescapeBytes(text: string): Uint8Array | undefined {
  const parts: Uint8Array[] = []
  for (let at = 0; at < text.length; ) {
    const next = text.indexOf('\\', at)
    const end = next < 0 ? text.length : next
    parts.push(Buffer.from(text.slice(at, end)))
    at = end
    if (next < 0) break
    const known = readEscape(text, at)
    if (known === undefined) return undefined
    const { byte } = known
    parts.push(byte === undefined ? Buffer.from(known.text) : Uint8Array.of(byte))
    at += known.length
  }
  return Buffer.concat(parts)
}

type Escape = { readonly length: number; readonly text: string; readonly byte?: number }

// The escape at `at`, where a backslash is; undefined when it is none of the known ones.
function readEscape(text: string, at: number): Escape | undefined {
  const letter = text.charAt(at + 1)
  const simple = simpleEscapes[letter]
  if (simple !== undefined) return { length: 2, text: simple }
  const rest = text.slice(at + 1, at + 10)
  const match = /^(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(rest)
  if (match === null) return undefined
  const [all, hex, octal, short, long] = match
  const length = 1 + all.length
  if (hex !== undefined || octal !== undefined) {
    const byte = hex === undefined ? Number.parseInt(octal ?? '', 8) : Number.parseInt(hex, 16)
    // NUL ends a string for every program, so it is no escape at all.
    return byte === 0 || byte > 255 ? undefined : { length, text: '', byte }
  }
  const point = Number.parseInt(short ?? long ?? '', 16)
  const surrogate = point >= 0xd800 && point <= 0xdfff
  if (point === 0 || point > 0x10ffff || surrogate) return undefined
  return { length, text: String.fromCodePoint(point) }
}

// Text and single bytes in turn; neighbouring bytes together have to make UTF-8.
class WordBuilder {
  #done = ''
  #bytes: number[] = []
  #valid = true

  text(text: string): void {
    this.#flush()
    this.#done += text
  }

  byte(byte: number): void {
    this.#bytes.push(byte)
  }

  finish(): string | undefined {
    this.#flush()
    return this.#valid ? this.#done : undefined
  }

  #flush(): void {
    if (this.#bytes.length === 0) return
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
    try {
      this.#done += decoder.decode(Uint8Array.from(this.#bytes))
    } catch {
      this.#valid = false
    }
    this.#bytes = []
  }
}
