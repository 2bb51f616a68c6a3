/**
 * What people want of the fleet's units, written down: each verb is one txn on what was read, and
 * is done when it is durable. Making it so is the leader's work. All are idempotent.
 */
import type { Clock } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { commit, newOperationId, update } from '../../state/commit.ts'
import type { SignalOptions, State } from '../../state/port.ts'
import {
  intentKey,
  type MachineIntent,
  parseSpec,
  type SpecRecord,
  specKey,
  textKey,
} from './records.ts'

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

const historyMax = 10

export class UnitVerbs {
  readonly #deps: UnitVerbsDeps
  readonly #writer: string

  constructor(deps: UnitVerbsDeps, writer: string) {
    this.#deps = deps
    this.#writer = writer
  }

  async spec(unit: string, { signal }: SignalOptions): Promise<SpecRecord | undefined> {
    const entry = await this.#deps.state.get(specKey(unit), { signal })
    return entry === undefined ? undefined : parseSpec(entry.value)
  }

  /** Gives a unit a text, new or changed. Nothing is started by it that was not wanted before. */
  async load(given: GivenText, by: string, { signal }: SignalOptions): Promise<SpecRecord> {
    const { clock, random, state } = this.#deps
    const { unit, text, sourcePath } = given
    while (true) {
      const entry = await state.get(specKey(unit), { signal })
      const before = entry === undefined ? undefined : parseSpec(entry.value)
      if (before !== undefined && (await this.#textOf(before, signal)) === text) return before
      const spec = 1 + Math.max(0, ...(before?.history ?? []).map((each) => each.spec))
      const atMs = clock.wallMs()
      const after: SpecRecord = {
        unit,
        wanted: false,
        enabled: false,
        ...before,
        spec,
        changedAtMs: atMs,
        by,
        history: [...(before?.history ?? []), { spec, atMs, by }].slice(-historyMax),
        ...(sourcePath === undefined ? {} : { sourcePath }),
      }
      const result = await commit(
        { clock, random },
        state,
        {
          if: [{ key: specKey(unit), revision: entry?.revision ?? 0 }],
          then: [
            { kind: 'put', key: specKey(unit), value: after, schema: 1 },
            { kind: 'put', key: textKey(unit, spec), value: text, schema: 1 },
          ],
          operationId: newOperationId(random),
          writer: this.#writer,
        },
        { signal },
      )
      if (result.kind === 'done') return after
    }
  }

  want(unit: string, wanted: boolean, by: string, options: SignalOptions): Promise<void> {
    return this.#change(unit, { wanted, by }, options)
  }

  enable(unit: string, enabled: boolean, by: string, options: SignalOptions): Promise<void> {
    return this.#change(unit, { enabled, by }, options)
  }

  scale(unit: string, scale: number, by: string, options: SignalOptions): Promise<void> {
    return this.#change(unit, { scale, by }, options)
  }

  /** Back to an earlier text, which is brought out as any change. */
  async revert(unit: string, spec: number, by: string, options: SignalOptions): Promise<void> {
    await this.#change(unit, { spec, by }, options)
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

  async #textOf({ unit, spec }: SpecRecord, signal: AbortSignal): Promise<unknown> {
    return (await this.#deps.state.get(textKey(unit, spec), { signal }))?.value
  }

  async #change(
    unit: string,
    change: Partial<SpecRecord>,
    { signal }: SignalOptions,
  ): Promise<void> {
    const { clock, random, state } = this.#deps
    await update(
      { clock, random },
      state,
      specKey(unit),
      (entry) => {
        if (entry === undefined) {
          throw new HolonError('not_found', `the fleet has no unit ${unit}; load its file first`)
        }
        const before = parseSpec(entry.value)
        const after = { ...before, ...change, changedAtMs: clock.wallMs() }
        return { kind: 'put', value: after, schema: 1 }
      },
      { signal, writer: this.#writer },
    )
  }
}
