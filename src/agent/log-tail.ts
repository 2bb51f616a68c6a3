/**
 * What of a log is to be copied next: whole lines from one of its files, from where the copy ends,
 * or, when that is too far behind or is gone, the log's last part.
 */
import { limits } from '../base/limits.ts'
import type { LogPosition } from '../cluster/logs-kept/kept-log.ts'
import { type LogFile, listLogFiles, readLogFile } from '../io/log-files.ts'
import { firstTimeOf } from './log-source.ts'

export interface TailPiece {
  /** Null: something before it is left out. */
  readonly after: LogPosition | null
  readonly at: LogPosition
  readonly bytes: Buffer
  /** There may be more already. */
  readonly more: boolean
}

interface Place {
  readonly file: number
  readonly offset: number
}

const newline = 0x0a

/**
 * At most `bytesMax`, which is more than a line has; undefined when there is nothing new. `end`:
 * where the copy ends, null where there is none.
 */
export async function nextPiece(
  dir: string,
  end: LogPosition | null,
  bytesMax: number,
): Promise<TailPiece | undefined> {
  const files = listLogFiles(dir)
  const known = end === null ? undefined : await placeOf(files, end)
  const isFar = known === undefined || bytesFrom(files, known) > limits.keptLogBytes
  let after = isFar ? null : end
  let { file, offset } = isFar ? await lastPart(files) : known
  for (;;) {
    const from = files[file]
    if (from === undefined) return undefined
    const bytes = await readLogFile(from, offset, bytesMax)
    const whole = bytes?.subarray(0, bytes.lastIndexOf(newline) + 1)
    if (whole !== undefined && whole.length > 0) {
      const more = file < files.length - 1 || offset + whole.length < from.end
      return { after, at: [from.ino, offset, await firstTimeOf(from)], bytes: whole, more }
    }
    if (bytes?.length === bytesMax) {
      // Keepers write no such lines: it is damage, and left out.
      offset += bytesMax
      after = null
      continue
    }
    // Rotated away by now; else what it has behind its last line stays without an end.
    if (bytes === undefined) after = null
    file++
    offset = 0
  }
}

async function placeOf(files: readonly LogFile[], end: LogPosition): Promise<Place | undefined> {
  const [ino, offset, firstTime] = end
  for (const [file, found] of files.entries()) {
    if (found.ino !== ino || found.end < offset) continue
    if ((await firstTimeOf(found)) === firstTime) return { file, offset }
  }
  return undefined
}

function bytesFrom(files: readonly LogFile[], { file, offset }: Place): number {
  return files.slice(file).reduce((sum, { end }) => sum + end, -offset)
}

/** The beginning of a line from which on what is kept of a log is left. */
async function lastPart(files: readonly LogFile[]): Promise<Place> {
  let left: number = limits.keptLogBytes
  let file = files.length - 1
  for (; file > 0 && left > (files[file]?.end ?? 0); file--) left -= files[file]?.end ?? 0
  const found = files[file]
  if (found === undefined || found.end <= left) return { file: Math.max(0, file), offset: 0 }
  const offset = found.end - left
  const bytes = (await readLogFile(found, offset, limits.keptLogSegmentBytes)) ?? Buffer.alloc(0)
  return { file, offset: offset + bytes.indexOf(newline) + 1 }
}
