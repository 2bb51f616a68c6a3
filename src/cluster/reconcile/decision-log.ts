/**
 * What leaders decided about each unit, in State under why/<unit>, and what they saw of machines,
 * under why/machines: the last ones, oldest first, so that `holon why` answers on every machine, also
 * after the leader is gone. Gathered for a moment: a thousand placements of one unit, or a thousand
 * machines lost at once, are one write. What a dying leader had not written yet is lost; its deeds
 * are not, and they carry their reason in the slot.
 */
import { type Clock, deadline, type Timer } from '../../base/clock.ts'
import { asHolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Random } from '../../base/random.ts'
import type { Decision } from '../../kernel/decisions.ts'
import { update } from '../../state/commit.ts'
import type { SignalOptions, State } from '../../state/port.ts'

export const whyPrefix = 'why/'
export const whyKey = (unit: string) => `${whyPrefix}${unit}`
/** Every unit's name has a type behind a dot. */
export const machinesWhyKey = whyKey('machines')

/** What a keeper did by itself, as the leader heard: its machine may be gone when one asks. */
export const keeperRestart = 'restarted'
/** They leave room for what was decided. */
const restartsMax = 16

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

  /** `machine`: who did it, if not this one. */
  add(
    unit: string,
    what: string,
    why: string,
    slot?: number,
    machine = this.#deps.machine(),
  ): void {
    const instance = slot === undefined ? {} : { instance: `${unit}/${slot}` }
    this.#add(whyKey(unit), { atMs: this.#deps.clock.wallMs(), machine, what, why, ...instance })
  }

  addOfMachine(about: string, what: string, why: string): void {
    const { clock, machine } = this.#deps
    this.#add(machinesWhyKey, { atMs: clock.wallMs(), machine: machine(), about, what, why })
  }

  #add(key: string, decision: Decision): void {
    const { clock } = this.#deps
    const pending = this.#pending.get(key) ?? []
    pending.push(decision)
    this.#pending.set(key, pending)
    this.#timer ??= clock.timer(flushMs, () => void this.#flush(), { background: true })
  }

  async #flush(): Promise<void> {
    const pending = this.#pending
    this.#pending = new Map()
    this.#timer = undefined
    for (const [key, decisions] of pending) {
      try {
        await this.#write(key, decisions)
      } catch (error) {
        if (this.#life.signal.aborted) return
        this.#deps.report(`record what was decided (${key}): ${asHolonError(error).message}`)
      }
    }
  }

  async #write(key: string, decisions: readonly Decision[]): Promise<void> {
    const { clock, random, state } = this.#deps
    const most = key === machinesWhyKey ? limits.machineDecisionsMax : limits.decisionsMax
    using limit = deadline(clock, writeTimeoutMs, this.#life.signal)
    await update(
      { clock, random },
      state,
      key,
      (entry) => {
        const value = bounded([...parseDecisions(entry?.value), ...decisions], most)
        return { kind: 'put', value, schema: 1 }
      },
      { signal: limit.signal, writer: this.#writer },
    )
  }
}

function bounded(decisions: readonly Decision[], most: number): readonly Decision[] {
  const isRestart = ({ what }: Decision) => what === keeperRestart
  const dropped = new Set(decisions.filter(isRestart).slice(0, -restartsMax))
  return decisions.filter((each) => !dropped.has(each)).slice(-most)
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
