/**
 * The bundles of this machine: where an instance's files are, fetched from another machine if they
 * are not here. Fetching goes on where it stopped: after a failure, with another agent, or from
 * another machine.
 */
import { type Clock, deadline } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { BundleStore } from '../../bundles/bundle-store.ts'
import type {
  BundlePeers,
  MachineBundles as FleetView,
} from '../../cluster/bundles/bundle-peers.ts'
import { makeLink, usedAtMs } from '../../io/bundle-files.ts'
import { joinPath } from '../../io/files.ts'
import type { BundleUse } from '../../unit/service-unit.ts'

export interface MachineBundlesDeps {
  readonly clock: Clock
  /** "x64". */
  readonly platform: string
  readonly dir: string
  readonly bootId: string
}

export class MachineBundles implements FleetView {
  readonly store: BundleStore
  readonly platform: string
  readonly dir: string
  readonly #clock: Clock
  #peers: BundlePeers | undefined

  constructor({ clock, platform, dir, bootId }: MachineBundlesDeps) {
    this.#clock = clock
    this.platform = platform
    this.dir = dir
    this.store = new BundleStore(clock, dir, bootId)
  }

  join(peers: BundlePeers): Disposable {
    this.#peers = peers
    return {
      [Symbol.dispose]: () => {
        if (this.#peers === peers) this.#peers = undefined
      },
    }
  }

  /** Removes what nobody needs, now and then, until disposed of. */
  keepTidy(inUse: () => ReadonlySet<string>, report: (message: string) => void): Disposable {
    let timer = this.#clock.timer(limits.bundleTidyMs, () => tidy(), { background: true })
    const tidy = () => {
      timer = this.#clock.timer(limits.bundleTidyMs, tidy, { background: true })
      this.store.collect(inUse()).catch((error: unknown) => {
        report(asHolonError(error, 'remove old bundles').message)
      })
    }
    return { [Symbol.dispose]: () => timer[Symbol.dispose]() }
  }

  /** Has another machine keep it, too, if there is one; who lacks it gets it when it needs it. */
  async spread(hash: string, signal: AbortSignal): Promise<void> {
    using limit = deadline(this.#clock, limits.bundleFetchMs, signal)
    await this.#peers?.spread(hash, limit.signal)
  }

  /** The directory that an instance runs in. `unavailable` when its files cannot be had. */
  async dirFor(use: BundleUse, signal: AbortSignal): Promise<string> {
    const tree = await this.#tree(use.hash, signal)
    const modules = use.modules.get(this.platform)
    if (modules === undefined) {
      if (use.modules.size === 0) return tree
      throw new HolonError(
        'unavailable',
        `its modules are for ${[...use.modules.keys()].join(', ')}, this machine is ` +
          `${this.platform}: deploy from a machine like this one, too`,
      )
    }
    const link = joinPath(tree, 'node_modules')
    const installed = joinPath(await this.#tree(modules, signal), 'node_modules')
    if ((await usedAtMs(link)) === undefined) {
      await makeLink(link, installed).catch((error: unknown) => {
        // Another instance was faster.
        if (asHolonError(error).code !== 'already_exists') throw error
      })
    }
    return tree
  }

  async #tree(hash: string, signal: AbortSignal): Promise<string> {
    using limit = deadline(this.#clock, limits.bundleFetchMs, signal)
    if ((await this.store.manifest(hash)) === undefined) await this.#fetch(hash, limit.signal)
    try {
      return await this.store.tree(hash)
    } catch (error) {
      if (asHolonError(error).code !== 'not_found') throw error
      await this.#fetch(hash, limit.signal)
      return await this.store.tree(hash)
    }
  }

  async #fetch(hash: string, signal: AbortSignal): Promise<void> {
    if (this.#peers !== undefined) return this.#peers.get(hash, signal)
    const short = hash.slice(0, 12)
    throw new HolonError('unavailable', `the bundle ${short} is not here: deploy it again`)
  }
}
