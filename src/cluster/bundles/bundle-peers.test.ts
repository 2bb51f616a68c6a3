/** Bundles between machines that die, lie or lack pieces. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolonError } from '../../base/errors.ts'
import { BundleStore } from '../../bundles/bundle-store.ts'
import { encodeManifest, hashOf } from '../../bundles/manifest.ts'
import { realClock } from '../../io/clock.ts'
import type { Links } from '../links.ts'
import { type BundlePeer, BundlePeers, piecesFor } from './bundle-peers.ts'

const { signal } = new AbortController()
const contents = Array.from({ length: 1_500 }, (_, index) => `file ${index}`)

class Stores implements Disposable {
  readonly #dir = mkdtempSync(join(tmpdir(), 'holon-bundle-peers-'))
  readonly peers = new Map<string, BundlePeer>()

  store(name: string): BundleStore {
    return new BundleStore(realClock, join(this.#dir, name), 'boot')
  }

  /** One with the bundle, which answers so many calls for pieces. */
  async holder(name: string, calls = Number.POSITIVE_INFINITY): Promise<string> {
    const store = this.store(name)
    await Promise.all(contents.map((each) => store.putPiece(hashOf(each), Buffer.from(each))))
    const entries = contents.map((each, index) => ({
      path: `f${index}`,
      executable: false,
      bytes: each.length,
      pieces: [hashOf(each)],
    }))
    const hash = await store.add(encodeManifest(entries))
    let left = calls
    this.peers.set(name, {
      bundleManifest: async (asked) => (await store.manifest(asked)) ?? '',
      bundlePieces: async (hashes) => {
        if (left-- <= 0) throw new HolonError('unavailable', `${name} is dead`)
        return piecesFor(store, hashes)
      },
      keepBundle: async () => {},
    })
    return hash
  }

  fetching(store: BundleStore): BundlePeers {
    const links = {
      peer: async (id: string) => {
        const peer = this.peers.get(id)
        if (peer === undefined) throw new HolonError('unavailable', `${id} cannot be reached`)
        return peer
      },
    } as unknown as Links
    const others = () => ['gone', ...this.peers.keys()]
    return new BundlePeers({ clock: realClock, store, links, others, nameOf: (id) => id })
  }

  [Symbol.dispose](): void {
    rmSync(this.#dir, { recursive: true, force: true })
  }
}

test('get() goes on with another machine where one died, and gets nothing twice', async () => {
  using stores = new Stores()
  const hash = await stores.holder('dying', 1)
  await stores.holder('living')
  const store = stores.store('here')
  let put = 0
  const counted = new Proxy(store, {
    get: (target, name) => {
      if (name === 'putPiece') put += 1
      const value: unknown = Reflect.get(target, name)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  const peers = stores.fetching(counted)
  await Promise.all([peers.get(hash, signal), peers.get(hash, signal)])
  assert.notEqual(await store.manifest(hash), undefined)
  assert.equal(put, contents.length)
})

test('get() takes no piece that is another, and says who had what', async () => {
  using stores = new Stores()
  const hash = await stores.holder('lying')
  const lying = stores.peers.get('lying')
  if (lying === undefined) return
  stores.peers.set('lying', {
    ...lying,
    bundlePieces: async (hashes) => hashes.map(() => Buffer.from('else').toString('base64')),
  })
  const store = stores.store('here')
  await assert.rejects(stores.fetching(store).get(hash, signal), {
    code: 'unavailable',
    message: /get the bundle [0-9a-f]{12}: lying: the piece [0-9a-f]{12} came damaged/,
  })
  assert.equal(await store.manifest(hash), undefined)
  await assert.rejects(stores.fetching(store).get(hashOf('unknown'), signal), {
    message: /no machine that answers has it/,
  })
})
