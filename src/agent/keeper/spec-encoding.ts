/** A job's spec as the compiled keeper reads it: `key=value` strings, each ended by a NUL. Pure. */
import { HolonError } from '../../base/errors.ts'
import type { JobSpec } from '../../unit/job-spec.ts'

/** `invalid_argument` when a value holds a NUL, which no argument or variable can. */
export function encodeSpec(spec: JobSpec): Buffer {
  const strings = specStrings(spec)
  for (const text of strings) {
    if (!text.includes('\0')) continue
    throw new HolonError('invalid_argument', `${spec.id}: ${JSON.stringify(text)} holds a NUL byte`)
  }
  return Buffer.from(strings.map((text) => `${text}\0`).join(''))
}

function specStrings(spec: JobSpec): readonly string[] {
  const optional = (key: string, value: string | number | undefined) =>
    value === undefined ? [] : [`${key}=${value}`]
  return [
    `id=${spec.id}`,
    `dir=${spec.dir}`,
    `owner=${spec.ownerUid}`,
    `output=${spec.output}`,
    `stdin=${spec.stdin}`,
    ...(spec.tty === undefined ? [] : [`tty=${spec.tty.rows} ${spec.tty.columns}`]),
    ...optional('log-dir', spec.logDir),
    ...optional('log-file-bytes', spec.logFileBytes),
    ...optional('log-files', spec.logFiles),
    `type=${spec.type}`,
    `remain=${spec.remainAfterExit ? 1 : 0}`,
    ...spec.commands.flatMap((command) => [
      `exec=${command.phase} ${flags(command)} ${command.path}`,
      ...command.argv.map((argument) => `arg=${argument}`),
    ]),
    ...spec.env.map(([name, value]) => `env=${name}=${value}`),
    `cwd=${spec.cwd}`,
    ...optional('user', spec.user),
    ...optional('group', spec.group),
    `login-env=${spec.loginEnv ? 1 : 0}`,
    `umask=${spec.umask.toString(8).padStart(4, '0')}`,
    `restart=${spec.restart}`,
    `restart-ms=${spec.restartMs}`,
    `start-limit=${spec.startLimitBurst}`,
    `start-limit-ms=${spec.startLimitMs}`,
    `timeout-start-ms=${spec.timeoutStartMs}`,
    `timeout-stop-ms=${spec.timeoutStopMs}`,
    `runtime-max-ms=${spec.runtimeMaxMs}`,
    `kill-mode=${spec.killMode}`,
    `kill-signal=${spec.killSignal}`,
    `send-sigkill=${spec.sendSigkill ? 1 : 0}`,
    ...spec.cgroups.map((path) => `cgroup=${path}`),
    `reason=${spec.reason.replaceAll('\n', ' ')}`,
  ]
}

function flags(command: JobSpec['commands'][number]): string {
  const letters = `${command.ignoreFailure ? 'i' : ''}${command.fullPrivileges ? 'p' : ''}`
  return letters === '' ? '-' : letters
}
