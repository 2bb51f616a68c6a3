/** Bundles of this machine, for one caller, who runs the agent. */
import { HolonError } from '../../base/errors.ts'
import { bytesOf, hashOf, parseManifest } from '../../bundles/manifest.ts'
import { packDir, readPiece } from '../../bundles/pack.ts'
import { readBytesIfThere, removeAll, usedAtMs, writeWhole } from '../../io/bundle-files.ts'
import { ensureDir, joinPath } from '../../io/files.ts'
import type { BundleInfo, BundlePiece, Bundles, ModulesAnswer } from '../../kernel/bundles.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { MachineBundles } from './machine-bundles.ts'

/** What npm has to know. */
const staged = ['package.json', 'package-lock.json', '.npmrc'] as const

export class BundlesTarget implements Bundles {
  readonly #bundles: MachineBundles
  readonly #machine: string

  constructor(bundles: MachineBundles, machine: string) {
    this.#bundles = bundles
    this.#machine = machine
  }

  missing(hashes: readonly string[]): Promise<readonly string[]> {
    return this.#bundles.store.missing(hashes)
  }

  async put(pieces: readonly BundlePiece[]): Promise<void> {
    const { store } = this.#bundles
    await Promise.all(
      pieces.map(({ hash, base64 }) => store.putPiece(hash, Buffer.from(base64, 'base64'))),
    )
  }

  async finish(manifest: string, { signal }: CallOptions): Promise<BundleInfo> {
    const hash = await this.#bundles.store.add(manifest)
    await this.#bundles.spread(hash, signal)
    return this.#info(hash)
  }

  async modules(bundle: string): Promise<ModulesAnswer> {
    const key = await this.#modulesKey(bundle)
    if (key === undefined) return { kind: 'none' }
    const { store, platform } = this.#bundles
    const known = (await readBytesIfThere(this.#madePath(key)))?.toString()
    if (known !== undefined && (await store.manifest(known)) !== undefined) {
      return { kind: 'known', bundle: known, platform }
    }
    const dir = this.#stage(key)
    ensureDir(joinPath(this.#bundles.dir, 'stage'), 0o700)
    ensureDir(dir, 0o700)
    const tree = await store.tree(bundle)
    for (const name of staged) {
      const bytes = await readBytesIfThere(joinPath(tree, name))
      if (bytes !== undefined) await writeWhole(joinPath(dir, name), bytes)
    }
    return { kind: 'stage', machine: this.#machine, dir, platform }
  }

  async finishModules(bundle: string, { signal }: CallOptions): Promise<string> {
    const key = await this.#modulesKey(bundle)
    const dir = key === undefined ? '' : this.#stage(key)
    if (key === undefined || (await usedAtMs(joinPath(dir, 'node_modules'))) === undefined) {
      throw new HolonError('conflict', 'there are no modules: npm has installed none')
    }
    const { store } = this.#bundles
    const packed = await packDir(dir, { isIncluded: ({ path }) => path.startsWith('node_modules') })
    for (const hash of await store.missing([...packed.pieces.keys()])) {
      const from = packed.pieces.get(hash)
      if (from !== undefined) await store.putPiece(hash, await readPiece(dir, hash, from))
    }
    const hash = await store.add(packed.manifest)
    await writeWhole(this.#madePath(key), hash)
    await removeAll(dir)
    await this.#bundles.spread(hash, signal)
    return hash
  }

  async list(): Promise<readonly BundleInfo[]> {
    const kept = await this.#bundles.store.list()
    return Promise.all(kept.map(({ hash }) => this.#info(hash)))
  }

  async #info(hash: string): Promise<BundleInfo> {
    const { store } = this.#bundles
    const manifest = parseManifest((await store.manifest(hash)) ?? '')
    const kept = (await store.list()).find((each) => each.hash === hash)
    const files = manifest.entries.length
    return { hash, bytes: bytesOf(manifest), files, usedAtMs: kept?.usedAtMs ?? 0 }
  }

  /** The same for the same lock file on machines of one kind; undefined when it needs none. */
  async #modulesKey(bundle: string): Promise<string | undefined> {
    const { store, platform } = this.#bundles
    const tree = await store.tree(bundle)
    const lock = await readBytesIfThere(joinPath(tree, 'package-lock.json'))
    const about = await readBytesIfThere(joinPath(tree, 'package.json'))
    if (lock === undefined || about === undefined || !needsModules(lock.toString()))
      return undefined
    return hashOf(`${platform} ${hashOf(lock)} ${hashOf(about)}`)
  }

  #stage(key: string): string {
    return joinPath(this.#bundles.dir, 'stage', key)
  }

  #madePath(key: string): string {
    return joinPath(this.#bundles.dir, 'modules', key)
  }
}

/** Whether the lock file has anything that is not for development alone. */
function needsModules(text: string): boolean {
  const { packages } = JSON.parse(text) as {
    packages?: Readonly<Record<string, { readonly dev?: boolean }>>
  }
  return Object.entries(packages ?? {}).some(([path, { dev }]) => path !== '' && dev !== true)
}
