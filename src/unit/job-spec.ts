/**
 * A loaded unit and an instance's context → the keeper's job. Everything that the words of the
 * unit leave open is settled here: specifiers, the environment, variables, paths of programs.
 * Pure: files have been read and names looked up by the caller, or through the functions it
 * passes.
 *
 * `JobSpec` mirrors the table in docs/keeper.md. The environment is settled once, when Holon
 * starts the instance: restarts by the keeper itself use it again, unlike systemd, which reads
 * EnvironmentFile= before every start.
 */
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { programProblem } from './command-line.ts'
import { type Assignment, parseEnvironmentFile } from './environment.ts'
import type {
  CommandPhase,
  EnvironmentFileEntry,
  KillMode,
  NotifyAccess,
  RestartPolicy,
  ServiceType,
  ServiceUnit,
  UnitCommand,
} from './service-unit.ts'
import { expandAt, settled, settleFailure } from './settle.ts'
import { expandSpecifiers, type SpecifierContext } from './specifiers.ts'
import type { UnitNote } from './unit.ts'
import { parseAbsolutePath, parseAccount } from './values.ts'
import { expandArguments } from './variables.ts'

export interface JobCommand {
  readonly phase: CommandPhase
  readonly ignoreFailure: boolean
  readonly fullPrivileges: boolean
  /** Absolute. */
  readonly path: string
  /** argv[0] first; never empty. */
  readonly argv: readonly string[]
}

/** The time up to which a job may run; docs/keeper.md tells how its end is enforced. */
export interface JobLease {
  /** The job ends when either clock of its machine says so. */
  readonly until: LeaseEnd
  /** So long before that it is stopped orderly; it is killed then. */
  readonly graceMs: number
}

export interface LeaseEnd {
  /** On the boot clock: `Clock.nowMs()`. Fractions are cut off, which is the safe side. */
  readonly bootMs: number
  readonly wallMs: number
}

/** What the keeper is told; docs/keeper.md says what each means. Times are milliseconds, 0 none. */
export interface JobSpec {
  readonly id: string
  readonly dir: string
  readonly ownerUid: number
  readonly output: 'log' | 'stream'
  readonly stdin: 'null' | 'stream'
  readonly tty?: { readonly rows: number; readonly columns: number }
  readonly logDir?: string
  readonly logFileBytes?: number
  readonly logFiles?: number
  readonly type: Exclude<ServiceType, 'notify-reload'>
  readonly remainAfterExit: boolean
  readonly commands: readonly JobCommand[]
  /** Each name once. */
  readonly env: readonly Assignment[]
  /** As the keeper reads it: an absolute path or "~", with "-" in front when it may be missing. */
  readonly cwd: string
  readonly user?: string
  readonly group?: string
  readonly loginEnv: boolean
  /** A byte stream job that does not wait for its client before it starts: one is on its way. */
  readonly atOnce?: boolean
  readonly umask: number
  /** -20 to 19. Default: as the launcher's other jobs. */
  readonly nice?: number
  readonly restart: RestartPolicy
  readonly restartMs: number
  readonly startLimitBurst: number
  readonly startLimitMs: number
  readonly timeoutStartMs: number
  readonly timeoutStopMs: number
  readonly runtimeMaxMs: number
  readonly killMode: KillMode
  readonly killSignal: number
  readonly sendSigkill: boolean
  /** Default `none`, which `type: 'notify'` and a watchdog cannot do with. */
  readonly notifyAccess?: NotifyAccess
  readonly watchdogMs?: number
  readonly watchdogSignal?: number
  readonly lease?: JobLease
  readonly cgroups: readonly string[]
  readonly reason: string
}

/** A user of the user database. */
export interface LoginRecord {
  readonly name: string
  readonly home: string
  readonly shell: string
}

export interface JobContext {
  readonly id: string
  readonly dir: string
  readonly logDir: string
  readonly ownerUid: number
  /** From 1: "web.service/2". */
  readonly instance: number
  readonly machine: string
  /** 32 hexadecimal digits, new for every start by Holon. */
  readonly invocationId: string
  readonly cgroups: readonly string[]
  readonly reason: string
  /** The assignment's number, for `$HOLON_FENCE`: fenced resources refuse a lower one. */
  readonly fence?: number
  readonly lease?: JobLease
  /** On which it is to listen, for `$PORT`, if its unit has a public port. */
  readonly port?: number
  /** Where its bundle lies, for `$HOLON_BUNDLE` and to run in, if its unit has one. */
  readonly bundleDir?: string
  readonly specifiers: SpecifierContext
  /** The machine's LANG, if it has one. */
  readonly lang?: string
  /** Who the job runs as, for `$HOME` and the like; system units without User= do not get them. */
  readonly login?: LoginRecord
  /** Of each path of `environmentFilesOf`: the text, or undefined for a missing file. */
  readonly environmentFileText: (path: string) => string | undefined
  /** The absolute path of a program given by its name alone; undefined when there is none. */
  readonly resolveExecutable: (name: string) => string | undefined
}

export interface CompiledJob {
  readonly spec: JobSpec
  /** Variables without a value, and lines of environment files that were passed over. */
  readonly warnings: readonly UnitNote[]
}

/** Where the programs of a unit look for others, and where `resolveExecutable` should look. */
export const searchPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'

/** The files to be read before `compileJob`, in order, their specifiers expanded. */
export function environmentFilesOf(
  unit: ServiceUnit,
  specifiers: SpecifierContext,
): readonly EnvironmentFileEntry[] {
  return unit.environmentFiles.map((entry) => ({
    ...entry,
    path: settled(entry.path, 'EnvironmentFile', entry.place, specifiers, parseAbsolutePath),
  }))
}

/** The user and group it runs as, specifiers expanded; for looking up `login`. */
export function accountsOf(
  unit: ServiceUnit,
  specifiers: SpecifierContext,
): { readonly user?: string; readonly group?: string } {
  const place = { file: unit.name, line: 0 }
  const expand = (text: string, directive: string) =>
    settled(text, directive, place, specifiers, parseAccount)
  return {
    ...(unit.user === undefined ? {} : { user: expand(unit.user, 'User') }),
    ...(unit.group === undefined ? {} : { group: expand(unit.group, 'Group') }),
  }
}

/** For people; what cannot be expanded stays as it is written. */
export function unitDescription(unit: ServiceUnit, specifiers: SpecifierContext): string {
  try {
    return expandSpecifiers(unit.description, specifiers)
  } catch {
    return unit.description
  }
}

/**
 * `not_found` for a missing environment file or program, `unavailable` for a specifier that this
 * machine has no value for, `invalid_argument` for what expansion made invalid, `exhausted` when
 * arguments and environment are too long. Each names file and line.
 */
export function compileJob(unit: ServiceUnit, context: JobContext): CompiledJob {
  const warnings: UnitNote[] = []
  const env = makeEnvironment(unit, context, warnings)
  const commands = unit.commands.map((command) => makeCommand(command, env, context, warnings))
  const spec: JobSpec = {
    id: context.id,
    dir: context.dir,
    ownerUid: context.ownerUid,
    output: 'log',
    stdin: 'null',
    logDir: context.logDir,
    type: unit.type === 'notify-reload' ? 'notify' : unit.type,
    remainAfterExit: unit.remainAfterExit,
    commands,
    env: [...env],
    cwd: workingDirectory(unit, context),
    ...accountsOf(unit, context.specifiers),
    loginEnv: hasLoginEnv(unit, context),
    umask: unit.umask,
    restart: unit.restart,
    restartMs: unit.restartMs,
    startLimitBurst: unit.startLimitBurst,
    startLimitMs: unit.startLimitMs,
    timeoutStartMs: unit.timeoutStartMs,
    timeoutStopMs: unit.timeoutStopMs,
    runtimeMaxMs: unit.runtimeMaxMs,
    killMode: unit.killMode,
    killSignal: unit.killSignal,
    sendSigkill: unit.sendSigkill,
    notifyAccess: unit.notifyAccess,
    watchdogMs: unit.watchdogMs,
    watchdogSignal: unit.watchdogSignal,
    ...(context.lease === undefined ? {} : { lease: context.lease }),
    cgroups: context.cgroups,
    reason: context.reason,
  }
  checkSize(unit.name, spec)
  return { spec, warnings }
}

// In systemd's order, so that a later one replaces an earlier: the manager's own, Environment=,
// EnvironmentFile=. Last are those that must be true: where its credentials are, HOLON_JOB, by
// which the agent finds a job's processes, HOLON_FENCE, PORT, where it is reached, and its bundle.
function makeEnvironment(
  unit: ServiceUnit,
  context: JobContext,
  warnings: UnitNote[],
): ReadonlyMap<string, string> {
  const env = new Map<string, string>([['PATH', searchPath]])
  if (context.lang !== undefined) env.set('LANG', context.lang)
  if (context.login !== undefined && hasLoginEnv(unit, context)) {
    env.set('HOME', context.login.home)
    env.set('USER', context.login.name)
    env.set('LOGNAME', context.login.name)
    env.set('SHELL', context.login.shell)
  }
  env.set('INVOCATION_ID', context.invocationId)
  env.set('HOLON_UNIT', unit.name)
  env.set('HOLON_INSTANCE', String(context.instance))
  env.set('HOLON_MACHINE', context.machine)
  for (const { name, value, place } of unit.environment) {
    env.set(name, expandAt('Environment', place, value, context.specifiers))
  }
  for (const entry of environmentFilesOf(unit, context.specifiers)) {
    for (const [name, value] of readEnvironmentFile(entry, context, warnings)) env.set(name, value)
  }
  const { credentialsDirectory } = context.specifiers
  if (unit.credentials.length > 0 && credentialsDirectory !== undefined) {
    env.set('CREDENTIALS_DIRECTORY', credentialsDirectory)
  }
  env.set('HOLON_JOB', context.dir)
  if (context.fence !== undefined) env.set('HOLON_FENCE', String(context.fence))
  if (context.port !== undefined) env.set('PORT', String(context.port))
  if (context.bundleDir !== undefined) env.set('HOLON_BUNDLE', context.bundleDir)
  return env
}

// As systemd: the system's own units without User= get no HOME, all others do.
function hasLoginEnv(unit: ServiceUnit, context: JobContext): boolean {
  return unit.user !== undefined || context.ownerUid !== 0
}

function readEnvironmentFile(
  entry: EnvironmentFileEntry,
  context: JobContext,
  warnings: UnitNote[],
): readonly Assignment[] {
  const text = context.environmentFileText(entry.path)
  if (text === undefined) {
    if (entry.optional) return []
    throw settleFailure(
      'not_found',
      'EnvironmentFile',
      entry.place,
      `${entry.path} does not exist: create it, or write -${entry.path} if it may be missing`,
    )
  }
  const { assignments, skipped } = parseEnvironmentFile(text)
  for (const { line, message } of skipped) {
    warnings.push({ file: entry.path, line, directive: 'EnvironmentFile', message })
  }
  return assignments
}

function makeCommand(
  command: UnitCommand,
  env: ReadonlyMap<string, string>,
  context: JobContext,
  warnings: UnitNote[],
): JobCommand {
  const { phase, ignoreFailure, fullPrivileges, place } = command
  const directive = directiveOf[phase]
  const expand = (text: string) => expandAt(directive, place, text, context.specifiers)
  const path = resolveProgram(command, expand(command.path), directive, context)
  let argv = command.argv.map(expand)
  if (command.expandVariables) {
    const expanded = expandArguments(argv, (name) => env.get(name))
    argv = [...expanded.argv]
    for (const name of expanded.unset) {
      const message = `the variable $${name} has no value and is taken as empty`
      warnings.push({ ...place, directive, message })
    }
  }
  // Only with `@` and an empty variable as its name; a program has to get some name.
  if (argv.length === 0) argv = [path]
  return { phase, ignoreFailure, fullPrivileges, path, argv }
}

function resolveProgram(
  command: UnitCommand,
  program: string,
  directive: string,
  context: JobContext,
): string {
  const problem = programProblem(program)
  if (problem !== undefined || program.startsWith('%')) {
    const message = problem ?? `the program ${JSON.stringify(program)} is no absolute path`
    throw settleFailure('invalid_argument', directive, command.place, message)
  }
  if (program.startsWith('/')) return program
  const found = context.resolveExecutable(program)
  if (found !== undefined) return found
  // With `-` a program that is missing counts as one that succeeded: let its execution fail.
  if (command.ignoreFailure) return `/usr/bin/${program}`
  const message = `there is no program ${JSON.stringify(program)} in ${searchPath}`
  throw settleFailure('not_found', directive, command.place, message)
}

function workingDirectory(unit: ServiceUnit, context: JobContext): string {
  const directory = unit.workingDirectory
  if (directory === undefined) return context.bundleDir ?? (context.ownerUid === 0 ? '/' : '~')
  const place = { file: unit.name, line: 0 }
  const path =
    directory.path === '~'
      ? '~'
      : settled(directory.path, 'WorkingDirectory', place, context.specifiers, parseAbsolutePath)
  return directory.optional ? `-${path}` : path
}

const directiveOf: Readonly<Record<CommandPhase, string>> = {
  'start-pre': 'ExecStartPre',
  start: 'ExecStart',
  'start-post': 'ExecStartPost',
  stop: 'ExecStop',
  'stop-post': 'ExecStopPost',
}

function checkSize(unitName: string, spec: JobSpec): void {
  let bytes = 0
  for (const [name, value] of spec.env) bytes += Buffer.byteLength(name) + Buffer.byteLength(value)
  for (const { argv } of spec.commands) {
    for (const argument of argv) bytes += Buffer.byteLength(argument)
  }
  if (bytes <= limits.jobSpecBytesMax) return
  throw new HolonError(
    'exhausted',
    `start ${unitName}: arguments and environment have ${bytes} bytes, ` +
      `more than ${limits.jobSpecBytesMax}`,
  )
}
