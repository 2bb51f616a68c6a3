/**
 * Files that one user alone may read, in memory where there is a file system for that: what is in
 * them never reaches a disk, but for swap.
 */
import {
  chmodSync,
  lchownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statfsSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { asHolonError, errnoOf, HolonError } from '../base/errors.ts'

const memoryTypes: ReadonlySet<number> = new Set([
  // tmpfs, ramfs
  0x01021994, 0x858458f6,
])

/**
 * The first of these directories that can be made in memory, as ours alone to change; `fallback`
 * where none can, made likewise. Others may pass through it.
 */
export function memoryDir(
  candidates: readonly string[],
  fallback: string,
): { readonly path: string; readonly inMemory: boolean } {
  for (const path of candidates) {
    try {
      if (!memoryTypes.has(statfsSync(dirname(path)).type)) continue
      makeOwnDir(path)
      return { path, inMemory: true }
    } catch {
      // Not there, not ours, not writable: the next one.
    }
  }
  try {
    makeOwnDir(fallback)
  } catch (error) {
    throw asHolonError(error, `make the directory ${fallback}`)
  }
  return { path: fallback, inMemory: false }
}

export interface PrivateFile {
  readonly name: string
  readonly bytes: Uint8Array
}

/**
 * Replaces the directory by one with these files, which `uid` may read and nobody change. Those
 * between `base` and it are made, for others to pass through.
 */
export function writePrivateDir(
  base: string,
  below: string,
  files: readonly PrivateFile[],
  uid: number,
): void {
  const path = join(base, below)
  try {
    removePrivateDir(base, below)
    const above = below.split('/').slice(0, -1)
    // Whatever the umask is: who owns the files must be able to pass.
    for (let depth = 0; depth <= above.length; depth++) {
      makeOwnDir(join(base, ...above.slice(0, depth)))
    }
    mkdirSync(path, { mode: 0o700 })
    for (const { name, bytes } of files) {
      const file = join(path, name)
      writeFileSync(file, bytes, { mode: 0o400, flag: 'wx' })
      giveTo(file, uid)
    }
    chmodSync(path, 0o500)
    giveTo(path, uid)
  } catch (error) {
    throw asHolonError(error, `write the files of ${path}`)
  }
}

/** Removes it, and what is left empty above it up to `base`. Nothing there is no error. */
export function removePrivateDir(base: string, below: string): void {
  const path = join(base, below)
  try {
    // Whoever owns it could not remove what is in it, else.
    chmodSync(path, 0o700)
    rmSync(path, { recursive: true })
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw asHolonError(error, `remove ${path}`)
  }
  for (let above = dirname(path); above.length > base.length; above = dirname(above)) {
    if (!removeEmptyDir(above)) return
  }
}

/** Whether it was empty, and is gone. */
export function removeEmptyDir(path: string): boolean {
  try {
    rmdirSync(path)
    return true
  } catch {
    return false
  }
}

/** Which directory it is, whatever it is called: the same for as long as it exists. */
export function fileIdentity(path: string): string {
  const { dev, ino } = statSync(path)
  return `${dev}:${ino}`
}

/** Directories that are `depth` levels below `base`, by their path below it. */
export function dirsBelow(base: string, depth: number): readonly string[] {
  let found = ['']
  for (let level = 0; level < depth; level++) {
    found = found.flatMap((below) => namesIn(join(base, below)).map((name) => join(below, name)))
  }
  return found
}

/** Of a regular file; `exhausted` when it is larger. `not_found` when there is none. */
export function readBytesBounded(path: string, bytesMax: number): Uint8Array {
  try {
    const stat = statSync(path)
    if (!stat.isFile()) throw new HolonError('invalid_argument', `${path} is no regular file`)
    if (stat.size <= bytesMax) return readFileSync(path)
    throw new HolonError(
      'exhausted',
      `${path} has ${stat.size} bytes; at most ${bytesMax} are read`,
    )
  } catch (error) {
    throw asHolonError(error, `read ${path}`)
  }
}

function makeOwnDir(path: string): void {
  try {
    mkdirSync(path, { mode: 0o711 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw error
  }
  const stat = lstatSync(path)
  // In a directory where everyone writes, somebody else may have been first.
  if (!stat.isDirectory() || stat.uid !== process.getuid?.()) {
    throw new HolonError('permission_denied', `${path} belongs to somebody else`)
  }
  chmodSync(path, 0o711)
}

function giveTo(path: string, uid: number): void {
  const stat = lstatSync(path)
  if (stat.uid !== uid) lchownSync(path, uid, stat.gid)
}

function namesIn(path: string): readonly string[] {
  try {
    return readdirSync(path).sort()
  } catch {
    return []
  }
}
