/**
 * The copy of one instance's log: the end of it, in segments of a directory. A segment's name says
 * all there is to know of it: its number, the inode, the first time and the offset of the file that
 * it is a part of, and whether it follows what is before it or something never came. So there is no
 * index that could be wrong; a segment grows at its end, and the oldest are removed.
 */
import { closeSync, ftruncateSync, mkdirSync, openSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { asHolonError, HolonError } from '../base/errors.ts'

export interface SegmentName {
  /** Counts up in a directory. */
  readonly number: number
  readonly ino: number
  readonly start: number
  readonly firstTime: string
  readonly gap: boolean
}

/** Undefined for what is no name of a segment. */
export function parseSegmentName(name: string): SegmentName | undefined {
  const match = /^(\d{1,12})_(\d{1,20})_(\d{1,16})_([0-9TZ:.-]{30})_([gf])$/.exec(name)
  if (match === null) return undefined
  const [, number, ino, start, firstTime = '', how] = match
  const numbers = { number: Number(number), ino: Number(ino), start: Number(start) }
  return { ...numbers, firstTime, gap: how === 'g' }
}

export function segmentName({ number, ino, start, firstTime, gap }: SegmentName): string {
  return `${number}_${ino}_${start}_${firstTime}_${gap ? 'g' : 'f'}`
}

/** Makes the file and its directory if they are not there. A failure leaves `bytesBefore` in it. */
export function appendToSegment(
  dir: string,
  name: string,
  bytes: Uint8Array,
  bytesBefore: number,
): void {
  const path = join(dir, name)
  try {
    mkdirSync(dir, { recursive: true, mode: 0o700 })
    const file = openSync(path, 'a', 0o600)
    try {
      if (writeSync(file, bytes) !== bytes.length) {
        ftruncateSync(file, bytesBefore)
        throw new HolonError('exhausted', `${path}: the disk took only a part`)
      }
    } finally {
      closeSync(file)
    }
  } catch (error) {
    throw asHolonError(error, `keep a copy of a log in ${path}`)
  }
}

export function removeSegment(dir: string, name: string): void {
  rmSync(join(dir, name), { force: true })
}
