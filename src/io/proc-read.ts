/**
 * Reads small kernel files (/proc, /sys) synchronously into one reused buffer.
 *
 * Such files cost microseconds and never wait for a disk, so a thread-pool round trip per file
 * would cost more than the read. What `read` gives is a view into the buffer: it holds until the
 * next call and must be parsed, not kept.
 */
import { closeSync, openSync, readFileSync, readSync } from 'node:fs'
import { errnoOf } from '../base/errors.ts'

const initialBytes = 64 * 1024

// The process ended (ENOENT before the open, ESRCH after it), or the mount hides it (hidepid).
const goneErrnos: ReadonlySet<string> = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR'])

/** Whether `error` means "no such process, or none that we may see". */
export function isGone(error: unknown): boolean {
  const errno = errnoOf(error)
  return errno !== undefined && goneErrnos.has(errno)
}

export class SmallFileReader {
  #buffer = Buffer.allocUnsafeSlow(initialBytes)

  /**
   * The file's first `bytesMax` bytes, or undefined when it is gone or hidden. A read shorter than
   * what was asked for counts as the end: true for the files of one process, which are one record.
   */
  read(path: string, bytesMax: number = initialBytes): Buffer | undefined {
    let fd: number
    try {
      fd = openSync(path, 'r')
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    }
    try {
      return this.#readAll(fd, bytesMax)
    } catch (error) {
      if (isGone(error)) return undefined
      throw error
    } finally {
      closeSync(fd)
    }
  }

  #readAll(fd: number, bytesMax: number): Buffer {
    let buffer = this.#buffer
    let length = 0
    for (;;) {
      const wanted = Math.min(buffer.length, bytesMax) - length
      const got = readSync(fd, buffer, length, wanted, null)
      length += got
      if (got < wanted || length >= bytesMax) return buffer.subarray(0, length)
      // Rare: a command line past 64 KiB. The grown buffer is let go with its caller's view.
      const grown = Buffer.allocUnsafeSlow(buffer.length * 2)
      buffer.copy(grown, 0, 0, length)
      buffer = grown
    }
  }
}

/** The whole of a file of many records, or "" when it is gone or hidden. */
export function readSmallText(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return ''
    throw error
  }
}
