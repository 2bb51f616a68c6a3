/**
 * What machines say of the conditions of units: asked before something is placed there, remembered
 * for a while. Only machines that come into question are asked, some at once. One that does not
 * answer counts as one where they hold: it is tried, and refuses the start itself if need be.
 */
import { type Clock, deadline, withSignal } from '../../base/clock.ts'
import type { ConditionVerdict } from '../../unit/conditions.ts'
import type { MachineCondition } from '../../unit/placement-rules.ts'

export interface ConditionAnswersDeps {
  readonly clock: Clock
  readonly ask: (
    machineId: string,
    about: AskedUnit,
    signal: AbortSignal,
  ) => Promise<ConditionVerdict>
  /** A machine answered, or will not. */
  readonly changed: (unit: string) => void
}

export interface AskedUnit {
  readonly unit: string
  readonly conditions: readonly MachineCondition[]
}

interface Answer {
  /** The line that does not hold; undefined where all do. */
  readonly unmet: string | undefined
  readonly atMs: number
}

interface UnitAnswers {
  readonly about: AskedUnit
  readonly answers: Map<string, Answer>
  readonly asking: Set<string>
  /** Machines where a condition does not hold, with the line; another map when it changes. */
  unfit: ReadonlyMap<string, string>
  sweptMs: number
}

const timeoutMs = 1_000
const asksAtOnce = 64
/** So long a yes is believed. */
const metKeptMs = 30_000
/** So long a no, while few have said it; of many, so many are asked again each second. */
const unmetKeptMs = 10_000
const askedAgainPerSecond = 50
const sweepMs = 1_000

const nowhere: ReadonlyMap<string, string> = new Map()

export class ConditionAnswers implements Disposable {
  readonly #deps: ConditionAnswersDeps
  readonly #units = new Map<string, UnitAnswers>()
  readonly #queue: (() => Promise<void>)[] = []
  readonly #life = new AbortController()
  #underWay = 0

  constructor(deps: ConditionAnswersDeps) {
    this.#deps = deps
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    this.#queue.length = 0
  }

  /** Other conditions than before are another question. Assertions fail a start, see there. */
  setUnit(unit: string, all: readonly MachineCondition[]): void {
    const conditions = all.filter(({ name }) => !name.startsWith('Assert'))
    if (conditions.length === 0) {
      this.#units.delete(unit)
      return
    }
    const known = this.#units.get(unit)?.about.conditions
    if (known !== undefined && JSON.stringify(known) === JSON.stringify(conditions)) return
    this.#units.set(unit, {
      about: { unit, conditions },
      answers: new Map(),
      asking: new Set(),
      unfit: nowhere,
      sweptMs: this.#deps.clock.nowMs(),
    })
  }

  /** Machines where a condition of the unit does not hold; the same map while nothing changes. */
  unfit(unit: string): ReadonlyMap<string, string> {
    return this.#units.get(unit)?.unfit ?? nowhere
  }

  /** Whether it is to be asked before the unit is placed there. */
  mustAsk(unit: string, machineId: string): boolean {
    const known = this.#units.get(unit)
    if (known === undefined) return false
    const answer = known.answers.get(machineId)
    return answer === undefined || this.#deps.clock.nowMs() - answer.atMs > metKeptMs
  }

  isAsking(unit: string, machineId: string): boolean {
    return this.#units.get(unit)?.asking.has(machineId) === true
  }

  ask(unit: string, machineIds: Iterable<string>): void {
    const known = this.#units.get(unit)
    if (known === undefined) return
    for (const machineId of machineIds) {
      if (known.asking.has(machineId)) continue
      known.asking.add(machineId)
      this.#queue.push(() => this.#ask(known, machineId))
    }
    this.#next()
  }

  /** What it said of itself did not hold. */
  forget(unit: string, machineId: string, olderThanMs: number): void {
    const known = this.#units.get(unit)
    const answer = known?.answers.get(machineId)
    if (known === undefined || answer === undefined || answer.atMs > olderThanMs) return
    known.answers.delete(machineId)
    if (answer.unmet !== undefined) this.#tellUnfit(known)
  }

  /** Forgets what is old; the units that may fit on a machine again. */
  lapsed(): readonly string[] {
    const nowMs = this.#deps.clock.nowMs()
    const units: string[] = []
    for (const [unit, known] of this.#units) {
      if (nowMs - known.sweptMs < sweepMs) continue
      known.sweptMs = nowMs
      const keptMs = Math.max(unmetKeptMs, (known.unfit.size / askedAgainPerSecond) * 1_000)
      let isLoosened = false
      for (const [machineId, { unmet, atMs }] of known.answers) {
        if (nowMs - atMs <= (unmet === undefined ? metKeptMs : keptMs)) continue
        known.answers.delete(machineId)
        isLoosened ||= unmet !== undefined
      }
      if (!isLoosened) continue
      this.#tellUnfit(known)
      units.push(unit)
    }
    return units
  }

  #next(): void {
    while (this.#underWay < asksAtOnce && !this.#life.signal.aborted) {
      const ask = this.#queue.shift()
      if (ask === undefined) return
      this.#underWay += 1
      void ask().finally(() => {
        this.#underWay -= 1
        this.#next()
      })
    }
  }

  async #ask(known: UnitAnswers, machineId: string): Promise<void> {
    const { clock, ask, changed } = this.#deps
    using limit = deadline(clock, timeoutMs, this.#life.signal)
    let unmet: string | undefined
    try {
      const answer = ask(machineId, known.about, limit.signal)
      const verdict = await withSignal(answer, limit.signal)
      if (verdict.kind === 'unmet' && !verdict.assertion) unmet = verdict.which
    } catch {
      // It is silent, or cannot say: the start there tells.
    }
    known.asking.delete(machineId)
    known.answers.set(machineId, { unmet, atMs: clock.nowMs() })
    if (unmet !== undefined) this.#tellUnfit(known)
    if (!this.#life.signal.aborted) changed(known.about.unit)
  }

  #tellUnfit(known: UnitAnswers): void {
    const unfit = new Map<string, string>()
    for (const [machineId, { unmet }] of known.answers) {
      if (unmet !== undefined) unfit.set(machineId, `not ${unmet}`)
    }
    known.unfit = unfit
  }
}
