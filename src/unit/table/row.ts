/** What a row of the directive table says. The rows themselves are in the files beside this one. */

export type SectionName = 'Unit' | 'Service' | 'Timer' | 'Install' | 'X-Holon'

/**
 * `honoured`: does what systemd documents. `harmless`: accepted, and nothing here depends on it.
 * `refused`: the unit is not loaded, with file, line and reason.
 */
export type DirectiveStatus = 'honoured' | 'harmless' | 'refused'

export type ValueKind =
  | 'text'
  | 'boolean'
  | 'choice'
  | 'number'
  | 'size'
  | 'time span'
  | 'mode'
  | 'signal'
  | 'account'
  | 'path'
  | 'status'
  // The kinds below are lists: assignments add up, and an empty one resets the list.
  | 'words'
  | 'units'
  | 'calendars'
  | 'time spans'
  | 'commands'
  | 'assignments'
  | 'credentials'
  | 'paths'
  | 'conditions'

export interface Directive {
  readonly section: SectionName
  readonly name: string
  readonly kind: ValueKind
  readonly status: DirectiveStatus
  /** One sentence for the reference page. */
  readonly meaning: string
  /** Why it is refused, or why it changes nothing; "" when honoured. */
  readonly reason: string
  /** Of a harmless directive: why just this value is refused, or undefined. */
  readonly refusal?: (value: string) => string | undefined
  /** Of an honoured directive: why just this value changes nothing, or undefined. */
  readonly idle?: (value: string) => string | undefined
}

export type Row = readonly [name: string, kind: ValueKind, meaning: string]

const listKinds: ReadonlySet<ValueKind> = new Set<ValueKind>([
  'words',
  'units',
  'calendars',
  'time spans',
  'commands',
  'assignments',
  'credentials',
  'paths',
  'conditions',
])

/** Whether assignments add up, and an empty one resets them. */
export function isList(kind: ValueKind): boolean {
  return listKinds.has(kind)
}

export function honoured(section: SectionName, rows: readonly Row[]): readonly Directive[] {
  return rows.map((row) => directive(section, 'honoured', row, ''))
}

/** Honoured, but for values of which `idle` says why they change nothing. */
export function honouredUnless(
  section: SectionName,
  idle: (value: string) => string | undefined,
  rows: readonly Row[],
): readonly Directive[] {
  return rows.map((row) => ({ ...directive(section, 'honoured', row, ''), idle }))
}

export function harmless(
  section: SectionName,
  reason: string,
  rows: readonly Row[],
  refusal?: (value: string) => string | undefined,
): readonly Directive[] {
  return rows.map((row) => {
    const made = directive(section, 'harmless', row, reason)
    return refusal === undefined ? made : { ...made, refusal }
  })
}

export function refused(
  section: SectionName,
  reason: string,
  rows: readonly Row[],
): readonly Directive[] {
  return rows.map((row) => directive(section, 'refused', row, reason))
}

function directive(
  section: SectionName,
  status: DirectiveStatus,
  [name, kind, meaning]: Row,
  reason: string,
): Directive {
  return { section, name, kind, status, meaning, reason }
}
