/**
 * Which machines the instances of the fleet's units belong to, followed in State from the first
 * time that somebody asks for a name until nobody has for limits.namesIdleMs. So where names are
 * not used it costs nothing. While State is away the last that it said holds.
 */
import { sleep, withSignal } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { View } from '../../state/commit.ts'
import { type FollowDeps, keepFollowing } from '../../state/keep-following.ts'
import { machinesOf, parseSlot, parseSpec, slotPrefix, specPrefix } from '../reconcile/records.ts'

export interface SlotPlacesDeps extends FollowDeps {
  readonly changed: () => void
}

export class SlotPlaces implements Disposable {
  readonly #deps: SlotPlacesDeps
  readonly #life = new AbortController()
  /** By unit, then by slot: ids of machines. */
  readonly #slots = new Map<string, Map<number, readonly string[]>>()
  readonly #specs = new Set<string>()
  readonly #heard = new Set<string>()
  #following: AbortController | undefined
  #complete = Promise.withResolvers<void>()
  #askedAtMs = 0
  #said = ''

  constructor(deps: SlotPlacesDeps) {
    this.#deps = deps
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#following?.abort()
  }

  /** Everything was heard of State at least once. */
  get isKnown(): boolean {
    return this.#heard.size === 2
  }

  /** Follows from now on. Rejects when State has said nothing by the end of `signal`. */
  async known(signal: AbortSignal): Promise<void> {
    this.#askedAtMs = this.#deps.clock.nowMs()
    this.#begin()
    if (!this.isKnown) await withSignal(this.#complete.promise, signal)
  }

  has(unit: string): boolean {
    return this.#specs.has(unit) || this.#slots.has(unit)
  }

  units(): Iterable<string> {
    return this.#specs.union(new Set(this.#slots.keys()))
  }

  /** Slots with the ids of their machines. */
  slotsOf(unit: string): ReadonlyMap<number, readonly string[]> {
    return this.#slots.get(unit) ?? new Map()
  }

  #begin(): void {
    if (this.#following !== undefined || this.#life.signal.aborted) return
    const following = new AbortController()
    this.#following = following
    const { signal } = following
    void this.#follow(slotPrefix, signal, {
      clear: () => this.#slots.clear(),
      put: (_key, value) => this.#put(value),
      remove: (key) => this.#removeSlot(key),
    })
    void this.#follow(specPrefix, signal, {
      clear: () => this.#specs.clear(),
      put: (_key, value) => {
        const { unit } = parseSpec(value)
        if (unit.endsWith('.service')) this.#specs.add(unit)
      },
      remove: (key) => this.#specs.delete(key.slice(specPrefix.length)),
    })
    void this.#endIdle(following)
  }

  async #endIdle(following: AbortController): Promise<void> {
    const { clock } = this.#deps
    while (!following.signal.aborted) {
      const leftMs = this.#askedAtMs + limits.namesIdleMs - clock.nowMs()
      if (leftMs <= 0) break
      await sleep(clock, leftMs, following.signal).catch(() => {})
    }
    following.abort()
    this.#following = undefined
    this.#heard.clear()
    this.#complete = Promise.withResolvers()
  }

  #follow(prefix: string, signal: AbortSignal, into: Changed): Promise<void> {
    const take = (view: View) => {
      if (view.kind === 'all') {
        into.clear()
        for (const { key, value } of view.entries) into.put(key, value)
        this.#heard.add(prefix)
        if (this.isKnown) this.#complete.resolve()
      } else if (view.kind === 'put') into.put(view.entry.key, view.entry.value)
      else if (view.kind === 'delete') into.remove(view.key)
      else return
      this.#said = ''
      this.#deps.changed()
    }
    // Both prefixes fail alike: once is enough.
    const report = (message: string) => {
      if (message !== this.#said) this.#deps.report(message)
      this.#said = message
    }
    const which = { prefix, what: 'follow where names lead' }
    return keepFollowing({ ...this.#deps, report }, which, take, signal)
  }

  #put(value: unknown): void {
    const record = parseSlot(value)
    const { unit, slot, ended } = record
    const machines = ended === undefined ? machinesOf(record) : []
    const slots = this.#slots.get(unit) ?? new Map<number, readonly string[]>()
    this.#slots.set(unit, slots.set(slot, machines))
  }

  #removeSlot(key: string): void {
    const path = key.slice(slotPrefix.length)
    const unit = path.slice(0, path.lastIndexOf('/'))
    const slots = this.#slots.get(unit)
    slots?.delete(Number(path.slice(unit.length + 1)))
    if (slots?.size === 0) this.#slots.delete(unit)
  }
}

/** What becomes of entries. */
interface Changed {
  readonly clear: () => void
  readonly put: (key: string, value: unknown) => void
  readonly remove: (key: string) => void
}
