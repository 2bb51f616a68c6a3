/**
 * All units of this machine: loading them from State, taking over their jobs, finding one by name.
 */
import { HolonError } from '../../base/errors.ts'
import type { UnitFile } from '../../kernel/kernel.ts'
import { unitProblemsError } from '../../unit/parse.ts'
import { loadUnit } from '../../unit/unit.ts'
import { fullUnitName } from '../../unit/unit-name.ts'
import type { Records } from '../records.ts'
import { DecisionJournal } from './decisions.ts'
import { type LoadedUnit, ManagedUnit, type ManagedUnitDeps } from './managed-unit.ts'
import {
  decisionKey,
  decisionPrefix,
  parseDecisionRecord,
  parseUnitRecord,
  type UnitRecord,
  unitKey,
  unitPrefix,
} from './records.ts'

export interface UnitsDeps extends Omit<ManagedUnitDeps, 'write'> {
  readonly machine: string
  readonly records: Records
  /** The instance numbers of a unit that have a job directory. */
  readonly jobNumbers: (unit: string) => readonly number[]
  /** Names of units that have a job directory. */
  readonly jobUnits: () => readonly string[]
}

const writeTimeoutMs = 10_000
const startTimeoutMs = 10 * 60_000

export class Units {
  readonly #deps: UnitsDeps
  readonly #units = new Map<string, ManagedUnit>()

  constructor(deps: UnitsDeps) {
    this.#deps = deps
  }

  /** In order of their names. */
  list(): readonly ManagedUnit[] {
    return [...this.#units.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** `not_found` with what to do next. */
  find(name: string): ManagedUnit {
    const full = fullUnitName(name)
    const unit = this.#units.get(full)
    if (unit !== undefined) return unit
    throw new HolonError(
      'not_found',
      `there is no unit ${full} here; load its file with \`holon start ./${full}\`, ` +
        'or see `holon list-units`',
    )
  }

  /**
   * Reads what State knows and takes over what runs. When it resolves, what is told of units is
   * true; what must start, starts in the background.
   */
  async open(signal: AbortSignal): Promise<void> {
    const decisions = await this.#deps.records.list(decisionPrefix, signal)
    for (const [key, value] of await this.#deps.records.list(unitPrefix, signal)) {
      const name = key.slice(unitPrefix.length)
      try {
        this.#manage(parseUnitRecord(value), decisions.get(decisionKey(name)))
      } catch (error) {
        this.#deps.report(`${name}: ${String(error)}`)
      }
    }
    for (const unit of this.#units.values()) {
      await unit.adopt(this.#deps.jobNumbers(unit.name), signal)
    }
    for (const unit of this.#units.values()) {
      this.#deps.runInBackground(`start ${unit.name}`, (s) => unit.resume(s), startTimeoutMs)
    }
    for (const name of this.#deps.jobUnits()) {
      if (this.#units.has(name)) continue
      this.#deps.report(`${name} runs, but the state knows no such unit; it is left alone`)
    }
  }

  /** Loads a new or changed file. `invalid_argument` names every line that is not understood. */
  async load(file: UnitFile, by: string, signal: AbortSignal): Promise<ManagedUnit> {
    const loaded = readUnit(file)
    if (loaded.kind === 'refused') throw loaded.error
    const known = this.#units.get(file.name)
    const record: UnitRecord = {
      name: file.name,
      text: file.text,
      loadedAtMs: this.#deps.clock.wallMs(),
      enabled: known?.record.enabled ?? false,
      wanted: known?.record.wanted ?? false,
      wantedBootId: known?.record.wantedBootId ?? '',
      ...(file.sourcePath === undefined ? {} : { sourcePath: file.sourcePath }),
    }
    const unit = known ?? this.#manage(record, undefined)
    if (known === undefined || known.record.text !== file.text) {
      unit.journal.add('load', `${file.sourcePath ?? 'a unit file'}, given by ${by}`)
    }
    await unit.load(record, loaded, signal)
    return unit
  }

  /** Writes what is not written yet and lets go of the jobs. */
  async close(): Promise<void> {
    for (const unit of this.#units.values()) {
      await unit.journal.flush()
      for (const instance of unit.instances()) instance.release()
    }
  }

  #manage(record: UnitRecord, decisions: unknown): ManagedUnit {
    const { name } = record
    const { records } = this.#deps
    const journal = new DecisionJournal(
      {
        clock: this.#deps.clock,
        machine: this.#deps.machine,
        write: async (value) =>
          this.#deps.runInBackground(
            `record the decisions of ${name}`,
            (signal) => records.put(decisionKey(name), value, signal),
            writeTimeoutMs,
          ),
      },
      parseDecisionRecord(decisions),
    )
    const deps: ManagedUnitDeps = {
      ...this.#deps,
      write: (value, signal) => records.put(unitKey(name), value, signal),
    }
    const unit = new ManagedUnit(deps, record, readUnit(record), journal)
    this.#units.set(name, unit)
    return unit
  }
}

function readUnit(file: UnitFile): LoadedUnit {
  const result = loadUnit(file)
  if (result.kind === 'loaded') return { kind: 'loaded', unit: result.unit }
  return { kind: 'refused', error: unitProblemsError(file.name, result.problems) }
}
