/**
 * What leaders decided about each unit, in State under why/<unit>: the last ones, oldest first, so
 * that `holon why` answers on every machine, also after the leader is gone. Gathered for a moment:
 * a thousand placements of one unit are one write. What a dying leader had not written yet is lost;
 * its deeds are not, and they carry their reason in the slot.
 */
import { type Clock, deadline, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import type { Decision } from '../../kernel/types.ts'
import { update } from '../../state/commit.ts'
import type { SignalOptions, State } from '../../state/port.ts'

export const whyPrefix = 'why/'
export const whyKey = (unit: string) => `${whyPrefix}${unit}`

const flushMs = 500
const writeTimeoutMs = 10_000

export interface DecisionLogDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly report: (message: string) => void
  /** Name of this machine. */
  readonly machine: () => string
}

export class DecisionLog implements Disposable {
  readonly #deps: DecisionLogDeps
  readonly #writer: string
  readonly #life = new AbortController()
  #pending = new Map<string, Decision[]>()
  #timer: Timer | undefined

  constructor(deps: DecisionLogDeps, writer: string) {
    this.#deps = deps
    this.#writer = writer
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#timer?.[Symbol.dispose]()
  }

  add(unit: string, what: string, why: string, slot?: number): void {
    const { clock, machine } = this.#deps
    const instance = slot === undefined ? {} : { instance: `${unit}/${slot}` }
    const decision: Decision = { atMs: clock.wallMs(), machine: machine(), what, why, ...instance }
    const pending = this.#pending.get(unit) ?? []
    pending.push(decision)
    this.#pending.set(unit, pending)
    this.#timer ??= clock.timer(flushMs, () => void this.#flush(), { background: true })
  }

  async #flush(): Promise<void> {
    const pending = this.#pending
    this.#pending = new Map()
    this.#timer = undefined
    for (const [unit, decisions] of pending) {
      try {
        await this.#write(unit, decisions)
      } catch (error) {
        if (this.#life.signal.aborted) return
        this.#deps.report(`record what was decided about ${unit}: ${asHolonError(error).message}`)
      }
    }
  }

  async #write(unit: string, decisions: readonly Decision[]): Promise<void> {
    const { clock, random, state } = this.#deps
    using limit = deadline(clock, writeTimeoutMs, this.#life.signal)
    await update(
      { clock, random },
      state,
      whyKey(unit),
      (entry) => {
        const value = [...parseDecisions(entry?.value), ...decisions].slice(-limits.decisionsMax)
        return { kind: 'put', value, schema: 1 }
      },
      { signal: limit.signal, writer: this.#writer },
    )
  }
}

/** What was decided about a unit, oldest first. */
export async function readDecisions(
  state: State,
  unit: string,
  { signal }: SignalOptions,
): Promise<readonly Decision[]> {
  return parseDecisions((await state.get(whyKey(unit), { signal }))?.value)
}

export function parseDecisions(value: unknown): readonly Decision[] {
  return Array.isArray(value) ? (value as readonly Decision[]) : []
}
