/**
 * A unit file → a loaded unit, or the list of what is refused, each with file and line. Pure: the
 * text comes in, nothing is read. All problems are reported at once, so that a file is mended in
 * one go.
 */
import { canonicalSection, judge, type Verdict } from './directives.ts'
import {
  type DirectiveLine,
  mergeUnitFiles,
  type ParsedUnitFile,
  parseUnitFile,
  type UnitProblem,
  type UnitSource,
} from './parse.ts'
import { commandPhases, type ServiceUnit } from './service-unit.ts'
import { applySetting, emptySettings, type Settings } from './settings.ts'
import { unitNameError } from './unit-name.ts'

export type { ServiceUnit } from './service-unit.ts'

export interface UnitInput {
  /** "web.service". */
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

export type LoadedUnit =
  | {
      readonly kind: 'loaded'
      readonly unit: ServiceUnit
      readonly notes: readonly UnitNote[]
    }
  | { readonly kind: 'refused'; readonly problems: readonly UnitProblem[] }

export interface JudgedLine extends DirectiveLine {
  readonly verdict: Verdict
}

/** The verdict of the table and of the value, for every line of a file: what `verify` lists. */
export function judgeUnit(input: UnitInput): {
  readonly lines: readonly JudgedLine[]
  readonly problems: readonly UnitProblem[]
} {
  const parsed = parse(input)
  const { lines } = applyAll(parsed)
  return { lines, problems: parsed.problems }
}

export function loadUnit(input: UnitInput): LoadedUnit {
  const file = input.sourcePath ?? input.name
  const nameProblem = unitNameError(input.name)
  if (nameProblem !== undefined) {
    return { kind: 'refused', problems: [{ file, line: 1, message: nameProblem }] }
  }
  const parsed = parse(input)
  const { lines, settings, notes } = applyAll(parsed)
  const problems: UnitProblem[] = [...parsed.problems, ...sectionProblems(file, parsed)]
  for (const { file, line, name, verdict } of lines) {
    if (verdict.status !== 'refused') continue
    const { message, suggestion } = verdict
    const hint = suggestion === undefined ? {} : { suggestion }
    problems.push({ file, line, directive: name, message, ...hint })
  }
  // Rules between directives make sense only once each of them is understood.
  if (problems.length === 0) problems.push(...contradictions(file, parsed, settings))
  if (problems.length > 0) return { kind: 'refused', problems: inOrder(problems, parsed) }
  return {
    kind: 'loaded',
    unit: makeUnit(input.name, settings),
    notes: [...notes, ...withoutEffect(parsed, settings)],
  }
}

function parse(input: UnitInput): ParsedUnitFile {
  const main = parseUnitFile({ file: input.sourcePath ?? input.name, text: input.text })
  return mergeUnitFiles(main, (input.dropIns ?? []).map(parseUnitFile))
}

function applyAll(parsed: ParsedUnitFile) {
  const settings = emptySettings()
  const lines: JudgedLine[] = []
  const notes: UnitNote[] = []
  for (const line of parsed.directives) {
    let verdict = judge(line)
    const note = (message: string) =>
      notes.push({ file: line.file, line: line.line, directive: line.name, message })
    if (verdict.status === 'harmless') note(verdict.message)
    if (verdict.status === 'honoured') {
      const outcome = applySetting(settings, line)
      if (outcome.kind === 'ok') outcome.value.forEach(note)
      else verdict = { status: 'refused', message: explain(line, outcome.message) }
    }
    lines.push({ ...line, verdict })
  }
  return { settings, lines, notes }
}

// Files of build systems hold markers such as @bindir@, which nothing here can replace.
function explain(line: DirectiveLine, message: string): string {
  const marker = /@[A-Za-z_][A-Za-z0-9_]*@/.exec(line.value)?.[0]
  if (marker === undefined) return message
  return `${message} (${marker} is a marker that a build should have replaced)`
}

function sectionProblems(file: string, parsed: ParsedUnitFile): readonly UnitProblem[] {
  const problems: UnitProblem[] = []
  const known = new Set(['Unit', 'Service', 'Install', 'X-Holon'])
  const filled = new Set(parsed.directives.map((directive) => directive.section))
  for (const { section, file, line } of parsed.sections) {
    // A section with lines is refused line by line.
    if (filled.has(section) || known.has(canonicalSection(section)) || section.startsWith('X-'))
      continue
    problems.push({ file, line, message: `unknown section [${section}]` })
  }
  if (!parsed.sections.some(({ section }) => section === 'Service')) {
    problems.push({ file, line: 1, message: 'there is no [Service] section' })
  }
  return problems
}

// As systemd's service_verify: combinations that cannot work.
function contradictions(
  file: string,
  parsed: ParsedUnitFile,
  settings: Settings,
): readonly UnitProblem[] {
  const { start, stop } = settings.commands
  const type = typeOf(settings)
  const header = parsed.sections.find(({ section }) => section === 'Service')
  const place = { file: header?.file ?? file, line: header?.line ?? 1 }
  const at = (directive: string, message: string): UnitProblem => {
    const line = parsed.directives.findLast(({ name }) => name === directive)
    return { ...(line ? { file: line.file, line: line.line } : place), directive, message }
  }
  const problems: UnitProblem[] = []
  if (start.length === 0) {
    if (type !== 'oneshot') {
      problems.push(at('ExecStart', `a service of Type=${type} needs one`))
    } else if (settings.remainAfterExit !== true) {
      problems.push(at('ExecStart', 'without one, a oneshot service needs RemainAfterExit=yes'))
    } else if (stop.length === 0) {
      problems.push(at('ExecStart', 'the service has neither ExecStart= nor ExecStop='))
    }
  }
  if (type !== 'oneshot' && start.length > 1) {
    problems.push(at('ExecStart', `${start.length} commands need Type=oneshot`))
  }
  const restart = settings.restart ?? 'no'
  if (type === 'oneshot' && (restart === 'always' || restart === 'on-success')) {
    problems.push(at('Restart', `${restart} is not possible with Type=oneshot`))
  }
  return problems
}

// What systemd ignores with a warning, so that files which work there work here.
function withoutEffect(parsed: ParsedUnitFile, settings: Settings): readonly UnitNote[] {
  if (typeOf(settings) !== 'oneshot') return []
  const line = parsed.directives.findLast(({ name }) => name === 'RuntimeMaxSec')
  if (line === undefined) return []
  const message = 'it has no effect with Type=oneshot: TimeoutStartSec= limits it'
  return [{ file: line.file, line: line.line, directive: line.name, message }]
}

// systemd: a service without ExecStart= is a oneshot unless its file says otherwise.
function typeOf(settings: Settings): ServiceUnit['type'] {
  return settings.type ?? (settings.commands.start.length === 0 ? 'oneshot' : 'simple')
}

function inOrder(problems: readonly UnitProblem[], parsed: ParsedUnitFile): readonly UnitProblem[] {
  const files = [...new Set([...parsed.sections, ...parsed.directives].map(({ file }) => file))]
  return problems.toSorted(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line,
  )
}

function makeUnit(name: string, settings: Settings): ServiceUnit {
  const { user, group, workingDirectory } = settings
  const type = typeOf(settings)
  const unlimitedStarts = settings.startLimitMs === 0 || settings.startLimitBurst === 0
  return {
    name,
    description: settings.description ?? name,
    documentation: settings.documentation,
    type,
    commands: commandPhases.flatMap((phase) => settings.commands[phase]),
    remainAfterExit: settings.remainAfterExit ?? false,
    restart: settings.restart ?? 'no',
    restartMs: settings.restartMs ?? 100,
    startLimitBurst: unlimitedStarts ? 0 : (settings.startLimitBurst ?? 5),
    startLimitMs: unlimitedStarts ? 0 : (settings.startLimitMs ?? 10_000),
    timeoutStartMs: settings.timeoutStartMs ?? (type === 'oneshot' ? 0 : 90_000),
    timeoutStopMs: settings.timeoutStopMs ?? 90_000,
    runtimeMaxMs: type === 'oneshot' ? 0 : (settings.runtimeMaxMs ?? 0),
    killMode: settings.killMode ?? 'control-group',
    killSignal: settings.killSignal ?? 15,
    sendSigkill: settings.sendSigkill ?? true,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    umask: settings.umask ?? 0o022,
    environment: settings.environment,
    environmentFiles: settings.environmentFiles,
    instances: settings.instances ?? 1,
  }
}
