/** Files of bundles: large, many, and never worth holding everything else up for. */
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  readlink,
  rename,
  rm,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join } from 'node:path'

export interface FoundEntry {
  /** Relative to where the search began. */
  readonly path: string
  readonly kind: 'file' | 'link' | 'directory' | 'other'
  readonly executable: boolean
  readonly bytes: number
  /** Of a link. */
  readonly link?: string
}

/** What is in a directory, itself not included; in no order. */
export async function entriesOf(root: string, dir: string): Promise<readonly FoundEntry[]> {
  const names = await readdir(join(root, dir))
  return Promise.all(
    names.map(async (name): Promise<FoundEntry> => {
      const path = dir === '' ? name : `${dir}/${name}`
      const stat = await lstat(join(root, path))
      const about = { path, executable: (stat.mode & 0o100) !== 0, bytes: stat.size }
      if (stat.isDirectory()) return { ...about, kind: 'directory' }
      if (stat.isFile()) return { ...about, kind: 'file' }
      if (!stat.isSymbolicLink()) return { ...about, kind: 'other' }
      return { ...about, kind: 'link', link: await readlink(join(root, path)) }
    }),
  )
}

export const readBytes = (path: string): Promise<Buffer> => readFile(path)

/** Undefined when there is none. */
export async function readBytesIfThere(path: string): Promise<Buffer | undefined> {
  try {
    return await readFile(path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** All of it or nothing is there under that name, also after a power cut. */
export async function writeWhole(path: string, bytes: Uint8Array | string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  const temporary = `${path}.${process.hrtime.bigint().toString(36)}`
  const file = await open(temporary, 'wx', 0o600)
  try {
    await file.writeFile(bytes)
    await file.datasync()
  } finally {
    await file.close()
  }
  await rename(temporary, path)
}

/** A directory of its own in `dir`, which is made if need be. */
export async function temporaryDir(dir: string, mode: number): Promise<string> {
  await mkdir(dir, { recursive: true, mode })
  const made = await mkdtemp(join(dir, '.new-'))
  await chmod(made, mode)
  return made
}

export async function makeDirs(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 })
}

export async function writePieces(
  path: string,
  pieces: readonly Uint8Array[],
  mode: number,
): Promise<void> {
  const [only] = pieces
  if (only !== undefined && pieces.length === 1) await writeFile(path, only, { mode })
  else {
    const file = await open(path, 'wx', mode)
    try {
      // Unlike write(), it goes on until all of it is written, or fails.
      for (const piece of pieces) await file.writeFile(piece)
    } finally {
      await file.close()
    }
  }
  // Whatever the umask says.
  await chmod(path, mode)
}

export const makeLink = (path: string, target: string): Promise<void> => symlink(target, path)

/** False when there is one already. */
export async function moveInto(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST') throw error
    await removeAll(from)
    return false
  }
}

export async function removeAll(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true })
}

export async function namesIn(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch {
    return []
  }
}

/** When it was used last; undefined when it is not there. */
export async function usedAtMs(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).mtimeMs
  } catch {
    return undefined
  }
}

export async function markUsed(path: string, wallMs: number): Promise<void> {
  await utimes(path, wallMs / 1000, wallMs / 1000)
}
