/**
 * The honoured directives one by one: each handler reads a line's value into the settings gathered
 * so far. A later line replaces an earlier one, or adds to a list that an empty value resets.
 */
import { parseCommandLines } from './command-line.ts'
import { readCondition } from './conditions.ts'
import { loadCredential, resetCredentials, setCredential } from './credentials.ts'
import { canonicalSection, findDirective, isList } from './directives.ts'
import { parseAssignments } from './environment.ts'
import type { DirectiveLine } from './parse.ts'
import type { MachineCondition } from './placement-rules.ts'
import { applyPlacement, emptyPlacement, type PlacementSettings } from './placement-settings.ts'
import { applyPort, isPortDirective, type PortSettings } from './port-terms.ts'
import {
  type BundleUse,
  type CommandPhase,
  type CredentialEntry,
  dependencyDirectives,
  type EnvironmentEntry,
  type EnvironmentFileEntry,
  type KillMode,
  killModes,
  type NotifyAccess,
  notifyAccesses,
  type RestartPolicy,
  restartPolicies,
  type ServiceType,
  serviceTypes,
  type UnitCommand,
  type UnitDependency,
  type WorkingDirectory,
} from './service-unit.ts'
import { checkSpecifiers } from './specifiers.ts'
import { conflictUnits, orderingUnits, requirementUnits } from './table/well-known.ts'
import {
  bad,
  ok,
  type Parsed,
  parseAbsolutePath,
  parseAccount,
  parseBoolean,
  parseChoice,
  parseCount,
  parseDuration,
  parseSignal,
  parseUmask,
} from './values.ts'
import { variableNames } from './variables.ts'

/** What the lines of a file have said so far. What none has said is undefined. */
export interface Settings {
  description?: string | undefined
  documentation: string[]
  type?: ServiceType
  commands: Record<CommandPhase, UnitCommand[]>
  remainAfterExit?: boolean
  restart?: RestartPolicy
  restartMs?: number
  startLimitBurst?: number
  startLimitMs?: number
  timeoutStartMs?: number
  timeoutStopMs?: number
  runtimeMaxMs?: number
  killMode?: KillMode
  killSignal?: number
  sendSigkill?: boolean
  notifyAccess?: NotifyAccess
  watchdogMs?: number
  watchdogSignal?: number
  user?: string | undefined
  group?: string | undefined
  workingDirectory?: WorkingDirectory | undefined
  umask?: number
  environment: EnvironmentEntry[]
  environmentFiles: EnvironmentFileEntry[]
  /** By ID. */
  credentials: Map<string, CredentialEntry>
  /** Lines of `Condition…=` and `Assert…=`. */
  conditions: MachineCondition[]
  /** What [X-Holon] says. */
  placement: PlacementSettings
  port: PortSettings
  bundle?: BundleUse | undefined
  dependencies: UnitDependency[]
}

export function emptySettings(unitName: string): Settings {
  return {
    documentation: [],
    commands: { 'start-pre': [], start: [], 'start-post': [], stop: [], 'stop-post': [] },
    environment: [],
    environmentFiles: [],
    credentials: new Map(),
    conditions: [],
    placement: emptyPlacement(unitName),
    port: { hosts: [] },
    dependencies: [],
  }
}

/** Warnings for people, or why the value is refused. */
type Outcome = Parsed<readonly string[]>

/** Reads one honoured line into `settings`. */
export function applySetting(settings: Settings, line: DirectiveLine): Outcome {
  const kind = findDirective(line.section, line.name)?.kind ?? 'text'
  if (line.value === '' && !isList(kind) && !mayBeEmpty.has(line.name))
    return bad('the value is empty')
  const unknown = checkSpecifiers(line.value)
  if (unknown !== undefined && !hasNoSpecifiers.has(line.name)) return bad(unknown)
  if (canonicalSection(line.section) === 'X-Holon') {
    if (line.name === 'Bundle') return applyBundle(settings, line.value)
    return isPortDirective(line.name)
      ? applyPort(settings.port, line, settings.placement.unitName)
      : applyPlacement(settings.placement, line)
  }
  if (kind === 'conditions') return applyCondition(settings, line)
  const handler = handlers[line.name]
  if (handler === undefined) return bad('this directive has no handler')
  return handler(settings, line.value, line)
}

function applyBundle(settings: Settings, value: string): Outcome {
  const [hash = '', ...rest] = value.split(/[ \t]+/)
  const modules = new Map(rest.map((word) => word.split('=', 2) as [string, string]))
  const hashes = [hash, ...modules.values()]
  if (value !== '' && !hashes.every((each) => /^[0-9a-f]{64}$/.test(each))) {
    return bad(`${JSON.stringify(value)} is no bundle: \`holon deploy\` writes this line`)
  }
  settings.bundle = value === '' ? undefined : { hash, modules }
  return applied
}

/** An empty value resets all conditions, of whatever kind; assertions likewise. */
function applyCondition(settings: Settings, { name, value }: DirectiveLine): Outcome {
  if (value === '') {
    const assertions = name.startsWith('Assert')
    settings.conditions = settings.conditions.filter(
      (condition) => condition.name.startsWith('Assert') !== assertions,
    )
    return applied
  }
  return store(readCondition(name, value), (condition) => {
    settings.conditions.push(condition)
  })
}

// A description is for people, where a stray "%" does no harm; in the other a "%" is a "%".
const hasNoSpecifiers: ReadonlySet<string> = new Set(['Description', 'SetCredential'])

// An empty value takes these back to their default.
const mayBeEmpty: ReadonlySet<string> = new Set([
  'Description',
  'User',
  'Group',
  'WorkingDirectory',
])

type Handler = (settings: Settings, value: string, line: DirectiveLine) => Outcome

const applied: Outcome = ok([])

const handlers: Readonly<Record<string, Handler>> = {
  Description: (settings, value) => {
    settings.description = value === '' ? undefined : value
    return applied
  },
  Documentation: (settings, value) => {
    if (value === '') settings.documentation = []
    else settings.documentation.push(...value.split(/[ \t]+/))
    return applied
  },
  StartLimitIntervalSec: startLimitInterval,
  StartLimitInterval: startLimitInterval,
  StartLimitBurst: (settings, value) =>
    store(parseCount(value, 0, 2 ** 32 - 1), (count) => {
      settings.startLimitBurst = count
    }),
  Type: (settings, value) => {
    const outcome = store(parseType(value), (type) => {
      settings.type = type
    })
    return value === 'notify-reload'
      ? ok(['it starts and runs as with notify; asking it to reload comes later'])
      : outcome
  },
  ExecStartPre: commands('start-pre'),
  ExecStart: commands('start'),
  ExecStartPost: commands('start-post'),
  ExecStop: commands('stop'),
  ExecStopPost: commands('stop-post'),
  RemainAfterExit: (settings, value) =>
    store(parseBoolean(value), (remain) => {
      settings.remainAfterExit = remain
    }),
  Restart: (settings, value) =>
    store(parseChoice(value, restartPolicies), (restart) => {
      settings.restart = restart
    }),
  RestartSec: (settings, value) =>
    store(parseDuration(value), (ms) => {
      settings.restartMs = ms
    }),
  TimeoutSec: (settings, value) =>
    store(parseDuration(value, noLimit), (ms) => {
      settings.timeoutStartMs = ms
      settings.timeoutStopMs = ms
    }),
  TimeoutStartSec: (settings, value) =>
    store(parseDuration(value, noLimit), (ms) => {
      settings.timeoutStartMs = ms
    }),
  TimeoutStopSec: (settings, value) =>
    store(parseDuration(value, noLimit), (ms) => {
      settings.timeoutStopMs = ms
    }),
  RuntimeMaxSec: (settings, value) => {
    // Elsewhere 0 is "no limit"; here systemd would end the service at once.
    const unlimited = value === 'infinity'
    const parsed = parseDuration(value, noLimit)
    if (!unlimited && parsed.kind === 'ok' && parsed.value === 0) {
      return bad('0 would end it at once: write infinity for no limit')
    }
    return store(parsed, (ms) => {
      settings.runtimeMaxMs = ms
    })
  },
  KillMode: (settings, value) =>
    store(parseChoice(value, killModes), (mode) => {
      settings.killMode = mode
    }),
  KillSignal: (settings, value) =>
    store(parseSignal(value), (signal) => {
      settings.killSignal = signal
    }),
  SendSIGKILL: (settings, value) =>
    store(parseBoolean(value), (send) => {
      settings.sendSigkill = send
    }),
  NotifyAccess: (settings, value) =>
    store(parseChoice(value, notifyAccesses), (access) => {
      settings.notifyAccess = access
    }),
  WatchdogSec: (settings, value) =>
    store(parseDuration(value, noLimit), (ms) => {
      settings.watchdogMs = ms
    }),
  WatchdogSignal: (settings, value) =>
    store(parseSignal(value), (signal) => {
      settings.watchdogSignal = signal
    }),
  User: (settings, value) => {
    if (value !== '') {
      return store(parseAccount(value), (user) => {
        settings.user = user
      })
    }
    settings.user = undefined
    return applied
  },
  Group: (settings, value) => {
    if (value !== '') {
      return store(parseAccount(value), (group) => {
        settings.group = group
      })
    }
    settings.group = undefined
    return applied
  },
  WorkingDirectory: (settings, value) => {
    if (value === '') {
      settings.workingDirectory = undefined
      return applied
    }
    const optional = value.startsWith('-')
    const path = optional ? value.slice(1) : value
    return store(path === '~' ? ok(path) : parseAbsolutePath(path), (absolute) => {
      settings.workingDirectory = { path: absolute, optional }
    })
  },
  UMask: (settings, value) =>
    store(parseUmask(value), (umask) => {
      settings.umask = umask
    }),
  Environment: (settings, value, line) => {
    if (value === '') settings.environment = []
    const parsed = parseAssignments(value)
    if (parsed.kind === 'bad') return parsed
    const place = { file: line.file, line: line.line }
    settings.environment.push(
      ...parsed.assignments.map(([name, text]) => ({ name, value: text, place })),
    )
    return applied
  },
  EnvironmentFile: (settings, value, line) => {
    if (value === '') {
      settings.environmentFiles = []
      return applied
    }
    const optional = value.startsWith('-')
    const path = optional ? value.slice(1) : value
    if (/[*?[]/.test(path)) return bad('patterns of several files are not supported yet')
    return store(parseAbsolutePath(path), (absolute) => {
      const place = { file: line.file, line: line.line }
      settings.environmentFiles.push({ path: absolute, optional, place })
    })
  },
  LoadCredential: (settings, value, { file, line }) => {
    if (value !== '') return loadCredential(settings, value, { file, line })
    resetCredentials(settings, 'load')
    return applied
  },
  SetCredential: (settings, value, { file, line }) => {
    if (value !== '') return setCredential(settings, value, { file, line })
    resetCredentials(settings, 'set')
    return applied
  },
  After: dependencies(orderingUnits),
  Before: dependencies(orderingUnits),
  Wants: dependencies(requirementUnits),
  Requires: dependencies(requirementUnits),
  Requisite: dependencies(requirementUnits),
  BindsTo: dependencies(requirementUnits),
  PartOf: dependencies(requirementUnits),
  Conflicts: dependencies(conflictUnits),
}

/** As with systemd an empty value takes nothing back. */
function dependencies(unitsOf: typeof orderingUnits): Handler {
  return (settings, value, { name, file, line }) => {
    const units = unitsOf(value)
    if (units.kind === 'bad') return units
    const directive = dependencyDirectives.find((each) => each === name)
    if (directive === undefined) return bad('this directive names no dependency')
    for (const unit of units.value) {
      settings.dependencies.push({ directive, unit, place: { file, line } })
    }
    return ok(['it holds between units of the fleet; a unit of one machine is refused for it'])
  }
}

const noLimit = { infinity: 0 }

function store<T>(parsed: Parsed<T>, set: (value: T) => void): Outcome {
  if (parsed.kind === 'bad') return parsed
  set(parsed.value)
  return applied
}

function startLimitInterval(settings: Settings, value: string): Outcome {
  return store(parseDuration(value), (ms) => {
    settings.startLimitMs = ms
  })
}

const laterTypes = ['forking', 'dbus', 'idle']

function parseType(value: string): Parsed<ServiceType> {
  if (laterTypes.includes(value)) {
    return bad(`Type=${value} is not supported yet, only ${serviceTypes.join(', ')}`)
  }
  return parseChoice(value, serviceTypes)
}

// Known only while a job runs; the keeper does not pass them to commands yet.
const runtimeVariables: ReadonlySet<string> = new Set([
  'MAINPID',
  'SERVICE_RESULT',
  'EXIT_CODE',
  'EXIT_STATUS',
  'NOTIFY_SOCKET',
  'WATCHDOG_PID',
  'WATCHDOG_USEC',
])

function commands(phase: CommandPhase): Handler {
  return (settings, value, line) => {
    if (value === '') {
      settings.commands[phase] = []
      return applied
    }
    const parsed = parseCommandLines(value)
    if (parsed.kind === 'bad') return parsed
    const place = { file: line.file, line: line.line }
    for (const command of parsed.commands) {
      const variable = command.argv
        .flatMap(variableNames)
        .find((name) => runtimeVariables.has(name))
      if (variable !== undefined) return bad(`the variable $${variable} is not supported yet`)
      settings.commands[phase].push({ ...command, phase, place })
    }
    return ok(
      parsed.unknownEscapes.map((sequence) => `${sequence} is no known escape and stays as it is`),
    )
  }
}
