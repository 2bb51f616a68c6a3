/**
 * The directive table: every directive of systemd's service units, and of [X-Holon], with what
 * becomes of it here. The parser's caller, the reference page and `verify` all read this one table.
 *
 * Invariant: whatever a unit file holds gets a verdict here, `honoured`, `harmless` or `refused`
 * with a reason. Nothing is dropped silently. Only names that begin with "X-", which systemd keeps
 * for others, are passed over, and even they are told.
 */
import type { DirectiveLine } from './parse.ts'
import { execDirectives } from './table/exec.ts'
import { holonSection } from './table/holon-section.ts'
import { resourceDirectives } from './table/resource-control.ts'
import type { Directive, DirectiveStatus, SectionName } from './table/row.ts'
import { sandboxDirectives } from './table/sandbox.ts'
import { serviceSection } from './table/service-section.ts'
import { installSection, unitSection } from './table/unit-section.ts'
import { parseBoolean } from './values.ts'

export type { Directive, DirectiveStatus, SectionName, ValueKind } from './table/row.ts'
export { isList } from './table/row.ts'

export const directives: readonly Directive[] = [
  ...unitSection,
  ...serviceSection,
  ...execDirectives,
  ...sandboxDirectives,
  ...resourceDirectives,
  ...installSection,
  ...holonSection,
]

const bySection: ReadonlyMap<string, ReadonlyMap<string, Directive>> = new Map(
  (['Unit', 'Service', 'Install', 'X-Holon'] satisfies readonly SectionName[]).map((section) => [
    section,
    new Map(directives.filter((row) => row.section === section).map((row) => [row.name, row])),
  ]),
)

// Sections of systemd's other unit types, for a better message than "unknown".
const otherTypes: Readonly<Record<string, string>> = {
  Socket: 'socket',
  Timer: 'timer',
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

/** The row of a directive; undefined for an unknown section or name. */
export function findDirective(section: string, name: string): Directive | undefined {
  return bySection.get(canonicalSection(section))?.get(name)
}

/** What becomes of one line. Whether an honoured directive's value is sound is for unit.ts. */
export function judge(line: DirectiveLine): Verdict {
  const row = findDirective(line.section, line.name)
  if (row === undefined) return judgeUnknown(line)
  if (row.status === 'honoured') return { status: 'honoured', message: '' }
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

function judgeUnknown(line: DirectiveLine): Verdict {
  const section = canonicalSection(line.section)
  const known = bySection.get(section)
  if (known === undefined) return judgeUnknownSection(section)
  if (line.name.startsWith('X-')) {
    return { status: 'harmless', message: 'names that begin with X- are for other programs' }
  }
  const elsewhere = directives.find((row) => row.name === line.name)
  if (elsewhere !== undefined) {
    const message = `this directive belongs into [${elsewhere.section}], not [${line.section}]`
    return { status: 'refused', message }
  }
  const message = `unknown directive in [${line.section}]`
  const suggestion = nearestName(line.name, [...known.keys()])
  return { status: 'refused', message, ...(suggestion === undefined ? {} : { suggestion }) }
}

function judgeUnknownSection(section: string): Verdict {
  if (section.startsWith('X-')) {
    return { status: 'harmless', message: 'sections that begin with X- are for other programs' }
  }
  const type = Object.hasOwn(otherTypes, section) ? otherTypes[section] : undefined
  if (type !== undefined) {
    return { status: 'refused', message: `[${section}] belongs to ${type} units, which come later` }
  }
  const nearest = nearestName(section, [...bySection.keys()])
  const hint = nearest === undefined ? '' : `; did you mean [${nearest}]?`
  return { status: 'refused', message: `unknown section [${section}]${hint}` }
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
