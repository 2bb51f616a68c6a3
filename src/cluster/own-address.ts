/**
 * Where this machine is found. Its address may change at will and no command is needed after: what
 * State says of it is compared with what this host has, again and again, and put right.
 */
import { type Clock, deadline, sleep } from '../base/clock.ts'
import { asHolonError } from '../base/errors.ts'
import type { Random } from '../base/random.ts'
import { version } from '../base/version.ts'
import { globalAddresses, hostAddresses } from '../io/network.ts'
import { update } from '../state/commit.ts'
import type { State } from '../state/port.ts'
import { formatAddress, parseAddress } from './identity/address.ts'
import { machineSchema } from './join/enroll.ts'
import { type MachineRecord, machinePrefix, parseMachineRecord } from './members.ts'
import { listenAddress, type PortSettings } from './port-settings.ts'

export interface OwnAddressDeps {
  readonly clock: Clock
  readonly random: Random
  readonly state: State
  readonly settings: PortSettings
  /** The port that this machine listens on. */
  readonly port: () => number
  /** What State says of this machine; undefined while that was not heard. */
  readonly record: () => MachineRecord | undefined
  /** Told of addresses that this host has no longer. */
  readonly onGone: (hosts: ReadonlySet<string>) => void
  readonly report: (message: string) => void
}

const lookMs = 1_000
/** Not longer, since the address may change again meanwhile. */
const announceTimeoutMs = 5_000

/** Where a machine with these settings is found, best first, when it listens on `port`. */
export function addressesOf(settings: PortSettings, port: number): readonly string[] {
  if (settings.advertise !== undefined) return [settings.advertise]
  const { host } = listenAddress(settings)
  const anywhere = host === undefined || host === '0.0.0.0' || host === '::'
  const hosts = anywhere ? globalAddresses() : [host]
  return hosts.map((each) => formatAddress({ host: each, port }))
}

export class OwnAddress {
  readonly #deps: OwnAddressDeps

  constructor(deps: OwnAddressDeps) {
    this.#deps = deps
  }

  /** Where others should find this machine, as it is now. */
  now(): readonly string[] {
    return addressesOf(this.#deps.settings, this.#deps.port())
  }

  /** Until the signal aborts. */
  async keep(signal: AbortSignal): Promise<void> {
    const { clock, report, onGone } = this.#deps
    let said = ''
    let before = hostAddresses()
    /** Of which is known that it is right while the addresses stay the same. */
    let right: MachineRecord | undefined
    while (!signal.aborted) {
      const now = hostAddresses()
      const isSame = now.size === before.size && now.isSubsetOf(before)
      if (!isSame) onGone(before.difference(now))
      before = now
      try {
        using limit = deadline(clock, announceTimeoutMs, signal)
        const record = this.#deps.record()
        if (!isSame || record !== right) await this.#announce(limit.signal)
        right = record
        said = ''
      } catch (error) {
        if (signal.aborted) return
        right = undefined
        const text = asHolonError(error, 'say where this machine is').message
        if (text !== said) report(text)
        said = text
      }
      await sleep(clock, lookMs, signal).catch(() => {})
    }
  }

  async #announce(signal: AbortSignal): Promise<void> {
    const { clock, random, state } = this.#deps
    const record = this.#deps.record()
    if (record === undefined) return
    const addresses = this.now()
    const kept = record.addresses.filter((address) => this.#isHere(address, addresses))
    if (kept.length > 0 && record.version === version) return
    if (addresses.length === 0) return
    const next = kept.length > 0 ? record.addresses : addresses
    await update(
      { clock, random },
      state,
      `${machinePrefix}${record.machineId}`,
      (entry) => {
        // Not to bring back a record that somebody has taken away.
        if (entry === undefined) return { kind: 'keep' }
        const value = { ...parseMachineRecord(entry.value), addresses: next, version }
        return { kind: 'put', value, schema: machineSchema }
      },
      { signal, writer: `agent ${record.name}` },
    )
  }

  #isHere(address: string, own: readonly string[]): boolean {
    if (own.includes(address)) return true
    // A name, or an address that only the way here knows (behind NAT): port and advertise decide.
    const { host, port } = parseAddress(address)
    return port === this.#deps.port() && !/^[\d.]+$|:/.test(host)
  }
}
