/**
 * Bundles from other machines: whoever has one is asked for its manifest, and then for the pieces
 * that are not here yet, some at a time. A machine that dies in the middle, or lacks a piece, is
 * followed by the next one, and what has come already stays: nothing is fetched twice.
 */

import { type Clock, deadline, withSignal } from '../../base/clock.ts'
import { asHolonError, HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { BundleStore } from '../../bundles/bundle-store.ts'
import { hashOf, parseManifest, piecesOf } from '../../bundles/manifest.ts'
import type { CallOptions } from '../../kernel/types.ts'
import type { Links } from '../links.ts'

/** What machines ask each other about bundles. */
export interface BundlePeer {
  /** The manifest of a bundle that it has; "" when it has not. Idempotent. */
  bundleManifest(hash: string, options: CallOptions): Promise<string>
  /**
   * Pieces in base64, in order, "" for one that it lacks: as many of those asked for as fit into
   * limits.bundleCallBytes, at least one. Idempotent.
   */
  bundlePieces(hashes: readonly string[], options: CallOptions): Promise<readonly string[]>
  /** Fetches the bundle, if it has not got it. Idempotent. */
  keepBundle(hash: string, options: CallOptions): Promise<void>
}

/** A machine's own, as the fleet uses it. */
export interface MachineBundles {
  readonly store: BundleStore
  /** From now on it gets what it lacks from these, until disposed of. */
  join(peers: BundlePeers): Disposable
}

export interface BundlePeersDeps {
  readonly clock: Clock
  readonly store: BundleStore
  readonly links: Links
  /** Ids of machines that are up, this one not among them. */
  readonly others: () => readonly string[]
  readonly nameOf: (machineId: string) => string
}

/** Asked for in one call. */
const batchPieces = 512
/** Calls for pieces under way at a time. */
const callsMax = 3

export class BundlePeers {
  readonly #deps: BundlePeersDeps
  readonly #fetching = new Map<string, Promise<void>>()

  constructor(deps: BundlePeersDeps) {
    this.#deps = deps
  }

  /** The bundle is here when this resolves. `unavailable` when no machine that answers has it. */
  get(hash: string, signal: AbortSignal): Promise<void> {
    let fetching = this.#fetching.get(hash)
    if (fetching === undefined) {
      fetching = this.#fetchInTime(hash).finally(() => this.#fetching.delete(hash))
      this.#fetching.set(hash, fetching)
    }
    // Who gives up waiting ends it for nobody else.
    return withSignal(fetching, signal)
  }

  async #fetchInTime(hash: string): Promise<void> {
    using limit = deadline(this.#deps.clock, limits.bundleFetchMs)
    await this.#fetch(hash, limit.signal)
  }

  /** Has another machine keep it; false when none does. */
  async spread(hash: string, signal: AbortSignal): Promise<boolean> {
    for (const machineId of this.#deps.others()) {
      try {
        const peer = await this.#peer(machineId, signal)
        await peer.keepBundle(hash, { signal })
        return true
      } catch {
        if (signal.aborted) return false
      }
    }
    return false
  }

  async #peer(machineId: string, signal: AbortSignal): Promise<BundlePeer> {
    using limit = deadline(this.#deps.clock, limits.bundleAskMs, signal)
    return await this.#deps.links.peer(machineId, limit.signal)
  }

  async #fetch(hash: string, signal: AbortSignal): Promise<void> {
    const { store, others, nameOf } = this.#deps
    if ((await store.manifest(hash)) !== undefined) return
    const failures: string[] = []
    for (const { machineId, manifest } of await this.#holders(hash, others(), signal)) {
      try {
        await this.#fetchFrom(machineId, manifest, signal)
        await store.add(manifest)
        return
      } catch (error) {
        if (signal.aborted) throw error
        failures.push(`${nameOf(machineId)}: ${asHolonError(error).message}`)
      }
    }
    const short = hash.slice(0, 12)
    const why = failures.length === 0 ? 'no machine that answers has it' : failures.join('; ')
    throw new HolonError('unavailable', `get the bundle ${short}: ${why}`, { retryable: true })
  }

  /** Asked all at once; who does not answer in time is not asked for pieces either. */
  async #holders(hash: string, machines: readonly string[], signal: AbortSignal) {
    using limit = deadline(this.#deps.clock, limits.bundleAskMs, signal)
    const asked = machines.map(async (machineId) => {
      try {
        const peer = await this.#peer(machineId, limit.signal)
        const manifest = await peer.bundleManifest(hash, limit)
        return hashOf(manifest) === hash ? [{ machineId, manifest }] : []
      } catch {
        return []
      }
    })
    return (await Promise.all(asked)).flat()
  }

  async #fetchFrom(machineId: string, manifest: string, signal: AbortSignal): Promise<void> {
    const { store } = this.#deps
    const peer = await this.#peer(machineId, signal)
    const left = [...(await store.missing(piecesOf(parseManifest(manifest))))]
    const caller = async () => {
      while (left.length > 0) {
        const batch = left.splice(0, batchPieces)
        const pieces = await peer.bundlePieces(batch, { signal })
        if (pieces.length === 0 || pieces.includes('')) {
          throw new HolonError('unavailable', 'it lacks a piece')
        }
        left.push(...batch.slice(pieces.length))
        const put = (text: string, index: number) =>
          store.putPiece(batch[index] ?? '', Buffer.from(text, 'base64'))
        await Promise.all(pieces.map(put))
      }
    }
    // What others have under way is not to be fetched once more from somebody else.
    const ends = await Promise.allSettled(Array.from({ length: callsMax }, caller))
    for (const end of ends) if (end.status === 'rejected') throw end.reason
  }
}

/** The serving side of `bundlePieces`. */
export async function piecesFor(
  store: BundleStore,
  hashes: readonly string[],
): Promise<readonly string[]> {
  const pieces: string[] = []
  let bytes = 0
  for (const hash of hashes) {
    const piece = await store.piece(hash)
    bytes += piece?.length ?? 0
    if (pieces.length > 0 && bytes > limits.bundleCallBytes) break
    pieces.push(piece?.toString('base64') ?? '')
  }
  return pieces
}
