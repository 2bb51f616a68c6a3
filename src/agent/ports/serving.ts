/**
 * Instances of this machine that answer on a public port: the port of its own that each has,
 * whether it is ready, and its draining before it stops.
 *
 * An instance is ready once it accepts connections or, with Health=, answers well, and this
 * machine's front knows; for a unit of Type=notify not before it has said so. From then on only
 * Health= is asked again: that an instance is gone its keeper knows first, and whoever connects to
 * it next.
 *
 * When the agent dies all of this goes on as it was, in the front. The next agent looks anew: what
 * is ready is found to be so within milliseconds, and what was draining is stopped at once.
 */
import { type Clock, deadline, sleep } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import type { ServedInstance } from '../../cluster/ports/served.ts'
import { type HealthQuestion, listeningAt, unhealthy } from '../../io/probe.ts'
import { Changes } from '../emitter.ts'
import type { PortNumbers } from './port-numbers.ts'
import type { ServedPort } from './served-port.ts'

/** `unready`: not yet. `unhealthy`: it was ready, and does not answer Health= any more. */
export type Readiness = 'unready' | 'ready' | 'unhealthy'

export interface ServingDeps {
  readonly clock: Clock
  readonly numbers: PortNumbers
  /** Resolves when this machine's front knows what `endpoints` says. */
  readonly toldHere: (signal: AbortSignal) => Promise<void>
  /** The same of all fronts, but for those that cannot be told. */
  readonly told: (signal: AbortSignal) => Promise<void>
  /** Connections and requests under way to an instance here. */
  readonly underWay: (instance: string, signal: AbortSignal) => Promise<number>
}

/** An instance, by name. */
export interface ServedHere {
  readonly unit: string
  readonly number: number
}

export interface LocalEndpoint extends ServedHere {
  readonly served: ServedPort
  readonly host: string
  readonly state: ServedInstance['state']
}

interface Entry extends ServedHere {
  readonly served: ServedPort
  readonly changed: () => void
  /** Of the process that is looked at; a restarted one is another. */
  pid: number
  readiness: Readiness
  /** Why it is not ready, for people. */
  why: string
  host: string
  isDraining: boolean
  /** Taken over from an earlier agent: it counts as ready until it is found not to be. */
  isPresumed: boolean
  /** Since it is ready, the front was told of it. */
  isKnown: boolean
  /** Ends the looking. */
  looking: AbortController | undefined
}

export class Serving implements Disposable {
  readonly changes = new Changes()
  readonly #deps: ServingDeps
  readonly #entries = new Map<string, Entry>()
  /** Given away, but not begun with yet. */
  readonly #reserved = new Set<number>()

  constructor(deps: ServingDeps) {
    this.#deps = deps
  }

  /** A free port for an instance that is about to start. */
  async reserve(): Promise<number> {
    const taken = new Set([...this.#entries.values()].map(({ served }) => served.port))
    const port = await this.#deps.numbers.take(taken.union(this.#reserved))
    this.#reserved.add(port)
    return port
  }

  /** The job of that instance has begun, or was taken over. `changed`: its readiness has. */
  begin(
    { unit, number }: ServedHere,
    served: ServedPort,
    changed: () => void,
    isTakenOver = false,
  ): void {
    this.end({ unit, number })
    this.#reserved.delete(served.port)
    this.#entries.set(nameOf({ unit, number }), {
      unit,
      number,
      served,
      changed,
      pid: 0,
      readiness: isTakenOver ? 'ready' : 'unready',
      why: '',
      host: '127.0.0.1',
      isDraining: false,
      isPresumed: isTakenOver,
      isKnown: isTakenOver,
      looking: undefined,
    })
  }

  /** What its keeper says: looked at while it runs, and anew when it was restarted. */
  observe(instance: ServedHere, pid: number, isRunning: boolean): void {
    const entry = this.#entries.get(nameOf(instance))
    if (entry === undefined) return
    const now = isRunning ? pid : 0
    if (now === entry.pid) return
    entry.looking?.abort()
    entry.pid = now
    entry.isPresumed &&= isRunning
    if (!entry.isPresumed) {
      this.#become(entry, 'unready', isRunning ? 'it does not listen yet' : 'it does not run')
    }
    if (!isRunning) return
    entry.looking = new AbortController()
    void this.#look(entry, entry.looking.signal)
  }

  /** Nothing is left of it. */
  end(instance: ServedHere): void {
    const name = nameOf(instance)
    const entry = this.#entries.get(name)
    if (entry === undefined) return
    entry.looking?.abort()
    this.#entries.delete(name)
    this.changes.notify()
  }

  /** Undefined for an instance without a public port. */
  readiness(instance: ServedHere): { readonly is: Readiness; readonly why: string } | undefined {
    const entry = this.#entries.get(nameOf(instance))
    if (entry === undefined) return undefined
    const { readiness, why, isKnown } = entry
    if (readiness === 'ready' && !isKnown) return { is: 'unready', why: 'its port is being opened' }
    return { is: readiness, why }
  }

  /** Its own, `$PORT`. */
  portOf(instance: ServedHere): number | undefined {
    return this.#entries.get(nameOf(instance))?.served.port
  }

  /**
   * Nothing new comes to it from now on. Resolves when nothing is under way to it any more, or
   * Drain= is over, and at once when that cannot be known.
   */
  async drain(instance: ServedHere, signal: AbortSignal): Promise<void> {
    const entry = this.#entries.get(nameOf(instance))
    if (entry === undefined || entry.isDraining || entry.readiness === 'unready') return
    entry.isDraining = true
    this.changes.notify()
    const { clock, told, underWay } = this.#deps
    using limit = deadline(clock, entry.served.terms.drainMs, signal)
    try {
      await told(limit.signal)
      while ((await underWay(nameOf(instance), limit.signal)) > 0) {
        await sleep(clock, drainLookMs, limit.signal)
      }
    } catch {
      // Its time is over, or its front does not answer: nothing is gained by waiting.
    }
  }

  /** In order of unit and number. */
  endpoints(): readonly LocalEndpoint[] {
    const all = [...this.#entries.values()].map(
      ({ unit, number, served, host, readiness, isDraining }): LocalEndpoint => {
        const ready = readiness === 'ready' ? 'ready' : 'starting'
        return { unit, number, served, host, state: isDraining ? 'draining' : ready }
      },
    )
    return all.sort((a, b) => (a.unit === b.unit ? a.number - b.number : a.unit < b.unit ? -1 : 1))
  }

  [Symbol.dispose](): void {
    for (const { looking } of this.#entries.values()) looking?.abort()
    this.#entries.clear()
  }

  async #look(entry: Entry, signal: AbortSignal): Promise<void> {
    const { clock } = this.#deps
    let failures = 0
    let pauseMs: number = firstLookMs
    while (!signal.aborted) {
      const why = await this.#ask(entry, signal)
      if (signal.aborted) return
      failures = why === undefined ? 0 : failures + 1
      if (why === undefined) this.#become(entry, 'ready', '')
      else if (entry.readiness === 'unready' || entry.isPresumed) {
        this.#become(entry, 'unready', why)
      } else if (failures >= failuresMax) this.#become(entry, 'unhealthy', why)
      entry.isPresumed = false
      if (why === undefined && entry.served.terms.health === undefined) return
      if (entry.readiness === 'unready') pauseMs = Math.min(pauseMs * 1.5, lookMsMax)
      else pauseMs = limits.healthIntervalMs
      await sleep(clock, pauseMs, signal).catch(() => {})
    }
  }

  /** Why it is not ready, or undefined. */
  async #ask(entry: Entry, signal: AbortSignal): Promise<string | undefined> {
    const { port, terms } = entry.served
    using limit = deadline(this.#deps.clock, limits.healthTimeoutMs, signal)
    const host = await listeningAt(port, limit.signal)
    if (host === undefined) return `it does not listen on port ${port} ($PORT)`
    entry.host = host
    if (terms.health === undefined) return undefined
    const name = terms.hosts.find((each) => !each.startsWith('*')) ?? 'localhost'
    const question: HealthQuestion = { host, port, path: terms.health, name }
    return unhealthy(question, limit.signal)
  }

  #become(entry: Entry, readiness: Readiness, why: string): void {
    const isNew = entry.readiness !== readiness
    entry.readiness = readiness
    entry.why = why
    if (!isNew) return
    this.changes.notify()
    if (readiness !== 'ready') entry.isKnown = false
    else void this.#tell(entry)
    entry.changed()
  }

  /** A front that cannot be told says so itself; the instance is ready all the same. */
  async #tell(entry: Entry): Promise<void> {
    using limit = deadline(this.#deps.clock, tellMs)
    await this.#deps.toldHere(limit.signal).catch(() => {})
    if (entry.readiness !== 'ready') return
    entry.isKnown = true
    entry.changed()
  }
}

const firstLookMs = 10
const lookMsMax = 500
const drainLookMs = 20
const tellMs = 3_000
/** So often in a row an instance does not answer well until it gets no more requests. */
const failuresMax = 3

function nameOf({ unit, number }: ServedHere): string {
  return `${unit}/${number}`
}
