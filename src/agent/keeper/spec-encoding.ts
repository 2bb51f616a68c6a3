/**
 * A job as the keepers read it: NUL-separated strings for the compiled one, shell assignments for
 * keeper.sh. Both are docs/keeper.md's table of the spec. Pure.
 */
import { assert } from '../../base/assert.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { JobCommand, JobSpec, LeaseEnd } from '../../unit/job-spec.ts'
import { commandPhases } from '../../unit/service-unit.ts'
import { percentEncode } from './records.ts'

const defaultLogFileBytes = limits.logFileBytesMax
const defaultLogFiles = limits.logFilesMax

/**
 * The payload of an `N` frame. `invalid_argument` for a value with a NUL, `exhausted` over the
 * bound.
 */
export function encodeSpec(spec: JobSpec): Buffer {
  const strings: string[] = []
  const add = (key: string, value: string) => strings.push(`${key}=${checked(spec, key, value)}\0`)
  const addMs = (key: string, ms: number) => add(key, wholeNumber(key, ms))
  add('id', spec.id)
  add('dir', spec.dir)
  add('owner', wholeNumber('owner', spec.ownerUid))
  add('output', spec.output)
  add('stdin', spec.stdin)
  if (spec.tty !== undefined) add('tty', `${spec.tty.rows} ${spec.tty.columns}`)
  if (spec.logDir !== undefined) add('log-dir', spec.logDir)
  if (spec.logFileBytes !== undefined) addMs('log-file-bytes', spec.logFileBytes)
  if (spec.logFiles !== undefined) addMs('log-files', spec.logFiles)
  add('type', spec.type)
  add('remain', spec.remainAfterExit ? '1' : '0')
  for (const command of spec.commands) {
    add('exec', `${command.phase} ${flagsOf(command)} ${command.path}`)
    for (const argument of command.argv) add('arg', argument)
  }
  for (const [name, value] of spec.env) add('env', `${name}=${value}`)
  add('cwd', spec.cwd)
  if (spec.user !== undefined) add('user', spec.user)
  if (spec.group !== undefined) add('group', spec.group)
  if (spec.atOnce === true) add('at-once', '1')
  add('login-env', spec.loginEnv ? '1' : '0')
  add('umask', octal(spec.umask))
  if (spec.nice !== undefined) add('nice', niceText(spec.nice))
  add('restart', spec.restart)
  addMs('restart-ms', spec.restartMs)
  addMs('start-limit', spec.startLimitBurst)
  addMs('start-limit-ms', spec.startLimitMs)
  addMs('timeout-start-ms', spec.timeoutStartMs)
  addMs('timeout-stop-ms', spec.timeoutStopMs)
  addMs('runtime-max-ms', spec.runtimeMaxMs)
  add('kill-mode', spec.killMode)
  addMs('kill-signal', spec.killSignal)
  add('send-sigkill', spec.sendSigkill ? '1' : '0')
  if (spec.notifyAccess !== undefined) add('notify', spec.notifyAccess)
  if (spec.watchdogMs !== undefined) addMs('watchdog-ms', spec.watchdogMs)
  if (spec.watchdogSignal !== undefined) addMs('watchdog-signal', spec.watchdogSignal)
  if (spec.lease !== undefined) {
    add('lease', `${leaseWords(spec.lease.until)} ${wholeNumber('lease', spec.lease.graceMs)}`)
  }
  for (const cgroup of spec.cgroups) add('cgroup', cgroup)
  add('reason', oneLine(spec.reason))
  return bounded(spec, Buffer.from(strings.join('')))
}

/** "BOOTMS WALLMS". A moment between two milliseconds becomes the one before: that is safe. */
export function leaseWords({ bootMs, wallMs }: LeaseEnd): string {
  const whole = (ms: number) => wholeNumber('lease', Math.max(0, Math.floor(ms)))
  return `${whole(bootMs)} ${whole(wallMs)}`
}

/**
 * The text of `spec.sh`. Besides the bounds of `encodeSpec()`: `unsupported` for terminals, byte
 * streams, sd_notify messages that matter and leases, which a shell cannot keep.
 */
export function encodeShellSpec(spec: JobSpec): string {
  if (spec.type === 'notify') throw needsCompiler(spec, 'Type=notify')
  if ((spec.watchdogMs ?? 0) > 0) throw needsCompiler(spec, 'WatchdogSec=')
  if (spec.lease !== undefined) throw needsCompiler(spec, 'Partition=at-most')
  if (spec.tty !== undefined) throw needsCompiler(spec, 'a terminal')
  if (spec.stdin === 'stream') throw needsCompiler(spec, 'stdin for a detached program')
  assert(spec.output === 'log', 'the agent itself runs byte stream jobs where keeper.sh keeps')
  const quote = (value: string) => shellQuote(checked(spec, 'a value', value))
  const lines = [
    `id=${quote(spec.id)}`,
    `log_dir=${quote(spec.logDir ?? spec.dir)}`,
    `log_file_bytes=${wholeNumber('log-file-bytes', spec.logFileBytes ?? defaultLogFileBytes)}`,
    `log_files=${wholeNumber('log-files', spec.logFiles ?? defaultLogFiles)}`,
    `type=${spec.type}`,
    `remain=${spec.remainAfterExit ? 1 : 0}`,
    `cwd=${quote(spec.cwd)}`,
    `user=${quote(spec.user ?? '')}`,
    `group=${quote(spec.group ?? '')}`,
    `login_env=${spec.loginEnv ? 1 : 0}`,
    `job_umask=${octal(spec.umask)}`,
    `job_nice=${spec.nice === undefined ? '' : niceText(spec.nice)}`,
    `restart=${spec.restart}`,
    `restart_ms=${wholeNumber('restart-ms', spec.restartMs)}`,
    `start_limit=${wholeNumber('start-limit', spec.startLimitBurst)}`,
    `start_limit_ms=${wholeNumber('start-limit-ms', spec.startLimitMs)}`,
    `timeout_start_ms=${wholeNumber('timeout-start-ms', spec.timeoutStartMs)}`,
    `timeout_stop_ms=${wholeNumber('timeout-stop-ms', spec.timeoutStopMs)}`,
    `runtime_max_ms=${wholeNumber('runtime-max-ms', spec.runtimeMaxMs)}`,
    `kill_mode=${spec.killMode}`,
    `kill_signal=${wholeNumber('kill-signal', spec.killSignal)}`,
    `send_sigkill=${spec.sendSigkill ? 1 : 0}`,
    `cgroup_list=${quote(spec.cgroups.map((_, index) => index + 1).join(' '))}`,
    ...spec.cgroups.map((cgroup, index) => `cgroup_${index + 1}=${quote(cgroup)}`),
    `reason_encoded=${quote(percentEncode(oneLine(spec.reason)))}`,
  ]
  for (const phase of commandPhases) {
    const numbers = spec.commands.flatMap((c, index) => (c.phase === phase ? [index + 1] : []))
    lines.push(`commands_${phase.replace('-', '_')}=${quote(numbers.join(' '))}`)
  }
  const env = spec.env.map(([name, value]) => quote(`${name}=${value}`)).join(' ')
  // Once for all commands: an environment may be long.
  lines.push(`in_environment() { become ${env} "$@"; }`)
  spec.commands.forEach((command, index) => {
    const name = `command_${index + 1}`
    lines.push(
      `${name}_path=${quote(command.path)}`,
      `${name}_encoded=${quote(percentEncode(command.path))}`,
      `${name}_ignored=${command.ignoreFailure ? 1 : 0}`,
      `${name}_privileged=${command.fullPrivileges ? 1 : 0}`,
      `${name}() { in_environment ${commandWords(command).map(quote).join(' ')}; }`,
    )
  })
  const text = `${lines.join('\n')}\n`
  bounded(spec, Buffer.from(text))
  return text
}

/**
 * `text` in single quotes, as any POSIX shell reads it back exactly; NULs must have been refused.
 */
export function shellQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`
}

// A shell cannot give a program another argv[0] than its path. env(1) would take a path with an
// "=" for a variable; a shell in between does not.
function commandWords(command: JobCommand): readonly string[] {
  const args = command.argv.slice(1)
  if (!command.path.includes('=')) return [command.path, ...args]
  return ['/bin/sh', '-c', 'exec "$0" "$@"', command.path, ...args]
}

function flagsOf(command: JobCommand): string {
  const flags = `${command.ignoreFailure ? 'i' : ''}${command.fullPrivileges ? 'p' : ''}`
  return flags === '' ? '-' : flags
}

function checked(spec: JobSpec, key: string, value: string): string {
  if (!value.includes('\0')) return value
  throw new HolonError(
    'invalid_argument',
    `start ${spec.id}: ${key} ${JSON.stringify(value)} holds a NUL, which no program can be given`,
  )
}

function bounded(spec: JobSpec, bytes: Buffer): Buffer {
  if (bytes.length <= limits.jobSpecBytesMax) return bytes
  throw new HolonError(
    'exhausted',
    `start ${spec.id}: its arguments and environment have ${bytes.length} bytes, ` +
      `at most ${limits.jobSpecBytesMax} are possible`,
  )
}

function needsCompiler(spec: JobSpec, what: string): HolonError {
  return new HolonError(
    'unsupported',
    `start ${spec.id}: ${what} needs the compiled keeper; install a C compiler (gcc or clang) ` +
      'and start the agent again',
  )
}

function wholeNumber(key: string, value: number): string {
  assert(Number.isSafeInteger(value) && value >= 0, `${key} is a whole number, not ${value}`)
  return String(value)
}

function niceText(nice: number): string {
  assert(Number.isInteger(nice) && nice >= -20 && nice <= 19, `${nice} is no nice value`)
  return String(nice)
}

function octal(umask: number): string {
  assert(Number.isInteger(umask) && umask >= 0 && umask <= 0o777, `${umask} is no umask`)
  return `0${umask.toString(8)}`
}

function oneLine(text: string): string {
  return text.replaceAll(/[\r\n]+/g, ' ')
}
