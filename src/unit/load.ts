/**
 * What the loaders of all types of units share: a file and its drop-ins are parsed, every line is
 * judged by the table, and what is honoured is read into settings by a callback. Problems are
 * gathered, all of them, each with file and line.
 */
import { hasSection, judge, type SectionName, type UnitType, type Verdict } from './directives.ts'
import {
  type DirectiveLine,
  mergeUnitFiles,
  type ParsedUnitFile,
  parseUnitFile,
  type UnitProblem,
  type UnitSource,
} from './parse.ts'
import type { Parsed } from './values.ts'

export interface UnitInput {
  /** "web.service", "backup.timer". */
  readonly name: string
  readonly text: string | Uint8Array
  /** Where it came from, for messages; the name when absent. */
  readonly sourcePath?: string
  /** Drop-ins in the order they apply. */
  readonly dropIns?: readonly UnitSource[]
}

/** A line that was accepted and should still be known of: harmless, or with a warning. */
export interface UnitNote {
  readonly file: string
  readonly line: number
  readonly directive: string
  readonly message: string
}

export interface JudgedLine extends DirectiveLine {
  readonly verdict: Verdict
}

/** Warnings for people, or why the value is refused. */
export type Outcome = Parsed<readonly string[]>

export function parseUnit(input: UnitInput): ParsedUnitFile {
  const main = parseUnitFile({ file: input.sourcePath ?? input.name, text: input.text })
  return mergeUnitFiles(main, (input.dropIns ?? []).map(parseUnitFile))
}

/** The verdict of the table for each line, and `apply`'s for those that the table honours. */
export function judgeLines(
  parsed: ParsedUnitFile,
  type: UnitType,
  apply: (line: DirectiveLine) => Outcome,
): { readonly lines: readonly JudgedLine[]; readonly notes: readonly UnitNote[] } {
  const lines: JudgedLine[] = []
  const notes: UnitNote[] = []
  for (const line of parsed.directives) {
    let verdict = judge(line, type)
    const note = (message: string) =>
      notes.push({ file: line.file, line: line.line, directive: line.name, message })
    if (verdict.status === 'harmless') note(verdict.message)
    if (verdict.status === 'honoured') {
      const outcome = apply(line)
      if (outcome.kind === 'ok') outcome.value.forEach(note)
      else verdict = { status: 'refused', message: explain(line, outcome.message) }
    }
    lines.push({ ...line, verdict })
  }
  return { lines, notes }
}

// Files of build systems hold markers such as @bindir@, which nothing here can replace.
function explain(line: DirectiveLine, message: string): string {
  const marker = /@[A-Za-z_][A-Za-z0-9_]*@/.exec(line.value)?.[0]
  if (marker === undefined) return message
  return `${message} (${marker} is a marker that a build should have replaced)`
}

/** The lines that were refused. */
export function refusedLines(lines: readonly JudgedLine[]): readonly UnitProblem[] {
  return lines.flatMap(({ file, line, name, verdict }) => {
    if (verdict.status !== 'refused') return []
    const { message, suggestion } = verdict
    const hint = suggestion === undefined ? {} : { suggestion }
    return [{ file, line, directive: name, message, ...hint }]
  })
}

/** Sections that are unknown and empty, and the section that has to be there. */
export function sectionProblems(
  file: string,
  parsed: ParsedUnitFile,
  type: UnitType,
  needed: SectionName,
): readonly UnitProblem[] {
  const problems: UnitProblem[] = []
  const filled = new Set(parsed.directives.map((directive) => directive.section))
  for (const { section, file, line } of parsed.sections) {
    // A section with lines is refused line by line.
    if (filled.has(section) || hasSection(section, type) || section.startsWith('X-')) continue
    problems.push({ file, line, message: `unknown section [${section}]` })
  }
  if (!parsed.sections.some(({ section }) => section === needed)) {
    problems.push({ file, line: 1, message: `there is no [${needed}] section` })
  }
  return problems
}

/** In the order of the files and lines. */
export function inOrder(
  problems: readonly UnitProblem[],
  parsed: ParsedUnitFile,
): readonly UnitProblem[] {
  const files = [...new Set([...parsed.sections, ...parsed.directives].map(({ file }) => file))]
  return problems.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line,
  )
}
