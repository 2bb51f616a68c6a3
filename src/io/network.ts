/** The addresses of this host, as the kernel has them now. */
import { isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { readTextIfThere } from './files.ts'

/**
 * Addresses at which other hosts may reach this one: no loopback, no link-local ones; those of the
 * interface with the default route first, IPv4 before IPv6.
 */
export function globalAddresses(): readonly string[] {
  const first = defaultInterface()
  const found: { readonly address: string; readonly rank: number }[] = []
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    for (const { address, family, internal } of addresses ?? []) {
      const linkLocal = address.startsWith('fe80:') || address.startsWith('169.254.')
      if (internal || linkLocal) continue
      found.push({ address, rank: (name === first ? 0 : 2) + (family === 'IPv4' ? 0 : 1) })
    }
  }
  return found.sort((a, b) => a.rank - b.rank).map(({ address }) => address)
}

/** IPv4 or IPv6. */
export function isIpAddress(text: string): boolean {
  return isIP(text) !== 0
}

/** Every address that this host has, whoever reaches it there. */
export function hostAddresses(): ReadonlySet<string> {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? [])
  return new Set(all.map(({ address }) => address))
}

/** /proc/net/route: the interface of the route to 0.0.0.0/0. */
function defaultInterface(): string | undefined {
  const lines = (readTextIfThere('/proc/net/route') ?? '').split('\n')
  const fields = lines.map((line) => line.split('\t'))
  return fields.find(([, destination, , , , , , mask]) => {
    return destination === '00000000' && mask === '00000000'
  })?.[0]
}
