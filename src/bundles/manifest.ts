/**
 * What a bundle holds: the files of a program's directory, each as pieces by their SHA-256. A
 * bundle is named by the hash of its manifest, so the same files are the same bundle wherever and
 * whenever they are packed, and a changed line is one piece more.
 *
 * Who unpacks one trusts nothing in it: no path leads out of its directory, and nothing is written
 * through a link.
 */
import { createHash } from 'node:crypto'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'

export interface BundleFile {
  /** Relative, with slashes. */
  readonly path: string
  /** Whether it may be executed. */
  readonly executable: boolean
  readonly bytes: number
  /** Hashes, in order; all pieces but the last are limits.bundlePieceBytes long. */
  readonly pieces: readonly string[]
}

export interface BundleLink {
  readonly path: string
  /** Relative to where it is, and within the bundle. */
  readonly link: string
}

export type BundleEntry = BundleFile | BundleLink

export interface Manifest {
  /** In order of their paths. */
  readonly entries: readonly BundleEntry[]
}

export function hashOf(bytes: Uint8Array | string): string {
  return createHash('sha256').update(bytes).digest('hex')
}

export function isHash(text: unknown): text is string {
  return typeof text === 'string' && /^[0-9a-f]{64}$/.test(text)
}

/** The one text of these entries, whatever their order. */
export function encodeManifest(entries: readonly BundleEntry[]): string {
  const sorted = [...entries].sort((a, b) => (a.path < b.path ? -1 : 1))
  const plain = sorted.map((entry) =>
    'link' in entry
      ? { path: entry.path, link: entry.link }
      : {
          path: entry.path,
          executable: entry.executable,
          bytes: entry.bytes,
          pieces: entry.pieces,
        },
  )
  return `${JSON.stringify({ schema: 1, entries: plain })}\n`
}

/** Throws `invalid_argument` for a text that is no sound manifest, saying why. */
export function parseManifest(text: string): Manifest {
  if (Buffer.byteLength(text) > limits.bundleManifestBytesMax) {
    throw unsound(`it has more than ${limits.bundleManifestBytesMax} bytes`)
  }
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw unsound('it is not JSON')
  }
  const { schema, entries } = (value ?? {}) as { schema?: unknown; entries?: unknown }
  if (schema !== 1 || !Array.isArray(entries)) throw unsound('it is of another version')
  const manifest = { entries: entries.map(parseEntry) }
  checkPaths(manifest.entries)
  return manifest
}

/** Each once. */
export function piecesOf({ entries }: Manifest): readonly string[] {
  return [...new Set(entries.flatMap((entry) => ('link' in entry ? [] : entry.pieces)))]
}

export function bytesOf({ entries }: Manifest): number {
  return entries.reduce((sum, entry) => sum + ('link' in entry ? 0 : entry.bytes), 0)
}

function parseEntry(value: unknown): BundleEntry {
  const { path, link, executable, bytes, pieces } = (value ?? {}) as Record<string, unknown>
  if (typeof path !== 'string' || !isInside(path)) {
    throw unsound(`${JSON.stringify(path)} is no path within it`)
  }
  if (typeof link === 'string') {
    const target = [...path.split('/').slice(0, -1), ...link.split('/')]
    if (link.startsWith('/') || !staysInside(target)) {
      throw unsound(`the link ${JSON.stringify(path)} leads out of it`)
    }
    return { path, link }
  }
  const isFile =
    typeof executable === 'boolean' &&
    typeof bytes === 'number' &&
    Array.isArray(pieces) &&
    pieces.every(isHash) &&
    pieces.length === Math.ceil(bytes / limits.bundlePieceBytes)
  if (!isFile) throw unsound(`${JSON.stringify(path)} is no entry`)
  return { path, executable, bytes, pieces }
}

function isInside(path: string): boolean {
  if (path === '' || path.includes('\0') || Buffer.byteLength(path) > 4096) return false
  return path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
}

function staysInside(parts: readonly string[]): boolean {
  let depth = 0
  for (const part of parts) {
    if (part === '' || part === '.') continue
    depth += part === '..' ? -1 : 1
    if (depth < 0) return false
  }
  return true
}

/** Every path once, none below a file or a link, and not more than there may be. */
function checkPaths(entries: readonly BundleEntry[]): void {
  if (entries.length > limits.bundleEntriesMax) {
    throw unsound(`it has more than ${limits.bundleEntriesMax} files`)
  }
  const leaves = new Set<string>()
  for (const { path } of entries) {
    if (leaves.has(path)) throw unsound(`${JSON.stringify(path)} is in it twice`)
    leaves.add(path)
  }
  for (const { path } of entries) {
    for (let at = path.indexOf('/'); at > 0; at = path.indexOf('/', at + 1)) {
      const parent = path.slice(0, at)
      if (leaves.has(parent)) throw unsound(`${JSON.stringify(parent)} is no directory`)
    }
  }
}

function unsound(why: string): HolonError {
  return new HolonError('invalid_argument', `this is no manifest of a bundle: ${why}`)
}
