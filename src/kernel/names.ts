/**
 * Names, as doors see them: the values and the interface. Common rules are in kernel.ts.
 *
 * A name is written as in DNS, with or without the ending ".holon":
 *
 *     web            a unit, "web.service": all of its instances
 *     1.web          one instance of it; "web.service/1" is the same
 *     n1.machines    a machine
 *     10.77.0.2      the machine that has this address
 *
 * Upper and lower case are the same. Characters of a unit's name that host names do not have (`_`,
 * `.`, `:`, `\`) may be written as "-".
 *
 * Consistency: an answer is made of what this machine knows when it is asked. Nobody is asked about
 * units with a public port: their machines tell all others as it changes. Of other units, who has
 * an instance is followed in the fleet's state, and how that is was asked of its machine, at most
 * limits.namesFreshMs ago. A unit that belongs to one machine alone is a name on that machine.
 *
 * With a partition each side answers with all places that it knows: those on machines that it does
 * not reach are `unknown` there, and the machines in `missing`. While the fleet's state is away the
 * last known places are given, with `knownAtMs` of the moment when they were last confirmed.
 */
import type { CallOptions, MissingMachine } from './types.ts'

/**
 * `ready`: whoever connects is answered. `starting`: not yet. `draining`: it finishes what it has.
 * `unknown`: its machine does not say.
 */
export type PlaceState = 'ready' | 'starting' | 'draining' | 'unknown'

/** Where something is: an instance, or a machine. */
export interface NamedPlace {
  /** Its own name in full: "1.web.holon", "n1.machines.holon". */
  readonly name: string
  /** "web.service"; absent for a machine. */
  readonly unit?: string
  readonly instance?: number
  readonly machine: string
  /** IP addresses of the machine, best first; of a machine on its own, the loopback's. */
  readonly addresses: readonly string[]
  /** The unit's public port, where each of these addresses answers; absent for others. */
  readonly port?: number
  readonly state: PlaceState
  /** On the machine that answers. */
  readonly isLocal: boolean
}

export interface Resolution {
  /** What was found, in full: "web.holon". */
  readonly name: string
  readonly kind: 'unit' | 'instance' | 'machine'
  /** Those here first, then by instance and machine. Empty for a unit that has no instance now. */
  readonly places: readonly NamedPlace[]
  /** When this was true as far as could be known: now, or when the state was last heard. */
  readonly knownAtMs: number
  /** The state does not answer: places may be elsewhere by now. */
  readonly isStale: boolean
  /** Machines with a place that do not answer. */
  readonly missing: readonly MissingMachine[]
}

/** What became of a name. */
export interface NameChange {
  /** Absent while there is no such name. */
  readonly resolution?: Resolution
  /** Against the answer before, by name and machine; all of it at first. */
  readonly added: readonly NamedPlace[]
  /** As they were. */
  readonly removed: readonly NamedPlace[]
  /** As they are now. */
  readonly changed: readonly NamedPlace[]
}

/** A name that somebody looks at. What happens between two questions is in the next answer. */
export interface NameWatch extends Disposable {
  /**
   * What the name means, at once; then, at each next call, when that has changed, or as it was,
   * with no changes, after limits.namePollMs. Changes that cancel each other out may not show. One
   * call at a time. Not to be repeated: after a failure the watch begins anew.
   */
  next(options: CallOptions): Promise<NameChange>
}
