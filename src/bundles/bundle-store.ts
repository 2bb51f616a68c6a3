/**
 * The bundles that a machine has:
 *
 *     pieces/ab/abcd…     a piece by its hash
 *     manifests/HASH      a bundle of which all pieces were there
 *     trees/HASH/         a bundle unpacked, for programs to run in
 *     trees/HASH.boot     the boot in which it was found whole
 *
 * A piece is checked when it comes and when it is unpacked; it is there whole or not at all.
 * A tree is made beside and moved into place, so a crash in the middle leaves nothing that could be
 * taken for one; what it holds is not forced to the disk, so it is looked at again after a boot.
 * What a program changes in its tree is its own concern, and lasts until then at the longest.
 */
import type { Clock } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import {
  makeDirs,
  makeLink,
  markUsed,
  moveInto,
  namesIn,
  readBytesIfThere,
  removeAll,
  temporaryDir,
  usedAtMs,
  writePieces,
  writeWhole,
} from '../io/bundle-files.ts'
import { ensureDir, joinPath } from '../io/files.ts'
import {
  type BundleEntry,
  hashOf,
  isHash,
  type Manifest,
  parseManifest,
  piecesOf,
} from './manifest.ts'

export interface KeptBundle {
  readonly hash: string
  readonly usedAtMs: number
}

/** Files written at the same time. */
const writersMax = 16

export class BundleStore {
  readonly #clock: Clock
  readonly #dir: string
  readonly #bootId: string
  readonly #unpacking = new Map<string, Promise<string>>()

  constructor(clock: Clock, dir: string, bootId: string) {
    this.#clock = clock
    this.#dir = dir
    this.#bootId = bootId
    // Programs of any user run in trees; the rest is nobody's.
    ensureDir(dir, 0o711)
  }

  /** Of these pieces, those that are not here. */
  async missing(hashes: readonly string[]): Promise<readonly string[]> {
    const times = await Promise.all(hashes.map((hash) => usedAtMs(this.#piece(hash))))
    return hashes.filter((_, index) => times[index] === undefined)
  }

  /** Undefined when it is not here, or is damaged, which removes it. */
  async piece(hash: string): Promise<Buffer | undefined> {
    const bytes = await readBytesIfThere(this.#piece(hash))
    if (bytes === undefined || hashOf(bytes) === hash) return bytes
    await removeAll(this.#piece(hash))
    return undefined
  }

  /** `invalid_argument` when the bytes are not those of the hash. */
  async putPiece(hash: string, bytes: Uint8Array): Promise<void> {
    if (bytes.length > limits.bundlePieceBytes || hashOf(bytes) !== hash) {
      throw new HolonError('invalid_argument', `the piece ${hash.slice(0, 12)} came damaged`)
    }
    await writeWhole(this.#piece(hash), bytes)
  }

  /** The text of a bundle's manifest; undefined when the bundle is not here. */
  async manifest(hash: string): Promise<string | undefined> {
    const bytes = await readBytesIfThere(this.#manifest(hash))
    return bytes !== undefined && hashOf(bytes) === hash ? bytes.toString() : undefined
  }

  /** All of its pieces are here: `conflict` when one is not. Its hash. Idempotent. */
  async add(text: string): Promise<string> {
    const manifest = parseManifest(text)
    const missing = await this.missing(piecesOf(manifest))
    if (missing.length > 0) {
      throw new HolonError('conflict', `${missing.length} pieces of the bundle are not here yet`)
    }
    const hash = hashOf(text)
    await writeWhole(this.#manifest(hash), text)
    return hash
  }

  /**
   * Where it lies unpacked. `not_found` when it is not here, or not any more: then a piece of it was
   * damaged, and it has to come again.
   */
  tree(hash: string): Promise<string> {
    const known = this.#unpacking.get(hash)
    if (known !== undefined) return known
    const unpacking = this.#unpack(hash).finally(() => this.#unpacking.delete(hash))
    this.#unpacking.set(hash, unpacking)
    return unpacking
  }

  /** Those that are here, the one used last first. */
  async list(): Promise<readonly KeptBundle[]> {
    const hashes = (await namesIn(joinPath(this.#dir, 'manifests'))).filter(isHash)
    const kept = await Promise.all(
      hashes.map(async (hash) => ({ hash, usedAtMs: (await usedAtMs(this.#manifest(hash))) ?? 0 })),
    )
    return kept.sort((a, b) => b.usedAtMs - a.usedAtMs)
  }

  /**
   * Removes bundles that are neither `inUse` nor among the last limits.bundlesKept to be used, and
   * pieces of none that is left, unless they are new: perhaps their bundle is on its way. How many
   * bundles those were.
   */
  async collect(inUse: ReadonlySet<string>): Promise<number> {
    const all = await this.list()
    const old = all.slice(limits.bundlesKept).filter(({ hash }) => !inUse.has(hash))
    for (const { hash } of old) {
      await removeAll(this.#manifest(hash))
      await removeAll(bootFile(this.#treeOf(hash)))
      await removeAll(this.#treeOf(hash))
    }
    const needed = new Set<string>()
    for (const { hash } of await this.list()) {
      const text = await this.manifest(hash)
      for (const piece of text === undefined ? [] : piecesOf(parseManifest(text))) needed.add(piece)
    }
    const pieces = joinPath(this.#dir, 'pieces')
    const newMs = this.#clock.wallMs() - limits.bundleNewMs
    for (const group of await namesIn(pieces)) {
      for (const name of await namesIn(joinPath(pieces, group))) {
        const path = joinPath(pieces, group, name)
        if (!needed.has(name) && ((await usedAtMs(path)) ?? 0) < newMs) await removeAll(path)
      }
    }
    return old.length
  }

  async #unpack(hash: string): Promise<string> {
    const tree = this.#treeOf(hash)
    const text = await this.manifest(hash)
    if (text === undefined) {
      throw new HolonError('not_found', `the bundle ${hash.slice(0, 12)} is not on this machine`)
    }
    await markUsed(this.#manifest(hash), this.#clock.wallMs())
    const manifest = parseManifest(text)
    if (await this.#isWhole(tree, manifest)) return tree
    await removeAll(tree)
    const made = await temporaryDir(joinPath(this.#dir, 'trees'), 0o755)
    try {
      await this.#write(made, manifest)
      await moveInto(made, tree)
    } catch (error) {
      await removeAll(made)
      if (!(error instanceof MissingPiece)) throw error
      // So that it counts as not here, and is fetched: what there is of it stays.
      await removeAll(this.#manifest(hash))
      throw new HolonError('not_found', error.message, { retryable: true })
    }
    await writeWhole(bootFile(tree), this.#bootId)
    return tree
  }

  /** In this boot it was found to be, or is now. */
  async #isWhole(tree: string, { entries }: Manifest): Promise<boolean> {
    const boot = (await readBytesIfThere(bootFile(tree)))?.toString()
    if (boot === undefined || (await usedAtMs(tree)) === undefined) return false
    if (boot === this.#bootId) return true
    for (const entry of entries) {
      if ('link' in entry) continue
      const bytes = await readBytesIfThere(joinPath(tree, entry.path))
      const isSame = (hash: string, index: number) => {
        const at = index * limits.bundlePieceBytes
        return hashOf(bytes?.subarray(at, at + limits.bundlePieceBytes) ?? '') === hash
      }
      if (bytes?.length !== entry.bytes || !entry.pieces.every(isSame)) return false
    }
    await writeWhole(bootFile(tree), this.#bootId)
    return true
  }

  async #write(dir: string, { entries }: Manifest): Promise<void> {
    const dirs = new Set(
      entries.map(({ path }) => path.slice(0, Math.max(0, path.lastIndexOf('/')))),
    )
    for (const each of [...dirs].sort()) await makeDirs(joinPath(dir, each))
    const left = [...entries]
    const writer = async () => {
      for (let entry = left.pop(); entry !== undefined; entry = left.pop()) {
        await this.#writeEntry(dir, entry)
      }
    }
    await Promise.all(Array.from({ length: writersMax }, writer))
  }

  async #writeEntry(dir: string, entry: BundleEntry): Promise<void> {
    const path = joinPath(dir, entry.path)
    if ('link' in entry) return makeLink(path, entry.link)
    const pieces: Buffer[] = []
    for (const hash of entry.pieces) {
      const piece = await this.piece(hash)
      if (piece === undefined) {
        throw new MissingPiece(`a piece of "${entry.path}" is damaged or gone`)
      }
      pieces.push(piece)
    }
    await writePieces(path, pieces, entry.executable ? 0o755 : 0o644)
  }

  #piece(hash: string): string {
    return joinPath(this.#dir, 'pieces', hash.slice(0, 2), hash)
  }

  #manifest(hash: string): string {
    return joinPath(this.#dir, 'manifests', hash)
  }

  #treeOf(hash: string): string {
    return joinPath(this.#dir, 'trees', hash)
  }
}

class MissingPiece extends Error {}

const bootFile = (tree: string) => `${tree}.boot`
