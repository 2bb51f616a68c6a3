/**
 * All units of this machine, its own and those of the fleet that have an instance here: loading
 * them from State, taking over their jobs, finding one by name.
 */
import { HolonError } from '../../base/errors.ts'
import type { UnitFile } from '../../kernel/kernel.ts'
import { unitProblemsError } from '../../unit/parse.ts'
import { loadUnit } from '../../unit/unit.ts'
import { fullUnitName } from '../../unit/unit-name.ts'
import { Changes } from '../emitter.ts'
import type { WantedPort } from '../ports/ports.ts'
import type { Records } from '../records.ts'
import { AssignedUnit } from './assigned-unit.ts'
import type { CheckConditions } from './condition-facts.ts'
import { DecisionJournal } from './decisions.ts'
import { type LoadedUnit, ManagedUnit, type ManagedUnitDeps } from './managed-unit.ts'
import {
  type AssignedRecord,
  assignedKey,
  assignedPrefix,
  decisionKey,
  decisionPrefix,
  parseAssignedRecord,
  parseDecisionRecord,
  parseUnitRecord,
  type UnitRecord,
  unitKey,
  unitPrefix,
} from './records.ts'
import type { MachineUnit } from './unit-target.ts'

export interface UnitsDeps extends Omit<ManagedUnitDeps, 'write'> {
  readonly machine: string
  /** Removes the credentials of jobs that are not there any more. */
  readonly sweepCredentials: () => void
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
  readonly #assigned = new Map<string, AssignedUnit>()
  /** Something about an instance of the fleet changed. */
  readonly assignedChanges = new Changes()
  /** Something about any unit did. */
  readonly changes = new Changes()

  constructor(deps: UnitsDeps) {
    this.#deps = deps
  }

  /** In order of their names. */
  list(): readonly MachineUnit[] {
    const here = [...this.#assigned.values()].filter(({ wanted }) => wanted)
    return [...this.#units.values(), ...here].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Those that are not the fleet's. */
  own(): readonly ManagedUnit[] {
    return [...this.#units.values()]
  }

  /** One of its own. */
  ownUnit(name: string): ManagedUnit | undefined {
    return this.#units.get(name)
  }

  /** Those of the fleet, by name. */
  assigned(): readonly AssignedUnit[] {
    return [...this.#assigned.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** The fleet's unit of that name, for an instance. `conflict` when this machine has its own. */
  assign(name: string): AssignedUnit {
    if (this.#units.has(name)) {
      throw new HolonError('conflict', `this machine has a unit ${name} of its own`)
    }
    return this.#assigned.get(name) ?? this.#makeAssigned(name, undefined)
  }

  /** Hashes of bundles that units here run from, or would. */
  bundlesInUse(): ReadonlySet<string> {
    const used = [...this.#units.values(), ...this.#assigned.values()].flatMap(({ loaded }) => {
      const bundle = loaded.kind === 'loaded' ? loaded.unit.bundle : undefined
      return bundle === undefined ? [] : [bundle.hash, ...bundle.modules.values()]
    })
    return new Set(used)
  }

  /** Of units that are wanted here. */
  wantedPorts(): readonly WantedPort[] {
    return this.list().flatMap(({ name: unit, wanted, loaded }) => {
      const terms = loaded.kind === 'loaded' ? loaded.unit.serves : undefined
      return wanted && terms !== undefined ? [{ unit, terms }] : []
    })
  }

  /** By its full name; one of the fleet only while something of it is here. */
  get(name: string): MachineUnit | undefined {
    const assigned = this.#assigned.get(name)
    return this.#units.get(name) ?? (assigned?.wanted ? assigned : undefined)
  }

  /** `not_found` with what to do next. */
  find(name: string): MachineUnit {
    const full = fullUnitName(name)
    const unit = this.get(full)
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
    this.#deps.sweepCredentials()
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
    await this.#openAssigned(decisions, signal)
    for (const unit of this.#units.values()) {
      this.#deps.runInBackground(`start ${unit.name}`, (s) => unit.resume(s), startTimeoutMs)
    }
    for (const name of this.#deps.jobUnits()) {
      if (this.#units.has(name) || this.#assigned.has(name)) continue
      this.#deps.report(`${name} runs, but the state knows no such unit; it is left alone`)
    }
  }

  /** Loads a new or changed file. `invalid_argument` names every line that is not understood. */
  async load(file: UnitFile, by: string, signal: AbortSignal): Promise<ManagedUnit> {
    const loaded = readOwnUnit(file)
    if (loaded.kind === 'refused') throw loaded.error
    const known = this.#units.get(file.name)
    if (this.#assigned.get(file.name)?.wanted) {
      throw new HolonError('conflict', `${file.name} belongs to the fleet; load it without -m`)
    }
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

  /** `conflict` while it is wanted or runs, or for one of the fleet. Not there is no error. */
  async unload(name: string, signal: AbortSignal): Promise<void> {
    if (this.#assigned.get(name)?.wanted) {
      throw new HolonError('conflict', `${name} belongs to the fleet; unload it without -m`)
    }
    const { records } = this.#deps
    await this.#units
      .get(name)
      ?.unload(() => records.delete([unitKey(name), decisionKey(name)], signal))
    this.#units.delete(name)
  }

  /** Whether a unit's conditions hold on this machine now. */
  get checkConditions(): CheckConditions {
    return this.#deps.checkConditions
  }

  /** Writes what is not written yet and lets go of the jobs. */
  async close(): Promise<void> {
    for (const unit of [...this.#units.values(), ...this.#assigned.values()]) {
      await unit.journal.flush()
      for (const instance of unit.instances()) instance.release()
    }
  }

  async #openAssigned(decisions: ReadonlyMap<string, unknown>, signal: AbortSignal) {
    for (const [, value] of await this.#deps.records.list(assignedPrefix, signal)) {
      const record = parseAssignedRecord(value)
      const { unit } = record
      const known = this.#assigned.get(unit)
      const assigned = known ?? this.#makeAssigned(unit, decisions.get(decisionKey(unit)))
      await assigned.adopt(record, signal)
    }
  }

  #makeAssigned(name: string, decisions: unknown): AssignedUnit {
    const { records } = this.#deps
    const deps = {
      ...this.#deps,
      read: (unit: string, text: string) => readUnit({ name: unit, text }),
      save: (record: AssignedRecord, signal: AbortSignal) =>
        records.put(assignedKey(record), record, signal),
      forget: (record: AssignedRecord, signal: AbortSignal) =>
        records.delete([assignedKey(record)], signal),
    }
    const unit = new AssignedUnit(deps, name, this.journal(name, decisions))
    unit.changes.listen(() => this.assignedChanges.notify())
    unit.changes.listen(() => this.changes.notify())
    this.#assigned.set(name, unit)
    return unit
  }

  #manage(record: UnitRecord, decisions: unknown): ManagedUnit {
    const { name } = record
    const { records } = this.#deps
    const deps: ManagedUnitDeps = {
      ...this.#deps,
      write: (value, signal) => records.put(unitKey(name), value, signal),
    }
    const unit = new ManagedUnit(deps, record, readOwnUnit(record), this.journal(name, decisions))
    unit.changes.listen(() => this.changes.notify())
    this.#units.set(name, unit)
    return unit
  }

  /** A journal of decisions, begun with what was recorded. */
  journal(name: string, decisions: unknown): DecisionJournal {
    const { records } = this.#deps
    return new DecisionJournal(
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
  }
}

function readUnit(file: UnitFile): LoadedUnit {
  const result = loadUnit(file)
  if (result.kind === 'loaded') return { kind: 'loaded', unit: result.unit }
  return { kind: 'refused', error: unitProblemsError(file.name, result.problems) }
}

/** Services of one machine do not wait for each other yet; in a fleet they do. */
function readOwnUnit(file: UnitFile): LoadedUnit {
  const loaded = readUnit(file)
  if (loaded.kind === 'refused' || loaded.unit.dependencies.length === 0) return loaded
  const problems = loaded.unit.dependencies.map(({ directive, unit, place }) => ({
    ...place,
    directive,
    message:
      `depending on ${unit} is not supported yet for a unit of one machine; ` +
      'in a fleet (`holon invite`), load the file without -m',
  }))
  return { kind: 'refused', error: unitProblemsError(file.name, problems) }
}
