/**
 * Cuts a byte stream into lines. Each byte is looked at once: a line that comes in many chunks is
 * kept as those chunks and joined when it is complete.
 */
import { HolonError } from '../base/errors.ts'

const newline = 10

export class LineSplitter {
  readonly #bytesMax: number
  readonly #onLine: (line: string) => void
  #parts: Buffer[] = []
  #partBytes = 0

  /** `onLine` gets each line without its newline. `bytesMax` bounds a line. */
  constructor(bytesMax: number, onLine: (line: string) => void) {
    this.#bytesMax = bytesMax
    this.#onLine = onLine
  }

  /** Throws `exhausted` for a line over the bound; the byte stream is of no use after that. */
  push(chunk: Buffer): void {
    let start = 0
    let end = chunk.indexOf(newline)
    while (end !== -1) {
      this.#check(end - start)
      this.#onLine(
        this.#parts.length === 0 ? chunk.toString('utf8', start, end) : this.#join(chunk, end),
      )
      start = end + 1
      end = chunk.indexOf(newline, start)
    }
    if (start === chunk.length) return
    this.#check(chunk.length - start)
    this.#parts.push(start === 0 ? chunk : chunk.subarray(start))
    this.#partBytes += chunk.length - start
  }

  #check(moreBytes: number): void {
    if (this.#partBytes + moreBytes <= this.#bytesMax) return
    throw new HolonError(
      'exhausted',
      `a message of more than ${this.#bytesMax} bytes came in; the link is closed`,
      { details: { frameBytesMax: this.#bytesMax } },
    )
  }

  #join(chunk: Buffer, end: number): string {
    this.#parts.push(chunk.subarray(0, end))
    const line = Buffer.concat(this.#parts, this.#partBytes + end).toString('utf8')
    this.#parts = []
    this.#partBytes = 0
    return line
  }
}
