/**
 * A loaded unit: every honoured directive as a typed value. Specifiers and variables are not yet
 * expanded, since their values belong to an instance on a machine; job-spec.ts does that. Durations
 * are milliseconds; of a timeout, 0 is none.
 */
import type { CommandLine } from './command-line.ts'
import type { PlacementRules } from './placement-rules.ts'
import type { PortTerms } from './port-terms.ts'

export const serviceTypes = ['simple', 'exec', 'oneshot', 'notify', 'notify-reload'] as const
export type ServiceType = (typeof serviceTypes)[number]

export const restartPolicies = [
  'no',
  'on-success',
  'on-failure',
  'on-abnormal',
  'on-abort',
  'on-watchdog',
  'always',
] as const
export type RestartPolicy = (typeof restartPolicies)[number]

/** Who may speak for a service by sd_notify(3). */
export const notifyAccesses = ['none', 'main', 'exec', 'all'] as const
export type NotifyAccess = (typeof notifyAccesses)[number]

export const killModes = ['control-group', 'mixed', 'process', 'none'] as const
export type KillMode = (typeof killModes)[number]

/** In the order in which a job goes through them; the names are the keeper's. */
export const commandPhases = ['start-pre', 'start', 'start-post', 'stop', 'stop-post'] as const
export type CommandPhase = (typeof commandPhases)[number]

/** Where a directive stands, for messages. */
export interface Place {
  readonly file: string
  readonly line: number
}

export interface UnitCommand extends CommandLine {
  readonly phase: CommandPhase
  readonly place: Place
}

export interface EnvironmentEntry {
  readonly name: string
  readonly value: string
  readonly place: Place
}

export interface EnvironmentFileEntry {
  /** Absolute, once its specifiers are expanded. */
  readonly path: string
  /** `-`: a missing file does not matter. */
  readonly optional: boolean
  readonly place: Place
}

/** A file that the program is given: from `path`, from `secret`, or, failing those, `text`. */
export interface CredentialEntry {
  readonly id: string
  /** Of a file of the machine; absolute, once its specifiers are expanded. */
  readonly path?: string
  /** The name of a secret of the fleet, or of the machine that the unit belongs to. */
  readonly secret?: string
  readonly text?: Uint8Array
  readonly place: Place
}

export interface WorkingDirectory {
  /** A path, or "~" for the home of the user it runs as. */
  readonly path: string
  /** `-`: a missing one does not matter. */
  readonly optional: boolean
}

/** What one unit may say of others; see systemd.unit(5). */
export const dependencyDirectives = [
  'After',
  'Before',
  'Wants',
  'Requires',
  'Requisite',
  'BindsTo',
  'PartOf',
  'Conflicts',
] as const
export type DependencyDirective = (typeof dependencyDirectives)[number]

export interface UnitDependency {
  readonly directive: DependencyDirective
  /** "db.service". */
  readonly unit: string
  readonly place: Place
}

/** Bundles by hash: the program's files, and its modules by the kind of machine. */
export interface BundleUse {
  readonly hash: string
  readonly modules: ReadonlyMap<string, string>
}

export interface ServiceUnit {
  /** "web.service". */
  readonly name: string
  /** The unit's name when the file gives none; specifiers unexpanded. */
  readonly description: string
  readonly documentation: readonly string[]
  readonly type: ServiceType
  /** By phase, and within a phase in the order of the file. */
  readonly commands: readonly UnitCommand[]
  readonly remainAfterExit: boolean
  readonly restart: RestartPolicy
  readonly restartMs: number
  /** Starts allowed within `startLimitMs`; 0 for no limit. */
  readonly startLimitBurst: number
  readonly startLimitMs: number
  readonly timeoutStartMs: number
  readonly timeoutStopMs: number
  readonly runtimeMaxMs: number
  readonly killMode: KillMode
  /** A signal's number. */
  readonly killSignal: number
  readonly sendSigkill: boolean
  /** Not `none` where the type or a watchdog needs messages. */
  readonly notifyAccess: NotifyAccess
  /** 0: none. */
  readonly watchdogMs: number
  /** A signal's number. */
  readonly watchdogSignal: number
  readonly user?: string
  readonly group?: string
  /** Default: / for the system's units, the home for a user's. */
  readonly workingDirectory?: WorkingDirectory
  readonly umask: number
  /** In order: a later assignment of a name replaces an earlier one. */
  readonly environment: readonly EnvironmentEntry[]
  readonly environmentFiles: readonly EnvironmentFileEntry[]
  readonly credentials: readonly CredentialEntry[]
  /** How many instances, where, and what a machine must meet for one. */
  readonly placement: PlacementRules
  /** How it is reached from outside, if it is. */
  readonly serves?: PortTerms
  /** Where its files come from, if not from the machine. */
  readonly bundle?: BundleUse
  /** On other services, in the order of the file; those on targets of a booted host fall out. */
  readonly dependencies: readonly UnitDependency[]
}
