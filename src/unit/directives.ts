/**
 * The directive table: every directive of systemd's service and timer units, and of [X-Holon], with
 * what becomes of it here. The loaders, the reference page and `verify` all read this one table.
 *
 * Invariant: whatever a unit file holds gets a verdict here, `honoured`, `harmless` or `refused`
 * with a reason. Nothing is dropped silently. Only names that begin with "X-", which systemd keeps
 * for others, are passed over, and even they are told.
 */
import type { DirectiveLine } from './parse.ts'
import { execDirectives } from './table/exec.ts'
import { holonSection } from './table/holon-section.ts'
import { resourceDirectives } from './table/resource-control.ts'
import type { Directive, DirectiveStatus } from './table/row.ts'
import { sandboxDirectives } from './table/sandbox.ts'
import { serviceSection } from './table/service-section.ts'
import { timerHolonSection, timerSection } from './table/timer-section.ts'
import { installSection, unitSection } from './table/unit-section.ts'
import { parseBoolean } from './values.ts'

export type { Directive, DirectiveStatus, SectionName, ValueKind } from './table/row.ts'
export { isList } from './table/row.ts'

/** The types of units there are here; each has its own sections. */
export type UnitType = 'service' | 'timer'

const byType: Readonly<Record<UnitType, readonly Directive[]>> = {
  service: [
    ...unitSection,
    ...serviceSection,
    ...execDirectives,
    ...sandboxDirectives,
    ...resourceDirectives,
    ...installSection,
    ...holonSection,
  ],
  timer: [...unitSection, ...timerSection, ...installSection, ...timerHolonSection],
}

export const directives: readonly Directive[] = [...new Set([...byType.service, ...byType.timer])]

type Sections = ReadonlyMap<string, ReadonlyMap<string, Directive>>

const tables: Readonly<Record<UnitType, Sections>> = {
  service: sectionsOf(byType.service),
  timer: sectionsOf(byType.timer),
}

function sectionsOf(rows: readonly Directive[]): Sections {
  const sections = new Map<string, Map<string, Directive>>()
  for (const row of rows) {
    const section = sections.get(row.section) ?? new Map<string, Directive>()
    sections.set(row.section, section.set(row.name, row))
  }
  return sections
}

// Sections of systemd's unit types that are not here, for a better message than "unknown".
const foreignTypes: Readonly<Record<string, string>> = {
  Socket: 'socket',
  Path: 'path',
  Mount: 'mount',
  Automount: 'automount',
  Swap: 'swap',
  Slice: 'slice',
  Scope: 'scope',
}

export interface Verdict {
  readonly status: DirectiveStatus
  /** Why; "" for what is honoured. */
  readonly message: string
  /** The nearest spelling of a name that is not known. */
  readonly suggestion?: string
}

/** [X-Fleet] is another name for [X-Holon]. */
export function canonicalSection(section: string): string {
  return section === 'X-Fleet' ? 'X-Holon' : section
}

/** Whether units of this type have such a section. */
export function hasSection(section: string, type: UnitType): boolean {
  return tables[type].has(canonicalSection(section))
}

/** The row of a directive; undefined for an unknown section or name. */
export function findDirective(
  section: string,
  name: string,
  type: UnitType = 'service',
): Directive | undefined {
  return tables[type].get(canonicalSection(section))?.get(name)
}

/** What becomes of one line. Whether an honoured directive's value is sound is for the loaders. */
export function judge(line: DirectiveLine, type: UnitType = 'service'): Verdict {
  const row = findDirective(line.section, line.name, type)
  if (row === undefined) return judgeUnknown(line, type)
  if (row.status === 'honoured') {
    const idle = row.idle?.(line.value)
    return idle === undefined
      ? { status: 'honoured', message: '' }
      : { status: 'harmless', message: idle }
  }
  if (row.status === 'refused') return { status: 'refused', message: row.reason }
  const refusal = row.refusal?.(line.value) ?? kindRefusal(row, line.value)
  if (refusal !== undefined) return { status: 'refused', message: refusal }
  return { status: 'harmless', message: row.reason }
}

// A value that is nonsense is refused even where a sound one would change nothing.
function kindRefusal(row: Directive, value: string): string | undefined {
  if (row.kind !== 'boolean') return undefined
  const parsed = parseBoolean(value)
  return parsed.kind === 'bad' ? parsed.message : undefined
}

function judgeUnknown(line: DirectiveLine, type: UnitType): Verdict {
  const known = tables[type].get(canonicalSection(line.section))
  if (known === undefined) return judgeUnknownSection(line.section, type)
  if (line.name.startsWith('X-')) {
    return { status: 'harmless', message: 'names that begin with X- are for other programs' }
  }
  const elsewhere = byType[type].find((row) => row.name === line.name)
  if (elsewhere !== undefined) {
    const message = `this directive belongs into [${elsewhere.section}], not [${line.section}]`
    return { status: 'refused', message }
  }
  const other = otherTypeOf(type)
  if (findDirective(line.section, line.name, other) !== undefined) {
    return { status: 'refused', message: `this directive belongs into .${other} files` }
  }
  const message = `unknown directive in [${line.section}]`
  const suggestion = nearestName(line.name, [...known.keys()])
  return { status: 'refused', message, ...(suggestion === undefined ? {} : { suggestion }) }
}

function judgeUnknownSection(section: string, type: UnitType): Verdict {
  if (section.startsWith('X-')) {
    return { status: 'harmless', message: 'sections that begin with X- are for other programs' }
  }
  const other = otherTypeOf(type)
  if (tables[other].has(section)) {
    return { status: 'refused', message: `[${section}] belongs into .${other} files` }
  }
  const foreign = Object.hasOwn(foreignTypes, section) ? foreignTypes[section] : undefined
  if (foreign !== undefined) {
    const message = `[${section}] belongs to ${foreign} units, which come later`
    return { status: 'refused', message }
  }
  const nearest = nearestName(section, [...tables[type].keys()])
  const hint = nearest === undefined ? '' : `; did you mean [${nearest}]?`
  return { status: 'refused', message: `unknown section [${section}]${hint}` }
}

function otherTypeOf(type: UnitType): UnitType {
  return type === 'service' ? 'timer' : 'service'
}

const spellingDistanceMax = 2

/** The one of `names` that is spelt most like `name`: at most two slips away, or other capitals. */
export function nearestName(name: string, names: readonly string[]): string | undefined {
  const lower = name.toLowerCase()
  let best: string | undefined
  let bestDistance = spellingDistanceMax + 1
  for (const candidate of names) {
    if (Math.abs(candidate.length - name.length) > spellingDistanceMax) continue
    const distance = editDistance(lower, candidate.toLowerCase())
    // A short name is within two slips of everything.
    if (distance < bestDistance && distance < Math.max(name.length, candidate.length) / 2) {
      best = candidate
      bestDistance = distance
    }
  }
  return best
}

// Damerau-Levenshtein: insertion, deletion, replacement, and two neighbours changed over.
function editDistance(a: string, b: string): number {
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, column) => column)
  for (let row = 1; row <= a.length; row++) {
    const current = [row]
    for (let column = 1; column <= b.length; column++) {
      const same = a[row - 1] === b[column - 1]
      let cost = Math.min(
        (above[column] ?? 0) + 1,
        (current[column - 1] ?? 0) + 1,
        (above[column - 1] ?? 0) + (same ? 0 : 1),
      )
      const swapped =
        row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]
      if (swapped) cost = Math.min(cost, (before[column - 2] ?? 0) + 1)
      current.push(cost)
    }
    before = above
    above = current
  }
  return above[b.length] ?? 0
}
