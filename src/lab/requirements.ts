/** What a host must have for a lab; what lacks is said all at once, with how to get it. */
import { HolonError } from '../base/errors.ts'
import { findTool } from '../io/command.ts'
import type { Host } from '../io/host.ts'

interface Tool {
  readonly names: readonly string[]
  readonly package: string
}

const tools: readonly Tool[] = [
  { names: ['ip'], package: 'iproute2' },
  { names: ['unshare', 'nsenter'], package: 'util-linux' },
  { names: ['mount', 'umount'], package: 'mount' },
]

const packetFilter: readonly Tool[] = [
  { names: ['nft'], package: 'nftables' },
  { names: ['iptables-restore', 'ip6tables-restore'], package: 'iptables' },
]

/** `permission_denied` without root, `unsupported` without a tool. */
export function requireLab(host: Host): void {
  if (host.uid !== 0) {
    throw new HolonError(
      'permission_denied',
      'a lab needs root: it makes Linux namespaces, network links and control groups; ' +
        'use sudo, or a virtual machine where you are root',
    )
  }
  refuse(missing(host, tools))
}

/** For cuts and loss: one of the packet filters. */
export function requirePacketFilter(host: Host): void {
  const [nft, iptables] = packetFilter.map((tool) => missing(host, [tool]))
  if (nft?.length === 0 || iptables?.length === 0) return
  refuse(nft ?? [])
}

function missing(host: Host, wanted: readonly Tool[]): readonly { name: string; from: string }[] {
  return wanted.flatMap((tool) =>
    tool.names
      .filter((name) => findTool(name, host.env['PATH']) === undefined)
      .map((name) => ({ name, from: tool.package })),
  )
}

function refuse(lacking: readonly { name: string; from: string }[]): void {
  if (lacking.length === 0) return
  const names = lacking.map(({ name }) => name).join(', ')
  const packages = [...new Set(lacking.map(({ from }) => from))].join(' ')
  throw new HolonError(
    'unsupported',
    `a lab needs ${names}, not found here; on Debian and Ubuntu: apt install ${packages}; ` +
      `on Fedora and its like: dnf install ${packages.replace('iproute2', 'iproute')}`,
  )
}
