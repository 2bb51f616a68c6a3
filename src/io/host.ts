/** Facts about this process and its host that everything else is given, never reads by itself. */
import { constants, hostname } from 'node:os'

export interface Host {
  readonly uid: number
  readonly gid: number
  readonly pid: number
  readonly env: Readonly<Record<string, string | undefined>>
  readonly arch: string
  readonly nodePath: string
  hostname(): string
  cwd(): string
  umask(): number
}

// The launcher parks what would change how Node itself starts; programs started by us get it back.
function callerEnvironment(): Record<string, string | undefined> {
  const env = { ...process.env }
  for (const name of ['NODE_OPTIONS', 'NODE_EXTRA_CA_CERTS', 'NODE_COMPILE_CACHE']) {
    const parked = env[`HOLON_CALLER_${name}`]
    if (parked === undefined) continue
    env[name] = parked
    delete env[`HOLON_CALLER_${name}`]
  }
  return env
}

/** The real host. The environment is copied once: changes made later are not seen. */
export function realHost(): Host {
  return {
    uid: process.getuid?.() ?? 0,
    gid: process.getgid?.() ?? 0,
    pid: process.pid,
    env: callerEnvironment(),
    arch: process.arch,
    nodePath: process.execPath,
    hostname,
    cwd: () => process.cwd(),
    umask: () => process.umask(),
  }
}

/** Signals of this platform by name: `{SIGTERM: 15, …}`. */
export const signalNumbers: Readonly<Record<string, number>> = constants.signals
