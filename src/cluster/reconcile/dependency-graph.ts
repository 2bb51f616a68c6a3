/** Which units of the fleet name which others, and how, looked up from either side. */
import type { DependencyDirective, UnitDependency } from '../../unit/service-unit.ts'

type Named = Pick<UnitDependency, 'directive' | 'unit'>
type Directives = ReadonlySet<DependencyDirective>

const none: ReadonlyMap<string, Directives> = new Map()

export class DependencyGraph {
  readonly #names = new Map<string, ReadonlyMap<string, Directives>>()
  readonly #namedBy = new Map<string, Map<string, Directives>>()

  /** What a unit says of others, in place of what it said before; undefined: nothing. */
  set(unit: string, dependencies: readonly Named[] | undefined): void {
    for (const other of this.#named(unit).keys()) this.#namedBy.get(other)?.delete(unit)
    const named = new Map<string, Set<DependencyDirective>>()
    for (const { directive, unit: other } of dependencies ?? []) {
      if (other === unit) continue
      named.set(other, (named.get(other) ?? new Set()).add(directive))
    }
    if (named.size === 0) this.#names.delete(unit)
    else this.#names.set(unit, named)
    for (const [other, directives] of named) {
      const by = this.#namedBy.get(other) ?? new Map<string, Directives>()
      this.#namedBy.set(other, by.set(unit, directives))
    }
  }

  /** Units that it names by one of these, by name. */
  names(unit: string, ...directives: readonly DependencyDirective[]): readonly string[] {
    return pick(this.#named(unit), directives)
  }

  /** Units that name it by one of these, by name. */
  namedBy(unit: string, ...directives: readonly DependencyDirective[]): readonly string[] {
    return pick(this.#namedBy.get(unit) ?? none, directives)
  }

  /** By which of its lines it names the other: "Requires=". */
  line(unit: string, other: string, ...directives: readonly DependencyDirective[]): string {
    const said = this.#named(unit).get(other)
    return `${directives.find((each) => said?.has(each)) ?? directives[0]}=`
  }

  /** Units that are to be up before it is started, whichever of the two says so. */
  before(unit: string): readonly string[] {
    return merged(this.names(unit, 'After'), this.namedBy(unit, 'Before'))
  }

  /** Units that are started after it, and stopped before it. */
  after(unit: string): readonly string[] {
    return merged(this.namedBy(unit, 'After'), this.names(unit, 'Before'))
  }

  /** Units that say something of it, or of which it does. */
  neighbours(unit: string): readonly string[] {
    return merged([...this.#named(unit).keys()], [...(this.#namedBy.get(unit)?.keys() ?? [])])
  }

  /**
   * Units that wait for each other in a circle, from this one to itself, each to be started before
   * the next; undefined when there is no such circle. `counts`: only those are looked at.
   */
  cycle(
    unit: string,
    counts: (unit: string) => boolean = () => true,
  ): readonly string[] | undefined {
    const seen = new Set<string>()
    // By breadth, so that the shortest one is told.
    let paths: readonly (readonly string[])[] = [[unit]]
    while (paths.length > 0) {
      const longer: (readonly string[])[] = []
      for (const path of paths) {
        for (const next of this.after(path.at(-1) ?? unit)) {
          if (next === unit) return [...path, unit]
          if (seen.has(next) || !counts(next)) continue
          seen.add(next)
          longer.push([...path, next])
        }
      }
      paths = longer
    }
    return undefined
  }

  #named(unit: string): ReadonlyMap<string, Directives> {
    return this.#names.get(unit) ?? none
  }
}

function pick(
  units: ReadonlyMap<string, Directives>,
  directives: readonly DependencyDirective[],
): readonly string[] {
  const found: string[] = []
  for (const [unit, said] of units) if (directives.some((each) => said.has(each))) found.push(unit)
  return found.sort()
}

function merged(some: readonly string[], others: readonly string[]): readonly string[] {
  if (others.length === 0) return some
  return [...new Set([...some, ...others])].sort()
}
