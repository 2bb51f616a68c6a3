/** A caller's wish to run something, checked and turned into the keeper's spec. Pure. */
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { RunSpec } from '../../kernel/types.ts'
import type { JobSpec } from '../../unit/job-spec.ts'
import type { Caller } from '../users.ts'

export interface RunContext {
  readonly id: string
  readonly dir: string
  readonly logDir: string
  readonly cgroups: readonly string[]
  readonly agentUid: number
  /** The path of a bare command name by the run's own PATH; undefined when there is none. */
  readonly findExecutable: (name: string, path: string) => string | undefined
}

const defaultPath = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const stopTimeoutMs = 10_000

/** `invalid_argument` or `permission_denied` when the run cannot be. */
export function compileRun(spec: RunSpec, caller: Caller, context: RunContext): JobSpec {
  const [name] = spec.argv
  if (name === undefined || name === '') {
    throw new HolonError('invalid_argument', 'run: no command given; try `holon run uname -a`')
  }
  if (!spec.cwd.startsWith('/')) {
    throw new HolonError('invalid_argument', `run: the directory ${spec.cwd} is not absolute`)
  }
  const size = [...spec.argv, ...Object.entries(spec.env).flat()].reduce(
    (n, s) => n + s.length + 1,
    0,
  )
  if (size > limits.jobSpecBytesMax / 2) {
    throw new HolonError('exhausted', `run: arguments and environment have ${size} bytes, too many`)
  }
  const path = name.includes('/')
    ? name
    : (context.findExecutable(name, spec.env['PATH'] ?? defaultPath) ?? name)
  const user = runUser(spec, caller, context.agentUid)
  return {
    id: context.id,
    dir: context.dir,
    ownerUid: caller.uid,
    output: spec.detached ? 'log' : 'stream',
    stdin: spec.stdin,
    ...(spec.tty === undefined ? {} : { tty: spec.tty }),
    ...(spec.detached ? { logDir: context.logDir } : {}),
    type: 'simple',
    commands: [
      { phase: 'start', ignoreFailure: false, fullPrivileges: false, path, argv: spec.argv },
    ],
    remainAfterExit: false,
    env: Object.entries(spec.env),
    loginEnv: false,
    cwd: spec.cwd,
    ...(user === undefined ? {} : { user }),
    umask: spec.umask ?? 0o022,
    restart: 'no',
    restartMs: 0,
    startLimitBurst: 0,
    startLimitMs: 0,
    timeoutStartMs: 0,
    timeoutStopMs: stopTimeoutMs,
    runtimeMaxMs: spec.timeoutMs ?? 0,
    killMode: 'control-group',
    killSignal: 15,
    sendSigkill: true,
    cgroups: spec.detached ? context.cgroups : context.cgroups.slice(0, 1),
    reason: `asked by uid ${caller.uid}`,
  }
}

/** Undefined: as the agent itself runs. */
function runUser(spec: RunSpec, caller: Caller, agentUid: number): string | undefined {
  const asked = spec.user
  if (caller.uid === 0) return asked
  if (asked !== undefined && asked !== String(caller.uid)) {
    throw new HolonError('permission_denied', `run: only root may run as another user (${asked})`)
  }
  return caller.uid === agentUid ? undefined : String(caller.uid)
}
