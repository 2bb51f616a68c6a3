/**
 * What operators want of machines, as State last told. Every machine follows it, so that listings
 * and placements know it at once and never wait for State. May be a moment old; while State is away
 * it is what was last heard.
 */
import type { MachineIntent } from '../../kernel/types.ts'
import type { View } from '../../state/commit.ts'
import { type FollowDeps, keepFollowing } from '../../state/keep-following.ts'
import type { Entry } from '../../state/port.ts'
import { intentPrefix, parseIntent } from './records.ts'

export class MachineIntents implements Disposable {
  readonly #deps: FollowDeps
  readonly #life = new AbortController()
  #intents = new Map<string, MachineIntent>()

  constructor(deps: FollowDeps) {
    this.#deps = deps
  }

  start(): void {
    const which = { prefix: intentPrefix, what: 'follow what is wanted of machines' }
    void keepFollowing(this.#deps, which, (view) => this.#take(view), this.#life.signal)
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  of(machineId: string): MachineIntent | undefined {
    return this.#intents.get(machineId)
  }

  #take(view: View): void {
    if (view.kind === 'all') this.#intents = new Map(view.entries.map(intentOf))
    else if (view.kind === 'put') this.#intents.set(...intentOf(view.entry))
    else if (view.kind === 'delete') this.#intents.delete(machineOf(view.key))
  }
}

const machineOf = (key: string) => key.slice(intentPrefix.length)

function intentOf({ key, value }: Entry): [string, MachineIntent] {
  return [machineOf(key), parseIntent(value)]
}
