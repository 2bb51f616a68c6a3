/**
 * Where a machine answers questions of DNS, and who is asked what it does not know: given with
 * `holon up`, kept for the next time.
 */
import { HolonError } from '../../base/errors.ts'
import { ensureDir, joinPath, readTextIfThere, writeTextDurably } from '../../io/files.ts'
import { isIpAddress } from '../../io/network.ts'
import type { Directories } from '../../io/paths.ts'
import { formatPlace, type TcpPlace } from '../../io/tcp.ts'

/** As they were given. */
export interface GivenDnsSettings {
  /** "127.0.0.1:4653", or "off". */
  readonly listen?: string | undefined
  /** "192.0.2.1,192.0.2.2:5353", or "off": nothing is passed on. */
  readonly forward?: string | undefined
}

export interface DnsSettings {
  /** Undefined: it does not listen. */
  readonly listen: TcpPlace | undefined
  /** Asked one after the other. */
  readonly forward: readonly TcpPlace[]
}

const defaultPort = 4653
const forwardPort = 53
const forwardsMax = 4

/**
 * What was given now, else before. By default the agent of the whole machine listens on its
 * loopback, others nowhere: the port is one machine's. Throws `invalid_argument`.
 */
export function settleDns({ scope, stateDir }: Directories, given: GivenDnsSettings): DnsSettings {
  const path = joinPath(stateDir, 'dns.json')
  const before = read(path)
  const settings = {
    listen: given.listen || before.listen,
    forward: given.forward || before.forward,
  }
  const listen = settings.listen ?? (scope === 'system' ? `127.0.0.1:${defaultPort}` : 'off')
  const forward = settings.forward ?? 'off'
  const parsed: DnsSettings = {
    listen: listen === 'off' ? undefined : parsePlace('--dns', listen, defaultPort),
    forward:
      forward === 'off'
        ? []
        : forward.split(',').map((each) => parsePlace('--dns-forward', each, forwardPort)),
  }
  if (parsed.forward.length > forwardsMax) {
    throw new HolonError('invalid_argument', `--dns-forward: more than ${forwardsMax} servers`)
  }
  const own = parsed.listen === undefined ? '' : formatPlace(parsed.listen)
  if (parsed.forward.some((place) => formatPlace(place) === own)) {
    throw new HolonError('invalid_argument', `--dns-forward: ${own} is this very server`)
  }
  if (JSON.stringify(settings) !== JSON.stringify(before)) {
    ensureDir(stateDir, 0o711)
    writeTextDurably(path, `${JSON.stringify(settings)}\n`, 0o600)
  }
  return parsed
}

/** "127.0.0.1", "127.0.0.1:53", "::1", "[::1]:53". */
function parsePlace(option: string, text: string, port: number): TcpPlace {
  const [, bracketed, plain, given] = /^(?:\[(.+)\]|([^:]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = bracketed ?? plain ?? text
  const at = given === undefined ? port : Number(given)
  if (isIpAddress(host) && at >= 1 && at <= 65_535) return { host, port: at }
  throw new HolonError(
    'invalid_argument',
    `${option}: ${JSON.stringify(text)} is no address; write "127.0.0.1:${port}", or "off"`,
  )
}

function read(path: string): GivenDnsSettings {
  const text = readTextIfThere(path)
  if (text === undefined) return {}
  try {
    const { listen, forward } = JSON.parse(text) as Record<string, unknown>
    return {
      listen: typeof listen === 'string' ? listen : undefined,
      forward: typeof forward === 'string' ? forward : undefined,
    }
  } catch (cause) {
    throw new HolonError('internal', `"${path}" is damaged: ${String(cause)}; remove it`, { cause })
  }
}
