/** A unit and one of its instances as the keeper's spec, with what this host knows filled in. */
import { HolonError } from '../../base/errors.ts'
import type { Random } from '../../base/random.ts'
import { readTextIfThere } from '../../io/files.ts'
import type { Host } from '../../io/host.ts'
import type { Users } from '../../io/users.ts'
import { accountsOf, compileJob, type JobSpec, searchPath } from '../../unit/job-spec.ts'
import type { ServiceUnit } from '../../unit/service-unit.ts'
import type { SpecifierContext } from '../../unit/specifiers.ts'
import { findExecutable } from '../executables.ts'

export interface CompileDeps {
  readonly random: Random
  readonly host: Host
  readonly users: Users
  readonly machine: string
  readonly bootId: string
  readonly kernelRelease: string
  readonly logDir: (job: string) => string
  readonly cgroups: (job: string) => readonly string[]
  readonly report: (message: string) => void
}

export interface InstanceIdentity {
  readonly number: number
  readonly job: string
  readonly dir: string
}

export type CompileUnit = (unit: ServiceUnit, instance: InstanceIdentity, reason: string) => JobSpec

/** The compiler of this machine's units; it rejects with file and line of what cannot be. */
export function unitCompiler(deps: CompileDeps): CompileUnit {
  return (unit, instance, reason) => {
    const specifiers = specifierContext(deps, unit.name)
    const { user } = accountsOf(unit, specifiers)
    if (user !== undefined && deps.host.uid !== 0 && !isSelf(deps, user)) {
      throw new HolonError(
        'permission_denied',
        `start ${unit.name}: User=${user} needs an agent that root runs`,
      )
    }
    const login = deps.users.user(user ?? deps.host.uid)
    if (user !== undefined && login === undefined) {
      throw new HolonError('not_found', `start ${unit.name}: there is no user ${user} (User=)`)
    }
    const lang = deps.host.env['LANG']
    const { spec, warnings } = compileJob(unit, {
      id: instance.job,
      dir: instance.dir,
      logDir: deps.logDir(instance.job),
      ownerUid: deps.host.uid,
      instance: instance.number,
      machine: deps.machine,
      invocationId: Buffer.from(deps.random.bytes(16)).toString('hex'),
      cgroups: deps.cgroups(instance.job),
      reason,
      specifiers,
      ...(lang === undefined ? {} : { lang }),
      ...(login === undefined ? {} : { login }),
      environmentFileText: readTextIfThere,
      resolveExecutable: (name) => findExecutable(name, searchPath),
    })
    for (const { file, line, message } of warnings) deps.report(`${file}:${line}: ${message}`)
    return spec
  }
}

function isSelf(deps: CompileDeps, user: string): boolean {
  return deps.users.user(user)?.uid === deps.host.uid
}

const architectures: Readonly<Record<string, string>> = { x64: 'x86-64', arm64: 'arm64' }

function specifierContext(deps: CompileDeps, unitName: string): SpecifierContext {
  const { host, users } = deps
  const user = users.user(host.uid)
  const home = user?.home ?? host.env['HOME'] ?? '/'
  const system = host.uid === 0
  const architecture = architectures[host.arch]
  const machineId = readTextIfThere('/etc/machine-id')?.trim()
  return {
    unitName,
    hostName: host.hostname(),
    ...(machineId ? { machineId } : {}),
    bootId: deps.bootId.replaceAll('-', ''),
    kernelRelease: deps.kernelRelease,
    ...(architecture === undefined ? {} : { architecture }),
    osRelease: osRelease(readTextIfThere('/etc/os-release') ?? ''),
    user: {
      name: user?.name ?? String(host.uid),
      uid: host.uid,
      group: users.groupName(host.gid),
      gid: host.gid,
      home,
      shell: user?.shell ?? '/bin/sh',
    },
    directories: {
      runtime: system ? '/run' : (host.env['XDG_RUNTIME_DIR'] ?? '/tmp'),
      state: system ? '/var/lib' : (host.env['XDG_STATE_HOME'] ?? `${home}/.local/state`),
      cache: system ? '/var/cache' : (host.env['XDG_CACHE_HOME'] ?? `${home}/.cache`),
      logs: system ? '/var/log' : (host.env['XDG_STATE_HOME'] ?? `${home}/.local/state/log`),
      configuration: system ? '/etc' : (host.env['XDG_CONFIG_HOME'] ?? `${home}/.config`),
    },
  }
}

function osRelease(text: string): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {}
  for (const line of text.split('\n')) {
    const match = /^([A-Z_]+)=(?:"(.*)"|(.*))$/.exec(line)
    if (match?.[1] !== undefined) fields[match[1]] = match[2] ?? match[3] ?? ''
  }
  return fields
}
