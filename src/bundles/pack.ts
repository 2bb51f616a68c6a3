/** Making a bundle of a directory. Nothing is kept of its files but their hashes. */
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { entriesOf, type FoundEntry, readBytes } from '../io/bundle-files.ts'
import { joinPath } from '../io/files.ts'
import { type BundleEntry, encodeManifest, hashOf } from './manifest.ts'

/** Where the bytes of a piece are. */
export interface PieceSource {
  readonly path: string
  readonly at: number
}

export interface PackedBundle {
  readonly hash: string
  readonly manifest: string
  readonly bytes: number
  readonly files: number
  /** By hash. */
  readonly pieces: ReadonlyMap<string, PieceSource>
  /** Paths of what cannot be in a bundle: sockets, links that lead out of it. */
  readonly leftOut: readonly string[]
}

export interface PackOptions {
  /** Whether a file, or a directory with all that is in it, belongs to it. Default: all do. */
  readonly isIncluded?: (entry: FoundEntry) => boolean
}

/** Files read at the same time. */
const readersMax = 8

/** `invalid_argument` when there is nothing in it; a file that changes meanwhile is read again. */
export async function packDir(
  root: string,
  { isIncluded }: PackOptions = {},
): Promise<PackedBundle> {
  const found = await walk(root, isIncluded ?? (() => true))
  const entries: BundleEntry[] = []
  const pieces = new Map<string, PieceSource>()
  const leftOut: string[] = []
  let bytes = 0
  const left = [...found]
  const reader = async () => {
    for (let entry = left.pop(); entry !== undefined; entry = left.pop()) {
      const { path, kind, executable, link = '' } = entry
      if (kind === 'link' && isWithin(path, link)) entries.push({ path, link })
      else if (kind !== 'file') leftOut.push(path)
      else {
        const content = await readBytes(joinPath(root, path))
        const hashes = hashPieces(content)
        for (const [index, hash] of hashes.entries()) {
          pieces.set(hash, { path, at: index * limits.bundlePieceBytes })
        }
        entries.push({ path, executable, bytes: content.length, pieces: hashes })
        bytes += content.length
      }
    }
  }
  await Promise.all(Array.from({ length: readersMax }, reader))
  if (entries.length === 0) {
    throw new HolonError('invalid_argument', `there is nothing to pack in "${root}"`)
  }
  const manifest = encodeManifest(entries)
  return { hash: hashOf(manifest), manifest, bytes, files: entries.length, pieces, leftOut }
}

/** The bytes of a piece; `conflict` when its file was changed since it was packed. */
export async function readPiece(root: string, hash: string, from: PieceSource): Promise<Buffer> {
  const content = await readBytes(joinPath(root, from.path))
  const piece = content.subarray(from.at, from.at + limits.bundlePieceBytes)
  if (hashOf(piece) === hash) return piece
  throw new HolonError('conflict', `"${from.path}" was changed while it was packed; try again`)
}

function hashPieces(content: Buffer): readonly string[] {
  const hashes: string[] = []
  for (let at = 0; at < content.length; at += limits.bundlePieceBytes) {
    hashes.push(hashOf(content.subarray(at, at + limits.bundlePieceBytes)))
  }
  return hashes
}

async function walk(
  root: string,
  isIncluded: (entry: FoundEntry) => boolean,
): Promise<readonly FoundEntry[]> {
  const found: FoundEntry[] = []
  const dirs = ['']
  for (let dir = dirs.pop(); dir !== undefined; dir = dirs.pop()) {
    for (const entry of await entriesOf(root, dir)) {
      if (!isIncluded(entry)) continue
      if (entry.kind === 'directory') dirs.push(entry.path)
      else found.push(entry)
      if (found.length > limits.bundleEntriesMax) {
        throw new HolonError(
          'exhausted',
          `more than ${limits.bundleEntriesMax} files: name what does not belong to the program ` +
            'in a .holonignore',
        )
      }
    }
  }
  return found
}

function isWithin(path: string, link: string): boolean {
  if (link.startsWith('/')) return false
  let depth = path.split('/').length - 1
  for (const part of link.split('/')) {
    if (part === '..') depth -= 1
    else if (part !== '.' && part !== '') depth += 1
    if (depth < 0) return false
  }
  return true
}
