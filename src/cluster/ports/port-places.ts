/**
 * Which machines serve something: those that a slot of a unit with a public port belongs to, as
 * State has them under `port/`, written in the txns that place the slots. Kept on the disk, for
 * while State is away.
 */
import { asHolonError } from '../../base/errors.ts'
import { ensureDir, joinPath, readTextIfThere, writeText } from '../../io/files.ts'
import type { View } from '../../state/commit.ts'
import { type FollowDeps, keepFollowing } from '../../state/keep-following.ts'
import { parsePortPlace, portPrefix } from '../reconcile/records.ts'

export interface PortPlacesDeps extends FollowDeps {
  readonly changed: () => void
}

export class PortPlaces implements Disposable {
  readonly #deps: PortPlacesDeps
  readonly #dir: string
  readonly #places: Map<string, readonly string[]>
  readonly #life = new AbortController()

  /** `dir`: where it remembers. */
  constructor(deps: PortPlacesDeps, dir: string) {
    this.#deps = deps
    this.#dir = dir
    this.#places = new Map(this.#remembered())
  }

  start(): void {
    const which = { prefix: portPrefix, what: 'follow where public ports are served' }
    void keepFollowing(this.#deps, which, (view) => this.#take(view), this.#life.signal)
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  /** Ids. */
  machines(): ReadonlySet<string> {
    return new Set([...this.#places.values()].flat())
  }

  #take(view: View): void {
    if (view.kind === 'all') {
      this.#places.clear()
      for (const { key, value } of view.entries) this.#places.set(key, parsePortPlace(value))
    } else if (view.kind === 'put') {
      this.#places.set(view.entry.key, parsePortPlace(view.entry.value))
    } else if (view.kind === 'delete') this.#places.delete(view.key)
    else return
    this.#remember()
    this.#deps.changed()
  }

  #path(): string {
    return joinPath(this.#dir, 'ports.json')
  }

  #remembered(): readonly (readonly [string, readonly string[]])[] {
    const text = readTextIfThere(this.#path())
    if (text === undefined) return []
    try {
      const entries = Object.entries(JSON.parse(text) as Record<string, unknown>)
      return entries.map(([key, value]) => [key, parsePortPlace(value)])
    } catch (error) {
      const { message } = asHolonError(error)
      this.#deps.report(`read "${this.#path()}": ${message}; the state is asked instead`)
      return []
    }
  }

  #remember(): void {
    ensureDir(this.#dir, 0o700)
    writeText(this.#path(), `${JSON.stringify(Object.fromEntries(this.#places))}\n`, 0o600)
  }
}
