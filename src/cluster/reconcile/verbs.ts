/**
 * What people want of the fleet's units, written down: each verb is one txn on what was read, and
 * is done when it is durable. Making it so is the leader's work. All are idempotent.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import type { MachineIntent } from '../../kernel/types.ts'
import { commit, newOperationId, patiently, update } from '../../state/commit.ts'
import type { Entry, Listing, SignalOptions, State } from '../../state/port.ts'
import {
  givenAgain,
  givenAnew,
  intentKey,
  parseSlot,
  parseSpec,
  type SlotRecord,
  type SpecRecord,
  type Stored,
  slotChange,
  slotPrefix,
  specKey,
  specPrefix,
  type TimerRecord,
  textChanges,
  textKey,
  textPrefix,
} from './records.ts'
import { started, stopped } from './rounds.ts'

export interface UnitVerbsDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
}

export interface GivenText {
  readonly unit: string
  readonly text: string
  readonly sourcePath?: string
}

/** How long a state that does not answer is asked again. */
const patienceMs = 6_000

export class UnitVerbs {
  readonly #deps: UnitVerbsDeps
  readonly #writer: string

  constructor(deps: UnitVerbsDeps, writer: string) {
    this.#deps = deps
    this.#writer = writer
  }

  async spec(unit: string, { signal }: SignalOptions): Promise<SpecRecord | undefined> {
    const entry = await this.#get(specKey(unit), signal)
    return entry === undefined ? undefined : parseSpec(entry.value)
  }

  /** Gives a unit a text, new or changed. Nothing is started by it that was not wanted before. */
  load(given: GivenText, by: string, options: SignalOptions): Promise<SpecRecord> {
    return this.#give(given, by, {}, options)
  }

  async #give(
    file: GivenText,
    by: string,
    /** Set when the text counts as a new one even if it is not, and is wanted running. */
    anew: { readonly wanted?: true },
    { signal }: SignalOptions,
  ): Promise<SpecRecord> {
    const { clock, random, state } = this.#deps
    const { unit, text, sourcePath } = file
    while (true) {
      const entry = await this.#get(specKey(unit), signal)
      const before = entry === undefined ? undefined : parseSpec(entry.value)
      const isKnown = before !== undefined && (await this.#textOf(before, signal)) === text
      if (isKnown && anew.wanted === undefined) return before
      const newest = before === undefined ? await this.#newestText(unit, signal) : undefined
      const given = givenAnew(before?.history ?? [], { by, atMs: clock.wallMs() }, newest)
      const after: SpecRecord = {
        unit,
        wanted: false,
        enabled: false,
        ...before,
        ...anew,
        ...askedBy(before, anew),
        ...(anew.wanted === undefined ? {} : roundOf(before, by, given.changedAtMs)),
        ...given,
        ...(sourcePath === undefined ? {} : { sourcePath }),
      }
      const result = await commit(
        { clock, random },
        state,
        {
          if: [
            { key: specKey(unit), revision: entry?.revision ?? 0 },
            { key: textKey(unit, given.spec), revision: 0 },
          ],
          then: [
            { kind: 'put', key: specKey(unit), value: after, schema: 1 },
            ...textChanges(after, text),
          ],
          operationId: newOperationId(random),
          writer: this.#writer,
        },
        { signal },
      )
      if (result.kind === 'done') return after
    }
  }

  /** What has ended runs again by it, what runs goes on. Who depends on it is told by leaders. */
  want(unit: string, wanted: boolean, by: string, options: SignalOptions): Promise<void> {
    const change = (before: SpecRecord, atMs: number) =>
      wanted ? started(before, by, atMs) : stopped(before, atMs)
    return this.#change(unit, by, change, options)
  }

  /** `zone` is for calendars that name none. */
  wantTimer(
    unit: string,
    { wanted, zone }: { readonly wanted: boolean; readonly zone: string },
    by: string,
    options: SignalOptions,
  ): Promise<void> {
    const change = (before: SpecRecord, atMs: number) => {
      if (before.wanted || !wanted) return { ...before, wanted }
      const timer: TimerRecord = { ...before.timer, activatedAtMs: atMs, zone }
      return { ...before, wanted, timer }
    }
    return this.#change(unit, by, change, options)
  }

  enable(unit: string, enabled: boolean, by: string, options: SignalOptions): Promise<void> {
    return this.#change(unit, by, (before) => ({ ...before, enabled }), options)
  }

  scale(unit: string, scale: number, by: string, options: SignalOptions): Promise<void> {
    return this.#change(unit, by, (before) => ({ ...before, scale }), options)
  }

  /** Where its instances belong, by slot. */
  async slots(unit: string, { signal }: SignalOptions): Promise<readonly Stored<SlotRecord>[]> {
    const { entries } = await this.#list(`${slotPrefix}${unit}/`, signal)
    return entries
      .map(({ value, revision }) => ({ record: parseSlot(value), revision }))
      .sort((a, b) => a.record.slot - b.record.slot)
  }

  /** All units, by name. */
  async units({ signal }: SignalOptions): Promise<readonly SpecRecord[]> {
    const { entries } = await this.#list(specPrefix, signal)
    return entries.map(({ value }) => parseSpec(value))
  }

  /** The same text under a new number: what runs is brought out anew. */
  async again(unit: string, by: string, options: SignalOptions): Promise<void> {
    const before = await this.spec(unit, options)
    if (before === undefined) throw notKnown(unit)
    const text = await this.#textOf(before, options.signal)
    if (typeof text !== 'string') throw notKnown(unit)
    await this.#give({ unit, text }, by, { wanted: true }, options)
  }

  /** One instance starts again where it is. `not_found` when there is no such instance. */
  async restartSlot(
    unit: string,
    slot: number,
    by: string,
    { signal }: SignalOptions,
  ): Promise<void> {
    const { clock, random, state } = this.#deps
    while (true) {
      const stored = (await this.slots(unit, { signal })).find(({ record }) => record.slot === slot)
      if (stored === undefined || stored.record.machineId === '') {
        throw new HolonError('not_found', `${unit} has no instance ${slot}`)
      }
      const { ended: _, ...record } = stored.record
      const why = `restart asked by ${by}`
      const after = { ...record, generation: record.generation + 1, why, atMs: clock.wallMs() }
      const operationId = newOperationId(random)
      const txn = { ...slotChange(stored, after), operationId, writer: this.#writer }
      if ((await commit({ clock, random }, state, txn, { signal })).kind === 'done') return
    }
  }

  /** Back to an earlier text, which is brought out as any change. */
  async revert(unit: string, spec: number, by: string, options: SignalOptions): Promise<void> {
    const change = (before: SpecRecord, atMs: number): SpecRecord => {
      if (before.spec === spec) return before
      const given = { spec, atMs, by, note: `taken back from ${before.spec}` }
      return { ...before, ...givenAgain(before.history, given) }
    }
    await this.#change(unit, by, change, options)
  }

  /**
   * As if it had never been loaded, but for the newest text, and slots of what must not run twice:
   * their numbers go on should it be loaded again, for machines remember them. `conflict` while it
   * is wanted or an instance is left.
   */
  async unload(unit: string, { signal }: SignalOptions): Promise<void> {
    const { clock, random, state } = this.#deps
    while (true) {
      const [entry, slots, texts] = await Promise.all([
        this.#get(specKey(unit), signal),
        this.slots(unit, { signal }),
        this.#list(textPrefix(unit), signal),
      ])
      if (entry === undefined) return
      requireNothingLeft(parseSpec(entry.value), slots)
      const newest = newestOf(texts)
      const old = texts.entries.filter(({ key }) => key !== textKey(unit, newest))
      const keys = [specKey(unit), ...old.map(({ key }) => key)]
      const txn = {
        if: [{ key: specKey(unit), revision: entry.revision }],
        then: keys.map((key) => ({ kind: 'delete', key }) as const),
        operationId: newOperationId(random),
        writer: this.#writer,
      }
      if ((await commit({ clock, random }, state, txn, { signal })).kind === 'done') return
    }
  }

  /** Undefined: as if nothing had been asked of the machine. */
  async intend(
    machineId: string,
    wish: MachineIntent['wish'] | undefined,
    by: string,
    { signal }: SignalOptions,
  ): Promise<void> {
    const { clock, random, state } = this.#deps
    await update(
      { clock, random },
      state,
      intentKey(machineId),
      (entry) => {
        if (wish === undefined) return { kind: entry === undefined ? 'keep' : 'delete' }
        const value: MachineIntent = { wish, by, sinceMs: clock.wallMs() }
        return { kind: 'put', value, schema: 1 }
      },
      { signal, writer: this.#writer },
    )
  }

  #get(key: string, signal: AbortSignal): Promise<Entry | undefined> {
    const { clock, state } = this.#deps
    return patiently(clock, patienceMs, signal, (limit) => state.get(key, { signal: limit }))
  }

  #list(prefix: string, signal: AbortSignal): Promise<Listing> {
    const { clock, state } = this.#deps
    return patiently(clock, patienceMs, signal, (limit) => state.list(prefix, { signal: limit }))
  }

  /** Its number; 0 when there is none. */
  async #newestText(unit: string, signal: AbortSignal): Promise<number> {
    return newestOf(await this.#list(textPrefix(unit), signal))
  }

  async #textOf({ unit, spec }: SpecRecord, signal: AbortSignal): Promise<unknown> {
    return (await this.#get(textKey(unit, spec), signal))?.value
  }

  async #change(
    unit: string,
    by: string,
    change: (before: SpecRecord, atMs: number) => SpecRecord,
    { signal }: SignalOptions,
  ): Promise<void> {
    const { clock, random, state } = this.#deps
    const write = (limit: AbortSignal) =>
      update(
        { clock, random },
        state,
        specKey(unit),
        (entry) => {
          if (entry === undefined) {
            throw notKnown(unit)
          }
          const changedAtMs = clock.wallMs()
          const after = { ...change(parseSpec(entry.value), changedAtMs), by, changedAtMs }
          return { kind: 'put', value: after, schema: 1 }
        },
        { signal: limit, writer: this.#writer },
      )
    await patiently(clock, patienceMs, signal, write)
  }
}

function requireNothingLeft(
  { unit, wanted }: SpecRecord,
  slots: readonly Stored<SlotRecord>[],
): void {
  const left = slots.filter(({ record }) => record.machineId !== '')
  if (!wanted && left.length === 0) return
  const what = wanted ? 'it is wanted' : `${left.length} of its instances are still being stopped`
  throw new HolonError(
    'conflict',
    `unload ${unit}: ${what}; \`holon stop ${unit}\` first, or use --now`,
  )
}

function newestOf({ entries }: Listing): number {
  const numbers = entries.map(({ key }) => Number(key.slice(key.lastIndexOf('/') + 1)))
  return Math.max(0, ...numbers)
}

/** A restart of what runs is passed on; else it is a start, as is a changed text. */
function askedBy(
  before: SpecRecord | undefined,
  { wanted }: { readonly wanted?: true },
): Pick<SpecRecord, 'asked'> {
  if (before?.wanted) {
    return { asked: wanted || before.asked === 'restart' ? 'restart' : 'start' }
  }
  return wanted ? { asked: 'start' } : {}
}

/** Brought out anew, what runs is started again by that; what has ended needs another round. */
function roundOf(
  before: SpecRecord | undefined,
  by: string,
  atMs: number,
): Pick<SpecRecord, 'round'> | undefined {
  if (before === undefined) return { round: { number: 1, atMs, by } }
  const { round } = started(before, by, atMs)
  return round === undefined ? undefined : { round }
}

function notKnown(unit: string): HolonError {
  return new HolonError('not_found', `the fleet has no unit ${unit}; load its file first`)
}
