/**
 * Log files of one instance: `log`, `log.1`, … in one directory, the plain one the newest, each a
 * sequence of CRI lines. Files are named here by inode, because a rotation renames them while
 * they are being read. A directory with the segments of a copy (log-copy-files.ts) is read alike.
 */
import { readdirSync, type Stats, statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { asHolonError, errnoOf } from '../base/errors.ts'
import { parseSegmentName } from './log-copy-files.ts'

export interface LogFile {
  readonly dir: string
  readonly name: string
  readonly ino: number
  /** Offset of the first byte that is here: not 0 only in a segment of a copy. */
  readonly start: number
  /** Offset behind the last byte. */
  readonly end: number
  readonly modifiedMs: number
  readonly segment?: {
    /** What the copied file begins with: with the inode it names that for good. */
    readonly firstTime: string
    /** Something between the segment before and this one never came. */
    readonly gap: boolean
  }
}

/** Oldest first; none when the directory is missing. Other files in it are not ours. */
export function listLogFiles(dir: string): readonly LogFile[] {
  const found: { readonly age: number; readonly file: LogFile }[] = []
  for (const name of namesIn(dir)) {
    const match = /^log(?:\.([1-9]\d{0,5}))?$/.exec(name)
    const segment = match === null ? parseSegmentName(name) : undefined
    if (match === null && segment === undefined) continue
    const stat = statIfThere(join(dir, name))
    if (stat === undefined || !stat.isFile()) continue
    const { size, mtimeMs: modifiedMs } = stat
    if (segment === undefined) {
      const file = { dir, name, ino: stat.ino, start: 0, end: size, modifiedMs }
      found.push({ age: Number(match?.[1] ?? 0), file })
    } else {
      const { number, ino, start, firstTime, gap } = segment
      const end = start + size
      const file = { dir, name, ino, start, end, modifiedMs, segment: { firstTime, gap } }
      found.push({ age: -number, file })
    }
  }
  return found.sort((a, b) => b.age - a.age).map(({ file }) => file)
}

/**
 * At most `length` bytes from `offset`; empty at its end; undefined once it is gone.
 */
export async function readLogFile(
  file: LogFile,
  offset: number,
  length: number,
): Promise<Buffer | undefined> {
  const direct = await readIfSame(file, file.name, offset, length)
  if (direct !== undefined || file.segment !== undefined) return direct
  const renamed = listLogFiles(file.dir).find(({ ino }) => ino === file.ino)
  if (renamed === undefined) return undefined
  return await readIfSame(file, renamed.name, offset, length)
}

async function readIfSame(
  { dir, ino, start, segment }: LogFile,
  name: string,
  offset: number,
  length: number,
) {
  const path = join(dir, name)
  try {
    await using file = await open(path, 'r')
    // A segment's name is never given again.
    if (segment === undefined && (await file.stat()).ino !== ino) return undefined
    const buffer = Buffer.allocUnsafe(length)
    const { bytesRead } = await file.read(buffer, 0, length, offset - start)
    return buffer.subarray(0, bytesRead)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw asHolonError(error, `read ${path}`)
  }
}

/** Log files at any depth below `dir`, and their bytes. */
export function logUsageBelow(dir: string): { readonly bytes: number; readonly files: number } {
  let bytes = 0
  let files = 0
  for (const file of listLogFiles(dir)) {
    bytes += file.end - file.start
    files++
  }
  for (const name of namesIn(dir)) {
    const path = join(dir, name)
    if (statIfThere(path)?.isDirectory() !== true) continue
    const below = logUsageBelow(path)
    bytes += below.bytes
    files += below.files
  }
  return { bytes, files }
}

export interface LogLine {
  readonly atMs: number
  readonly stream: 'stdout' | 'stderr'
  /** The line goes on in the next one of its stream. */
  readonly partial: boolean
  /** Without the newline; a part of the buffer given. */
  readonly text: Buffer
}

export const timeBytes = 30
const headBytesMax = timeBytes + ' stderr F '.length

/** One line without its newline; undefined when it is damaged. */
export function parseLogLine(line: Buffer): LogLine | undefined {
  const head = line.toString('latin1', 0, headBytesMax)
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\.(\d{9})Z (stdout|stderr) ([FP])(?: |$)/.exec(
    head,
  )
  if (match === null) return undefined
  const [whole, second = '', nanoseconds = '', stream, flag] = match
  const secondMs = millisecondsOf(second)
  if (secondMs === undefined) return undefined
  return {
    atMs: secondMs + Number(nanoseconds) / 1e6,
    stream: stream === 'stderr' ? 'stderr' : 'stdout',
    partial: flag === 'P',
    text: line.subarray(whole.length),
  }
}

/** The time a line begins with, as text: with the inode it names a file for good. */
export function timeTextOf(line: Buffer): string {
  return line.toString('latin1', 0, timeBytes)
}

// Most lines share their second with the one before.
let lastSecond = ''
let lastSecondMs = 0
function millisecondsOf(second: string): number | undefined {
  if (second === lastSecond) return lastSecondMs
  const ms = Date.parse(`${second}Z`)
  if (Number.isNaN(ms)) return undefined
  lastSecond = second
  lastSecondMs = ms
  return ms
}

function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return []
    throw asHolonError(error, `list ${dir}`)
  }
}

function statIfThere(path: string): Stats | undefined {
  return statSync(path, { throwIfNoEntry: false })
}
