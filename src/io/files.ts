/**
 * The file operations that the rest of the system needs, with errors as HolonError. Synchronous
 * where the files are small and local (runtime directory, /sys): that costs less than a thread's
 * hop.
 */
import {
  chmodSync,
  closeSync,
  existsSync,
  fsyncSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  watch,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { asHolonError, errnoOf, HolonError } from '../base/errors.ts'

/** Runs `work`; an errno becomes a HolonError that begins with `action`. */
function checked<T>(action: string, work: () => T): T {
  try {
    return work()
  } catch (error) {
    throw asHolonError(error, action)
  }
}

/** The text, or undefined when there is no such file. */
export function readTextIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return undefined
    throw asHolonError(error, `read ${path}`)
  }
}

export function readText(path: string): string {
  return checked(`read ${path}`, () => readFileSync(path, 'utf8'))
}

/** At most `bytesMax`; `exhausted` when the file is larger. */
export function readTextBounded(path: string, bytesMax: number): string {
  return checked(`read ${path}`, () => {
    const size = statSync(path).size
    if (size > bytesMax) {
      throw new HolonError('exhausted', `${path} has ${size} bytes; at most ${bytesMax} are read`)
    }
    return readFileSync(path, 'utf8')
  })
}

/** Replaces the file in one step: readers see the old or the new one, also after a power cut. */
export function writeTextDurably(path: string, text: string, mode: number): void {
  checked(`write ${path}`, () => {
    const temporary = `${path}.new`
    writeFileSync(temporary, text, { mode })
    const file = openSync(temporary, 'r')
    fsyncSync(file)
    closeSync(file)
    renameSync(temporary, path)
  })
}

export function writeText(path: string, text: string, mode = 0o644): void {
  checked(`write ${path}`, () => writeFileSync(path, text, { mode }))
}

/**
 * Makes the directory and its parents; sets mode and owner of the last one also when it was there.
 * `permission_denied` when it belongs to someone else.
 */
export function ensureDir(path: string, mode: number, owner?: { uid: number; gid?: number }): void {
  checked(`make the directory ${path}`, () => {
    mkdirSync(path, { recursive: true, mode: mode | 0o700 })
    const stat = lstatSync(path)
    if (!stat.isDirectory()) throw new HolonError('conflict', `${path} is no directory`)
    if (owner !== undefined && stat.uid !== owner.uid) {
      lchownSync(path, owner.uid, owner.gid ?? stat.gid)
    }
    if ((stat.mode & 0o7777) !== mode) chmodSync(path, mode)
  })
}

/** Names in the directory, sorted; none when it is missing. */
export function listDir(path: string): readonly string[] {
  try {
    return readdirSync(path).sort()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return []
    throw asHolonError(error, `list ${path}`)
  }
}

/** False also for what may not be looked at. */
export function isDir(path: string): boolean {
  try {
    return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false
  } catch {
    return false
  }
}

export function exists(path: string): boolean {
  return existsSync(path)
}

/** False also for what may not be looked at: to a search it is not there. */
export function isExecutableFile(path: string): boolean {
  try {
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat?.isFile() === true && (stat.mode & 0o111) !== 0
  } catch {
    return false
  }
}

/** Who owns the entry itself (links are not followed); undefined when it is gone. */
export function ownerOf(path: string): { uid: number; gid: number } | undefined {
  const stat = lstatSync(path, { throwIfNoEntry: false })
  return stat === undefined ? undefined : { uid: stat.uid, gid: stat.gid }
}

export function modifiedAtMs(path: string): number | undefined {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs
}

/** What an ordinary user may still write on the file system of `path`; undefined: no such path. */
export function freeBytes(path: string): number | undefined {
  try {
    const { bavail, bsize } = statfsSync(path)
    return bavail * bsize
  } catch {
    return undefined
  }
}

/** Removes the file or tree; nothing there is no error. */
export function removeTree(path: string): void {
  checked(`remove ${path}`, () => rmSync(path, { recursive: true, force: true }))
}

/** Calls `changed` whenever an entry of the directory comes or goes, until disposed. */
export function watchDir(path: string, changed: (name: string | null) => void): Disposable {
  const watcher = watch(path, { persistent: false }, (_event, name) => changed(name))
  watcher.on('error', () => changed(null))
  return { [Symbol.dispose]: () => watcher.close() }
}

export const joinPath = join

/** Makes one directory; one that is there already is left as it is. */
export function makeDir(path: string, mode: number): void {
  try {
    mkdirSync(path, { mode })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw asHolonError(error, `make the directory ${path}`)
  }
}
