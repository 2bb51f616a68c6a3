/**
 * Where this machine listens, what others are told, whose etcd is used and how long a silent one is
 * waited for: given with `holon up`, kept for the next time.
 */
import { join } from 'node:path'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { readTextIfThere } from '../io/files.ts'
import { writeDurablySync } from '../io/state-files.ts'
import { parseTimeSpanMs } from '../unit/time-span.ts'
import { isJsonObject, stringField } from './fields.ts'
import { type Address, formatAddress, parseAddress } from './identity/address.ts'
import { defaultPort } from './identity/protocols.ts'

export interface PortSettings {
  /** "10.77.0.2:4656"; default: port 4656 of all addresses. */
  readonly listen?: string | undefined
  /** What others are told. Default: the addresses that this host has. */
  readonly advertise?: string | undefined
  /** "etcd://HOST:PORT": an engine of the state that somebody else runs. */
  readonly state?: string | undefined
  /** "12h": silence of a machine that keeps the state after which another takes its place. */
  readonly stateSilence?: string | undefined
}

/** What was given now, else what was given before. Throws `invalid_argument`. */
export function settlePort(stateDir: string, given: PortSettings): PortSettings {
  const path = join(stateDir, 'port.json')
  const before = read(path)
  const settings: PortSettings = {
    listen: given.listen || before.listen,
    advertise: given.advertise || before.advertise,
    state: given.state || before.state,
    stateSilence: given.stateSilence || before.stateSilence,
  }
  stateSilenceMs(settings)
  listenAddress(settings)
  if (settings.advertise !== undefined) parseAddress(settings.advertise)
  if (JSON.stringify(settings) !== JSON.stringify(before)) {
    writeDurablySync(path, `${JSON.stringify(settings)}\n`)
  }
  return settings
}

/** Without a host: all addresses. */
export function listenAddress({ listen }: PortSettings): {
  readonly host?: string
  readonly port: number
} {
  if (listen === undefined) return { port: defaultPort }
  if (/^\d+$/.test(listen)) return { port: Number(listen) }
  return parseAddress(listen)
}

export function stateSilenceMs({ stateSilence }: PortSettings): number {
  if (stateSilence === undefined) return limits.stateMemberSilentMs
  const ms = parseTimeSpanMs(stateSilence)
  // Less is no silence yet, but the time that a look takes.
  if (ms !== undefined && ms >= 2 * limits.beatSilenceMs) return ms
  throw new HolonError(
    'invalid_argument',
    `${JSON.stringify(stateSilence)} is no time to wait for a silent machine: say 10m or 12h, ` +
      `at least ${(2 * limits.beatSilenceMs) / 1000}s`,
  )
}

/** Where etcd listens for its peers: the next port. */
export function listenPeer(settings: PortSettings): string {
  const { host = '0.0.0.0', port } = listenAddress(settings)
  return formatAddress({ host, port: port + 1 })
}

/** Where a machine's etcd is reached by its peers, by the address of its agent. */
export function peerUrlOf(address: string): string {
  const { host, port }: Address = parseAddress(address)
  return `https://${formatAddress({ host, port: port + 1 })}`
}

function read(path: string): PortSettings {
  const text = readTextIfThere(path)
  if (text === undefined) return {}
  try {
    const value: unknown = JSON.parse(text)
    if (isJsonObject(value)) {
      return {
        listen: stringField(value, 'listen'),
        advertise: stringField(value, 'advertise'),
        state: stringField(value, 'state'),
        stateSilence: stringField(value, 'stateSilence'),
      }
    }
  } catch {
    // Said below.
  }
  throw new HolonError('internal', `"${path}" is damaged; remove it and give the options again`)
}

/** Where a machine's front listens for those of others, by the machine's own port. */
export function frontPortOf(port: number): number {
  return port === 0 ? 0 : port + frontPortAbove
}

const frontPortAbove = 4
