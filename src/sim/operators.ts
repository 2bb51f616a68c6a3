/**
 * People at some machine who ask the fleet for something, by the same verbs as the CLI's; and the
 * ledger of what they were told: what was acknowledged is there and stays until somebody changes
 * it, what was refused never happened, and every operation ended in time in an outcome it declares.
 */
import { deadline } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import { intentKey, specKey } from '../cluster/reconcile/records.ts'
import { UnitVerbs } from '../cluster/reconcile/verbs.ts'
import type { MachineIntent } from '../kernel/types.ts'
import type { CheckedTxn } from '../state/check-txn.ts'
import type { Decision } from '../state/draft.ts'
import { isTimerName } from '../unit/timer-unit.ts'
import type { SimFleet } from './fleet.ts'
import type { World } from './world.ts'

type Options = { readonly signal: AbortSignal }
type Verb = (verbs: UnitVerbs, options: Options) => Promise<unknown>

/** What an operation sets, where that can be compared: a field of a record in the state. */
interface Field {
  readonly key: string
  readonly field: 'wanted' | 'scale' | 'wish'
  readonly value: unknown
}

interface Known {
  /** What it must be; undefined when that is not known. */
  value: { readonly is: unknown } | undefined
  readonly underWay: Set<Operation>
}

interface Operation {
  readonly what: string
  happened: boolean
  refused: boolean
  /** Another one was under way at the same time that sets the same. */
  overlaps: boolean
}

export type Outcome = 'done' | 'refused' | 'unknown' | 'lost'

/** As records of the state name them. */
const who = 'sim'
const timeoutMs = 8_000
/** What its deadline itself may take to be heard of. */
const lateMs = 1_000

export class Operators {
  /** How often operations ended how. */
  readonly outcomes = new Map<string, number>()
  readonly #world: World
  readonly #fleet: SimFleet
  readonly #operations = new Map<string, Operation>()
  readonly #fields = new Map<string, Known>()
  #count = 0

  constructor(world: World, fleet: SimFleet) {
    this.#world = world
    this.#fleet = fleet
  }

  /** A unit as it is given, and wanted running: until both are acknowledged. */
  async start(unit: string, text: string): Promise<void> {
    await this.insist(() => this.load(unit, text))
    await this.insist(() => this.want(unit, true))
  }

  load(unit: string, text: string): Promise<Outcome> {
    return this.#ask(`load ${unit}`, (v, o) => v.load({ unit, text }, who, o))
  }

  want(unit: string, wanted: boolean): Promise<Outcome> {
    const field = { key: specKey(unit), field: 'wanted', value: wanted } as const
    const verb: Verb = (v, o) =>
      isTimerName(unit)
        ? v.wantTimer(unit, { wanted, zone: 'UTC' }, who, o)
        : v.want(unit, wanted, who, o)
    return this.#ask(`${wanted ? 'start' : 'stop'} ${unit}`, verb, field)
  }

  scale(unit: string, count: number): Promise<Outcome> {
    const field = { key: specKey(unit), field: 'scale', value: count } as const
    return this.#ask(`scale ${unit} to ${count}`, (v, o) => v.scale(unit, count, who, o), field)
  }

  restart(unit: string): Promise<Outcome> {
    const field = { key: specKey(unit), field: 'wanted', value: true } as const
    return this.#ask(`restart ${unit}`, (v, o) => v.again(unit, who, o), field)
  }

  intend(machineId: string, wish: MachineIntent['wish'] | undefined): Promise<Outcome> {
    const field = { key: intentKey(machineId), field: 'wish', value: wish } as const
    const verb: Verb = (v, o) => v.intend(machineId, wish, who, o)
    return this.#ask(`${wish ?? 'undrain'} ${machineId}`, verb, field)
  }

  /** Until it is done, however often it takes. */
  async insist(ask: () => Promise<Outcome>): Promise<void> {
    while ((await ask()) !== 'done') {
      await new Promise<void>((resolve) => this.#world.after(200, resolve))
    }
  }

  /** The store decided about somebody's txn. */
  decided(txn: CheckedTxn, decision: Decision): void {
    const operation = this.#operations.get(txn.writer)
    if (decision.kind !== 'done' || operation === undefined) return
    operation.happened = true
    if (operation.refused) this.#violate(`${operation.what} was refused, and happened`)
  }

  /** What is acknowledged and not there; looked at whenever a record of it changes. */
  changed(key: string): void {
    for (const field of ['wanted', 'scale', 'wish'] as const) {
      const known = this.#fields.get(`${key} ${field}`)
      if (known?.value === undefined || known.underWay.size > 0) continue
      const json = this.#fleet.store.read(key)?.json ?? '{}'
      const record = JSON.parse(json) as Readonly<Record<string, unknown>>
      // A unit that depends on another one, or it on this, is changed for what became of that.
      if (field === 'wanted' && record['by'] !== who) known.value = undefined
      const is = record[field]
      if (known.value === undefined || is === known.value.is) continue
      this.#violate(`${key} has ${field} ${String(is)}, acknowledged was ${String(known.value.is)}`)
    }
  }

  /** By whichever agent is there, as a person at its machine would. */
  #ask(what: string, verb: Verb, sets?: Field): Promise<Outcome> {
    const world = this.#world
    const agents = this.#fleet.machines.flatMap(({ agent }) => (agent?.gate.isOpen ? [agent] : []))
    const agent = world.pick(agents)
    if (agent === undefined) return Promise.resolve('lost')
    const { clock, state, gate } = agent
    this.#count += 1
    const writer = `operator ${this.#count}`
    const operation = { what, happened: false, refused: false, overlaps: false }
    this.#operations.set(writer, operation)
    const known = this.#begin(operation, sets)
    world.note(`operator: ${what}`)
    const limit = deadline(clock, timeoutMs)
    const began = clock.nowMs()
    const { freezes } = gate
    return new Promise((resolve) => {
      const end = (outcome: Outcome, text: string) => {
        this.#settle(operation, outcome, known, sets)
        resolve(outcome)
        if (outcome === 'lost') return
        limit[Symbol.dispose]()
        this.outcomes.set(text, (this.outcomes.get(text) ?? 0) + 1)
        world.note(`operator: ${what}: ${text}`)
        const tookMs = clock.nowMs() - began
        // Who stands still cannot be in time.
        if (gate.freezes === freezes && tookMs > timeoutMs + lateMs) {
          this.#violate(`${what} took ${Math.round(tookMs)} ms`)
        }
      }
      // Whoever asked an agent that dies meanwhile knows nothing.
      gate.onKill(() => end('lost', 'lost'))
      const verbs = new UnitVerbs({ clock, random: world.random, state }, writer)
      verb(verbs, limit).then(
        () => end('done', 'done'),
        (error: unknown) => {
          const { code, outcome } = asHolonError(error)
          const isRefused = outcome === 'none'
          end(isRefused ? 'refused' : 'unknown', `${code}, ${isRefused ? 'not done' : 'unknown'}`)
        },
      )
    })
  }

  #begin(operation: Operation, sets: Field | undefined): Known | undefined {
    if (sets === undefined) return undefined
    const name = `${sets.key} ${sets.field}`
    const known = this.#fields.get(name) ?? { value: undefined, underWay: new Set() }
    this.#fields.set(name, known)
    known.underWay.add(operation)
    if (known.underWay.size > 1) for (const each of known.underWay) each.overlaps = true
    return known
  }

  #settle(
    operation: Operation,
    outcome: Outcome,
    known: Known | undefined,
    sets: Field | undefined,
  ): void {
    const { what, happened } = operation
    if (outcome === 'refused') {
      operation.refused = true
      if (happened) this.#violate(`${what} was refused, and has happened`)
    }
    if (known === undefined || sets === undefined || !known.underWay.delete(operation)) return
    if (outcome === 'refused' && !operation.overlaps) return
    if (outcome === 'done' && !happened && sets.field !== 'wish') {
      this.#violate(`${what} was acknowledged, and did not happen`)
    }
    // Of two at the same time either may have come last.
    if (outcome !== 'done' || operation.overlaps) known.value = undefined
    // Without a txn of its own, an earlier one whose outcome is not known may still come.
    else if (happened) known.value = { is: sets.value }
    this.changed(sets.key)
  }

  #violate(what: string): void {
    this.#fleet.checks.violate('operations', what)
  }
}
