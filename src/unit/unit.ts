/**
 * A .service file → a loaded unit, or the list of what is refused, each with file and line. Pure:
 * the text comes in, nothing is read. All problems are reported at once, so that a file is mended
 * in one go.
 */
import {
  inOrder,
  type JudgedLine,
  judgeLines,
  parseUnit,
  refusedLines,
  sectionProblems,
  type UnitInput,
  type UnitNote,
} from './load.ts'
import type { ParsedUnitFile, UnitProblem } from './parse.ts'
import { placementContradictions } from './placement-contradictions.ts'
import { makePlacement } from './placement-settings.ts'
import { makePortTerms, portContradiction } from './port-terms.ts'
import { commandPhases, type ServiceUnit } from './service-unit.ts'
import { applySetting, emptySettings, type Settings } from './settings.ts'
import { unitNameError } from './unit-name.ts'

export type { JudgedLine, UnitInput, UnitNote } from './load.ts'
export type { ServiceUnit } from './service-unit.ts'

export type LoadedUnit =
  | {
      readonly kind: 'loaded'
      readonly unit: ServiceUnit
      readonly notes: readonly UnitNote[]
    }
  | { readonly kind: 'refused'; readonly problems: readonly UnitProblem[] }

/** The verdict of the table and of the value, for every line of a file: what `verify` lists. */
export function judgeUnit(input: UnitInput): {
  readonly lines: readonly JudgedLine[]
  readonly problems: readonly UnitProblem[]
} {
  const parsed = parseUnit(input)
  const settings = emptySettings(input.name)
  const { lines } = judgeLines(parsed, 'service', (line) => applySetting(settings, line))
  return { lines, problems: parsed.problems }
}

export function loadUnit(input: UnitInput): LoadedUnit {
  const file = input.sourcePath ?? input.name
  const nameProblem = unitNameError(input.name)
  if (nameProblem !== undefined) {
    return { kind: 'refused', problems: [{ file, line: 1, message: nameProblem }] }
  }
  const parsed = parseUnit(input)
  const settings = emptySettings(input.name)
  const { lines, notes } = judgeLines(parsed, 'service', (line) => applySetting(settings, line))
  const problems: UnitProblem[] = [
    ...parsed.problems,
    ...sectionProblems(file, parsed, 'service', 'Service'),
    ...refusedLines(lines),
  ]
  // Rules between directives make sense only once each of them is understood.
  if (problems.length === 0) problems.push(...contradictions(file, parsed, settings))
  if (problems.length > 0) return { kind: 'refused', problems: inOrder(problems, parsed) }
  return {
    kind: 'loaded',
    unit: makeUnit(input.name, settings),
    notes: [...notes, ...withoutEffect(parsed, settings)],
  }
}

// As systemd's service_verify: combinations that cannot work.
function contradictions(
  file: string,
  parsed: ParsedUnitFile,
  settings: Settings,
): readonly UnitProblem[] {
  const { start, stop } = settings.commands
  const { killMode = 'control-group' } = settings
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
  for (const { directives, message } of placementContradictions(settings.placement)) {
    const written = parsed.directives.findLast(({ name }) => directives.includes(name))
    problems.push(at(written?.name ?? 'Instances', message))
  }
  const port = portContradiction(settings.port, type)
  if (port !== undefined) problems.push(at(port.directive, port.message))
  // Whatever is left behind would run on past the machine's lease.
  const endsAll = killMode === 'control-group' || killMode === 'mixed'
  if (settings.placement.partition === 'at-most' && !(endsAll && settings.sendSigkill !== false)) {
    const directive = endsAll ? 'SendSIGKILL' : 'KillMode'
    problems.push(at(directive, 'Partition=at-most needs a stop that ends every process'))
  }
  return problems
}

// What systemd ignores with a warning, so that files which work there work here.
function withoutEffect(parsed: ParsedUnitFile, settings: Settings): readonly UnitNote[] {
  if (typeOf(settings) !== 'oneshot') return []
  const message = 'it has no effect with Type=oneshot: TimeoutStartSec= limits it'
  return ['RuntimeMaxSec', 'WatchdogSec'].flatMap((directive) => {
    const line = parsed.directives.findLast(({ name }) => name === directive)
    return line === undefined ? [] : [{ file: line.file, line: line.line, directive, message }]
  })
}

// systemd: a service without ExecStart= is a oneshot unless its file says otherwise.
function typeOf(settings: Settings): ServiceUnit['type'] {
  return settings.type ?? (settings.commands.start.length === 0 ? 'oneshot' : 'simple')
}

// As systemd: what needs messages gets at least those of the main process.
function notifyAccess(settings: Settings, type: ServiceUnit['type'], watchdogMs: number) {
  const needed = type === 'notify' || type === 'notify-reload' || watchdogMs > 0
  const { notifyAccess: access = 'none' } = settings
  return needed && access === 'none' ? 'main' : access
}

function makeUnit(name: string, settings: Settings): ServiceUnit {
  const { user, group, workingDirectory } = settings
  const type = typeOf(settings)
  const watchdogMs = type === 'oneshot' ? 0 : (settings.watchdogMs ?? 0)
  const serves = makePortTerms(settings.port)
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
    notifyAccess: notifyAccess(settings, type, watchdogMs),
    watchdogMs,
    watchdogSignal: settings.watchdogSignal ?? 6,
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(workingDirectory === undefined ? {} : { workingDirectory }),
    umask: settings.umask ?? 0o022,
    environment: settings.environment,
    environmentFiles: settings.environmentFiles,
    credentials: [...settings.credentials.values()],
    placement: makePlacement(settings.placement, settings.conditions, serves !== undefined),
    ...(serves === undefined ? {} : { serves }),
    ...(settings.bundle === undefined ? {} : { bundle: settings.bundle }),
    // systemd, too, passes over what a unit says of itself.
    dependencies: settings.dependencies.filter(({ unit }) => unit !== name),
  }
}
