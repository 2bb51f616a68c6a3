/** What specifiers of units become on this machine. */
import { readTextIfThere } from '../../io/files.ts'
import type { Host } from '../../io/host.ts'
import type { Users } from '../../io/users.ts'
import type { SpecifierContext } from '../../unit/specifiers.ts'

export interface SpecifierDeps {
  readonly host: Host
  readonly users: Users
  readonly bootId: string
  readonly kernelRelease: string
}

const architectures: Readonly<Record<string, string>> = { x64: 'x86-64', arm64: 'arm64' }

export function specifierContext(deps: SpecifierDeps, unitName: string): SpecifierContext {
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
