/**
 * What operators want of machines, as State last told. Every machine follows it, so that listings
 * and placements know it at once and never wait for State. May be a moment old; while State is away
 * it is what was last heard.
 */
import { type Clock, sleep } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import type { MachineIntent } from '../../kernel/types.ts'
import { follow } from '../../state/commit.ts'
import type { Entry, State } from '../../state/port.ts'
import { intentPrefix, parseIntent } from './records.ts'

export interface MachineIntentsDeps {
  readonly clock: Clock
  readonly state: State
  readonly report: (message: string) => void
}

const retryMs = 500

export class MachineIntents implements Disposable {
  readonly #deps: MachineIntentsDeps
  readonly #life = new AbortController()
  #intents = new Map<string, MachineIntent>()

  constructor(deps: MachineIntentsDeps) {
    this.#deps = deps
  }

  start(): void {
    void this.#follow()
  }

  [Symbol.dispose](): void {
    this.#life.abort()
  }

  of(machineId: string): MachineIntent | undefined {
    return this.#intents.get(machineId)
  }

  async #follow(): Promise<void> {
    const { clock, state, report } = this.#deps
    const { signal } = this.#life
    let said = ''
    while (!signal.aborted) {
      try {
        for await (const view of follow(clock, state, intentPrefix, { signal })) {
          said = ''
          if (view.kind === 'all') this.#intents = new Map(view.entries.map(intentOf))
          else if (view.kind === 'put') this.#intents.set(...intentOf(view.entry))
          else if (view.kind === 'delete') this.#intents.delete(machineOf(view.key))
        }
      } catch (error) {
        if (signal.aborted) return
        const { message } = asHolonError(error)
        if (message !== said) report(`follow what is wanted of machines: ${message}`)
        said = message
      }
      await sleep(clock, retryMs, signal).catch(() => {})
    }
  }
}

const machineOf = (key: string) => key.slice(intentPrefix.length)

function intentOf({ key, value }: Entry): [string, MachineIntent] {
  return [machineOf(key), parseIntent(value)]
}
