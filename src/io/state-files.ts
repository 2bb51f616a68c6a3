/**
 * The files around the store's database: the record of what was acknowledged, backups, moving files
 * aside. What must survive a power cut is synced, and so is the directory that names it.
 */
import {
  accessSync,
  closeSync,
  constants,
  copyFileSync,
  existsSync,
  fdatasyncSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { open } from 'node:fs/promises'
import { dirname } from 'node:path'
import { asHolonError, errnoOf } from '../base/errors.ts'

export const pathExists: (path: string) => boolean = existsSync

/** Whether the file system of `path`, which exists, lets us write; other obstacles are thrown. */
export function fileAccess(path: string): 'read-write' | 'read-only' {
  try {
    accessSync(path, constants.R_OK | constants.W_OK)
    return 'read-write'
  } catch (error) {
    if (errnoOf(error) === 'EROFS') return 'read-only'
    throw asHolonError(error, `write to "${path}"`)
  }
}

/** Makes a directory that only its owner can enter, and those above it. */
export function makePrivateDir(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
}

/** Names in a directory, sorted; none when it does not exist. */
export function namesIn(dir: string): readonly string[] {
  try {
    return readdirSync(dir).sort()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw asHolonError(error, `read the directory "${dir}"`)
  }
}

/** The file's text, or undefined when there is none. */
export function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw asHolonError(error, `read "${path}"`)
  }
}

export function syncDir(path: string): void {
  const fd = openSync(path, 'r')
  try {
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** Renames, and returns once a power cut cannot undo it. */
export function renameDurably(from: string, to: string): void {
  renameSync(from, to)
  syncDir(dirname(to))
}

/** Removes a file; one that does not exist is no error. */
export function removeFile(path: string): void {
  rmSync(path, { force: true })
}

/** Gives a file a second name; a copy of it where the file system has no hard links. */
export function linkOrCopy(from: string, to: string): void {
  try {
    linkSync(from, to)
  } catch (error) {
    if (!['EPERM', 'ENOTSUP', 'ENOSYS', 'EMLINK'].includes(errnoOf(error) ?? '')) throw error
    copyFileSync(from, to)
  }
}

/** Replaces `path` as a whole: after a crash it has the old content or the new. */
export async function writeDurably(path: string, parts: Iterable<string>): Promise<void> {
  const draft = `${path}.new`
  try {
    await using file = await open(draft, 'w', 0o600)
    for (const part of parts) await file.write(part)
    await file.sync()
  } catch (error) {
    removeFile(draft)
    throw asHolonError(error, `write "${path}"`)
  }
  renameDurably(draft, path)
}

/** The same at once, for a few bytes. */
export function writeDurablySync(path: string, text: string): void {
  const draft = `${path}.new`
  const fd = openSync(draft, 'w', 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  renameDurably(draft, path)
}

/** A file of one short record, overwritten in place. */
export interface RecordFile extends Disposable {
  /** Hands it to the kernel: it survives the process, not a power cut. */
  write(text: string): void
  /** Makes what was written survive a power cut. */
  sync(): void
}

/** Opens an existing record. */
export function openRecord(path: string): RecordFile {
  const fd = openSync(path, 'r+')
  let closed = false
  return {
    write: (text) => void writeSync(fd, text, 0, 'utf8'),
    sync: () => fdatasyncSync(fd),
    [Symbol.dispose]() {
      if (!closed) closeSync(fd)
      closed = true
    },
  }
}
