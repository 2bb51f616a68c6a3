/**
 * The log of one instance as a sequence of lines that can be walked from any position in both
 * directions. Never more than a chunk of a file is in memory.
 *
 * A position names a file by inode and first time, so that it stays good over rotations and over a
 * restart of the agent; in a file that is gone it means the oldest that is there. In a copy on
 * another machine the same positions mean the same lines: who read the log reads on in its copy.
 */
import type { LogPosition } from '../cluster/logs-kept/kept-log.ts'
import {
  type LogFile,
  type LogLine,
  listLogFiles,
  parseLogLine,
  readLogFile,
  timeBytes,
  timeTextOf,
} from '../io/log-files.ts'

export interface PlacedLine extends LogLine {
  /** Where it begins, and where the next one does. */
  readonly file: number
  readonly offset: number
  readonly end: number
}

const chunkBytes = 64 * 1024
/** A line longer than this is damage: keepers write at most 16 KiB. */
const lineBytesMax = 256 * 1024
const newline = 0x0a

export class LogSource {
  readonly instance: string
  readonly files: readonly LogFile[]
  /** Lines that were skipped because they could not be read, since it was last asked. */
  #damaged = 0
  /** Whether the copy lacks something between what was given and what comes. */
  #gap = false
  /** A position in a file that the copy has not got yet. */
  #beyond: LogPosition = [0, 0, '']
  #file = 0
  #offset = 0
  /** Bytes read ahead, from `#offset` on. */
  #ahead: Buffer = Buffer.alloc(0)
  #next: PlacedLine | undefined

  constructor(instance: string, dir: string) {
    this.instance = instance
    this.files = listLogFiles(dir)
    this.#offset = this.files[0]?.start ?? 0
  }

  /** Before the line that `next()` would give. */
  async position(): Promise<LogPosition> {
    const file = this.#next?.file ?? this.#file
    const offset = this.#next?.offset ?? this.#offset
    const entry = this.files[file]
    return entry === undefined ? this.#beyond : [entry.ino, offset, await firstTimeOf(entry)]
  }

  /** How many damaged lines were passed since this was last asked. */
  takeDamaged(): number {
    const count = this.#damaged
    this.#damaged = 0
    return count
  }

  /** Whether a gap in a copy was passed since this was last asked. */
  takeGap(): boolean {
    const gap = this.#gap
    this.#gap = false
    return gap
  }

  seek(file: number, offset: number): void {
    this.#file = file
    this.#offset = offset
    this.#ahead = Buffer.alloc(0)
    this.#next = undefined
  }

  async seekPosition(position: LogPosition): Promise<void> {
    const [ino, offset, time] = position
    const index = this.files.findIndex(
      (file) => file.ino === ino && file.start <= offset && offset <= file.end,
    )
    const file = this.files[index]
    const same = file !== undefined && (time === '' || (await firstTimeOf(file)) === time)
    if (same) this.seek(index, offset)
    else if (this.files[0]?.segment === undefined) this.seek(0, 0)
    else this.#seekBehind(position)
  }

  /** In a copy without that position: at what is newer, or where that will be once it has come. */
  #seekBehind(position: LogPosition): void {
    const [ino, offset, time] = position
    const isSame = ({ ino: own, segment }: LogFile) => own === ino && segment?.firstTime === time
    const newer = this.files.findIndex((file) =>
      isSame(file) ? file.start > offset : (file.segment?.firstTime ?? '') > time,
    )
    const last = this.files.at(-1)
    if (newer >= 0) {
      this.#seekFile(newer)
      // Who had nothing before misses nothing.
      this.#gap = ino !== 0
    } else if (last !== undefined && isSame(last)) {
      this.seek(this.files.length - 1, offset)
    } else {
      this.seek(this.files.length, 0)
      this.#beyond = position
    }
  }

  #seekFile(file: number): void {
    this.seek(file, this.files[file]?.start ?? 0)
  }

  /** Behind the last whole line. */
  async seekEnd(): Promise<void> {
    const file = this.files.length - 1
    const last = this.files[file]
    if (last === undefined) return
    const lines = new BackwardLines(this.files, file)
    this.seek(file, await lines.wholeBytes())
  }

  /** At or a little before the first line that is not older than `timeMs`. */
  async seekTime(timeMs: number): Promise<void> {
    let file = 0
    for (let next = 1; next < this.files.length; next++) {
      const first = await this.#lineAt(next, this.files[next]?.start ?? 0)
      if (first !== undefined && first.atMs < timeMs) file = next
    }
    let low = this.files[file]?.start ?? 0
    let high = this.files[file]?.end ?? 0
    while (high - low > 2 * chunkBytes) {
      const middle = Math.floor((low + high) / 2)
      const line = await this.#lineAt(file, middle)
      if (line !== undefined && line.atMs < timeMs) low = line.offset
      else high = middle
    }
    this.seek(file, low)
  }

  /** The next whole line without taking it; undefined at the end as of now. */
  async peek(): Promise<PlacedLine | undefined> {
    this.#next ??= await this.#read()
    return this.#next
  }

  /** Takes the line that `peek()` gave. */
  take(): void {
    this.#next = undefined
  }

  async #read(): Promise<PlacedLine | undefined> {
    for (;;) {
      const at = this.#ahead.indexOf(newline)
      if (at >= 0) {
        const line = this.#parse(this.#ahead.subarray(0, at))
        this.#skip(at + 1)
        if (line !== undefined) return line
      } else if (this.#ahead.length >= lineBytesMax) {
        this.#damaged++
        this.#skip(this.#ahead.length)
      } else if (!(await this.#readAhead())) {
        // The newest file may get the rest of its last line; no other one will.
        if (this.#file >= this.files.length - 1) return undefined
        if (this.#ahead.length > 0) this.#damaged++
        this.#seekFile(this.#file + 1)
        if (this.files[this.#file]?.segment?.gap === true) this.#gap = true
      }
    }
  }

  #skip(bytes: number): void {
    this.#offset += bytes
    this.#ahead = this.#ahead.subarray(bytes)
  }

  #parse(bytes: Buffer): PlacedLine | undefined {
    // A keeper begins a new line after a write that failed halfway.
    if (bytes.length === 0) return undefined
    const line = parseLogLine(bytes)
    if (line === undefined) {
      this.#damaged++
      return undefined
    }
    const end = this.#offset + bytes.length + 1
    return { ...line, file: this.#file, offset: this.#offset, end }
  }

  async #readAhead(): Promise<boolean> {
    const file = this.files[this.#file]
    if (file === undefined) return false
    const from = this.#offset + this.#ahead.length
    const bytes = await readLogFile(file, from, chunkBytes)
    if (bytes === undefined || bytes.length === 0) return false
    this.#ahead = this.#ahead.length === 0 ? bytes : Buffer.concat([this.#ahead, bytes])
    return true
  }

  /** The first whole, undamaged line at or behind `offset` within a chunk. */
  async #lineAt(file: number, offset: number): Promise<PlacedLine | undefined> {
    const entry = this.files[file]
    if (entry === undefined) return undefined
    const bytes = (await readLogFile(entry, offset, chunkBytes)) ?? Buffer.alloc(0)
    let start = offset === entry.start ? 0 : bytes.indexOf(newline) + 1
    if (offset > entry.start && start === 0) return undefined
    for (let end = bytes.indexOf(newline, start); end >= 0; end = bytes.indexOf(newline, start)) {
      const line = parseLogLine(bytes.subarray(start, end))
      if (line !== undefined) {
        return { ...line, file, offset: offset + start, end: offset + end + 1 }
      }
      start = end + 1
    }
    return undefined
  }
}

/** With the inode it names a file for good; empty for an empty one. */
export async function firstTimeOf(file: LogFile): Promise<string> {
  if (file.segment !== undefined) return file.segment.firstTime
  return timeTextOf((await readLogFile(file, 0, timeBytes)) ?? Buffer.alloc(0))
}

/** Lines from the end towards the beginning, over all files. */
export class BackwardLines {
  readonly #files: readonly LogFile[]
  #file: number
  /** Bytes of the file from `#start` on that were not given yet; they end with a newline. */
  #bytes: Buffer = Buffer.alloc(0)
  #start: number | undefined

  constructor(files: readonly LogFile[], file = files.length - 1) {
    this.#files = files
    this.#file = file
  }

  /** Bytes of the file up to its last newline. Only before `previous()`. */
  async wholeBytes(): Promise<number> {
    await this.#open()
    return (this.#start ?? 0) + this.#bytes.length
  }

  async previous(): Promise<PlacedLine | undefined> {
    for (;;) {
      if (this.#start === undefined && !(await this.#open())) return undefined
      const first = this.#files[this.#file]?.start ?? 0
      const start = this.#start ?? first
      if (this.#bytes.length === 0 && start === first) {
        this.#file--
        this.#start = undefined
        continue
      }
      const before = this.#bytes.length < 2 ? -1 : this.#bytes.lastIndexOf(newline, -2)
      if (before < 0 && start > first) {
        await this.#readBefore()
        continue
      }
      const offset = start + before + 1
      const end = start + this.#bytes.length
      const line = parseLogLine(this.#bytes.subarray(before + 1, -1))
      this.#bytes = this.#bytes.subarray(0, before + 1)
      if (line !== undefined) return { ...line, file: this.#file, offset, end }
    }
  }

  async #open(): Promise<boolean> {
    const file = this.#files[this.#file]
    if (file === undefined) return false
    this.#start = file.end
    this.#bytes = Buffer.alloc(0)
    // Until a newline is found what is there is the beginning of a line being written.
    while (this.#start > file.start && this.#bytes.lastIndexOf(newline) < 0) {
      await this.#readBefore()
    }
    this.#bytes = this.#bytes.subarray(0, this.#bytes.lastIndexOf(newline) + 1)
    return true
  }

  async #readBefore(): Promise<void> {
    const file = this.#files[this.#file]
    if (file === undefined) return
    const start = this.#start ?? file.start
    const from = Math.max(file.start, start - chunkBytes)
    const read = (await readLogFile(file, from, start - from)) ?? Buffer.alloc(0)
    this.#start = from
    // A line that does not end is damage: only its newline is kept, as the end of an empty line.
    const rest = this.#bytes.length > lineBytesMax ? this.#bytes.subarray(-1) : this.#bytes
    const whole = read.length === start - from
    this.#bytes = whole ? Buffer.concat([read, rest]) : Buffer.alloc(0)
    if (!whole) this.#start = file.start
  }
}
