/**
 * Public ports in a fleet: what other machines serve, asked of each of them, and what this one
 * does, for them.
 *
 * Which instance is ready its own machine says; nobody else's opinion is needed, nor State, nor a
 * leader. While a machine does not answer, its instances stay known as they were: whether they can
 * be reached shows whenever somebody tries. They are forgotten when State gives them to another.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { State } from '../../state/port.ts'
import { formatAddress, parseAddress } from '../identity/address.ts'
import type { Identity } from '../identity/identity.ts'
import type { Links } from '../links.ts'
import type { MachineRecord } from '../members.ts'
import { PortFeed } from './port-feed.ts'
import { PortPlaces } from './port-places.ts'
import type { FleetFronts, LocalPorts, OtherPorts, PortReport } from './served.ts'

export interface FleetPortsDeps {
  readonly clock: Clock
  readonly state: State
  readonly links: Links
  readonly local: LocalPorts
  readonly identity: Identity
  readonly machines: () => readonly MachineRecord[]
  readonly report: (message: string) => void
}

export interface FleetPortsOptions {
  readonly identityDir: string
  /** Where it remembers which machines serve something. */
  readonly dir: string
  /** Where this machine's front should listen for others. */
  readonly frontPort: () => number
}

const firstRetryMs = 100
const retryMsMax = 2_000
/** This machine's front takes up what another machine says before that is asked again. */
const applyMs = 1_000
/** Who has not answered by then does not keep the others waiting. */
const firstAnswersMs = 1_000

export class FleetPorts implements OtherPorts, Disposable {
  readonly feed: PortFeed
  readonly #deps: FleetPortsDeps
  readonly #options: FleetPortsOptions
  readonly #places: PortPlaces
  readonly #reports = new Map<string, PortReport>()
  readonly #followed = new Map<string, AbortController>()
  readonly #listeners = new Set<() => void>()
  #isKnown = false
  #joined: Disposable | undefined
  readonly #life = new AbortController()

  constructor(deps: FleetPortsDeps, options: FleetPortsOptions) {
    const { clock, state, local, report } = deps
    this.#deps = deps
    this.#options = options
    this.feed = new PortFeed(clock, local)
    const changed = () => this.#look()
    this.#places = new PortPlaces({ clock, state, report, changed }, options.dir)
  }

  start(): void {
    this.#look()
    this.#places.start()
    this.#joined = this.#deps.local.join(this)
    void sleep(this.#deps.clock, firstAnswersMs, this.#life.signal).then(
      () => this.#know(),
      () => {},
    )
  }

  [Symbol.dispose](): void {
    this.#life.abort()
    for (const following of this.#followed.values()) following.abort()
    this.#joined?.[Symbol.dispose]()
    this.#places[Symbol.dispose]()
    this.feed[Symbol.dispose]()
  }

  reports(): ReadonlyMap<string, PortReport> | undefined {
    return this.#isKnown ? this.#reports : undefined
  }

  fleet(): FleetFronts {
    const { identity, machines } = this.#deps
    const { identityDir, frontPort } = this.#options
    return {
      identityDir,
      certificate: identity.certPem,
      port: frontPort(),
      machines: machines()
        .filter(({ machineId }) => machineId !== identity.machineId)
        .map((machine) => this.#front(machine)),
    }
  }

  onChange(changed: () => void): Disposable {
    this.#listeners.add(changed)
    return { [Symbol.dispose]: () => this.#listeners.delete(changed) }
  }

  heard(signal: AbortSignal): Promise<void> {
    return this.feed.heard(signal)
  }

  /** Machines came, went, or have other addresses. */
  machinesChanged(): void {
    const present = new Set(this.#deps.machines().map(({ machineId }) => machineId))
    for (const machineId of this.#reports.keys()) {
      if (!present.has(machineId)) this.#reports.delete(machineId)
    }
    this.#look()
    this.#notify()
  }

  #front({ machineId, name, addresses }: MachineRecord): FleetFronts['machines'][number] {
    const port = this.#reports.get(machineId)?.frontPort ?? 0
    if (port === 0) return { machineId, name, addresses: [] }
    const at = addresses.map((address) => formatAddress({ ...parseAddress(address), port }))
    return { machineId, name, addresses: at }
  }

  /** Follows exactly those that serve something. */
  #look(): void {
    const { identity, machines } = this.#deps
    const serving = this.#places.machines()
    const present = machines().filter(({ machineId }) => serving.has(machineId))
    const wanted = new Set(present.map(({ machineId }) => machineId))
    wanted.delete(identity.machineId)
    for (const [machineId, following] of this.#followed) {
      if (wanted.has(machineId)) continue
      following.abort()
      this.#followed.delete(machineId)
      if (this.#reports.delete(machineId)) this.#notify()
    }
    for (const machineId of wanted) {
      if (this.#followed.has(machineId)) continue
      const following = new AbortController()
      this.#followed.set(machineId, following)
      void this.#follow(machineId, following.signal)
    }
    if (wanted.size === 0) this.#know()
  }

  async #follow(machineId: string, signal: AbortSignal): Promise<void> {
    const { clock, links, local } = this.#deps
    let after = 0
    let retryMs = firstRetryMs
    while (!signal.aborted) {
      try {
        using limit = deadline(clock, limits.portPollMs + limits.dialTimeoutMs, signal)
        const peer = await links.peer(machineId, limit.signal)
        const report = await peer.ports(after, limit)
        retryMs = firstRetryMs
        if (signal.aborted) return
        if (report.number === after) continue
        this.#reports.set(machineId, report)
        this.#notify()
        if ([...this.#followed.keys()].every((id) => this.#reports.has(id))) this.#know()
        // What it says next is asked when this has come to where it matters.
        using apply = deadline(clock, applyMs, signal)
        await local.applied(apply.signal).catch(() => {})
        after = report.number
      } catch {
        await sleep(clock, retryMs, signal).catch(() => {})
        retryMs = Math.min(2 * retryMs, retryMsMax)
      }
    }
  }

  #know(): void {
    if (this.#isKnown) return
    this.#isKnown = true
    this.#notify()
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener()
  }
}
