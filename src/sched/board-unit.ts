/** One unit on the board: its rules, made ready for use, and where its instances are. */
import { globMatches } from '../base/glob.ts'
import type { PlacementRules } from '../unit/placement-rules.ts'
import type { BoardMachine } from './board-machine.ts'
import { DeadEnds } from './dead-ends.ts'
import type { Pool } from './pool.ts'
import { firstUnmet } from './require.ts'
import type { Zone } from './zones.ts'

/** Machines where a unit cannot be for a reason that is found out there, and the reason. */
export type Unfit = ReadonlyMap<string, string>

export class BoardUnit {
  readonly name: string
  readonly rules: PlacementRules
  readonly unfit: Unfit
  /** Machines that meet Require=, and those that meet Prefer= too. */
  readonly pool: Pool
  readonly preferred: Pool | undefined
  /** Machines by slot: none where its machine is not in the fleet, two while it moves. */
  readonly slots = new Map<number, BoardMachine[]>()
  /** Machines with an instance, without those that are leaving. */
  machines = 0
  readonly deadEnds = new DeadEnds()
  /** Instances by zone, none of them 0; without those on machines that are leaving. */
  readonly #zones = new Map<Zone, number>()
  readonly #apartNames: ReadonlySet<string>
  readonly #apartPatterns: readonly string[]
  /** Of names that were asked for: matching takes much longer than all else here. */
  readonly #apartMatches = new Map<string, boolean>()

  constructor(
    name: string,
    rules: PlacementRules,
    unfit: Unfit,
    pools: { readonly pool: Pool; readonly preferred: Pool | undefined },
  ) {
    this.name = name
    this.rules = rules
    this.unfit = unfit
    this.pool = pools.pool
    this.preferred = pools.preferred
    const isName = (pattern: string) => /^[\w:.@-]+$/.test(pattern)
    this.#apartNames = new Set(rules.apart.filter(isName))
    this.#apartPatterns = rules.apart.filter((pattern) => !isName(pattern))
  }

  inZone(zone: Zone): number {
    return this.#zones.get(zone) ?? 0
  }

  /** One instance more, or one fewer. */
  count(machine: BoardMachine, by: 1 | -1): void {
    machine.count(this, by)
    if (machine.isLeaving) return
    for (const zone of machine.leaf.lineage) {
      const count = this.inZone(zone) + by
      if (count === 0) this.#zones.delete(zone)
      else this.#zones.set(zone, count)
    }
    const hosted = machine.hosted(this)
    if (by === 1 && hosted === 1) this.machines += 1
    if (by === -1 && hosted === 0) this.machines -= 1
  }

  /** Whether Apart= of this one names the other. */
  shuns(name: string): boolean {
    if (this.rules.apart.length === 0) return false
    return this.#apartNames.has(name) || this.#matchesApart(name)
  }

  #matchesApart(name: string): boolean {
    if (this.#apartPatterns.length === 0) return false
    const known = this.#apartMatches.get(name)
    if (known !== undefined) return known
    const matches = this.#apartPatterns.some((pattern) => globMatches(pattern, name))
    this.#apartMatches.set(name, matches)
    return matches
  }

  prefers(machine: BoardMachine): boolean {
    const { preferred } = this
    if (preferred === undefined || !preferred.has(machine)) return false
    return firstUnmet(preferred.momentary, machine.facts) === undefined
  }
}
