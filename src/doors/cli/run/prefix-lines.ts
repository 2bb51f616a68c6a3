/**
 * Cuts a byte stream into lines and puts a prefix before each: output of many machines can then be
 * mixed without tearing a line. What is no whole line yet is held back, up to a bound. Pure.
 */

export interface Prefixes {
  /** Before a line: "n2 | ". */
  readonly line: string
  /** Before the rest of a line that was longer than the bound: "n2 + ". */
  readonly rest: string
}

/** A line longer than this is shown in pieces. */
export const lineBytesMax = 64 * 1024

const newline = 0x0a

export class LinePrefixer {
  readonly #line: Buffer
  readonly #rest: Buffer
  #held: Buffer[] = []
  #heldBytes = 0
  /** The line that is held began before, in a piece that is out already. */
  #continued = false

  constructor(prefixes: Prefixes) {
    this.#line = Buffer.from(prefixes.line)
    this.#rest = Buffer.from(prefixes.rest)
  }

  /** The lines that are whole now. `bytes` may be used for something else afterwards. */
  push(bytes: Buffer): Buffer {
    const out: Buffer[] = []
    let from = 0
    while (from < bytes.length) {
      const found = bytes.indexOf(newline, from)
      const room = from + lineBytesMax - this.#heldBytes
      const lineEnd = found < 0 ? bytes.length : found + 1
      const to = Math.min(lineEnd, room)
      this.#hold(bytes.subarray(from, to))
      from = to
      if (found >= 0 && to === lineEnd) this.#release(out, true)
      else if (this.#heldBytes >= lineBytesMax) this.#release(out, false)
    }
    // What stays is copied: the caller's memory is its own again. What goes out is joined anyway.
    const result = Buffer.concat(out)
    this.#held = this.#held.length === 0 ? [] : [Buffer.concat(this.#held)]
    return result
  }

  /** A last line without its newline gets one. */
  end(): Buffer {
    const out: Buffer[] = []
    if (this.#heldBytes > 0) this.#release(out, false)
    return Buffer.concat(out)
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes)
    this.#heldBytes += bytes.length
  }

  #release(out: Buffer[], whole: boolean): void {
    out.push(this.#continued ? this.#rest : this.#line, ...this.#held)
    if (!whole) out.push(Buffer.from('\n'))
    this.#continued = !whole
    this.#held = []
    this.#heldBytes = 0
  }
}
