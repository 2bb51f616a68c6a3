/**
 * Zones as a tree: "eu/paris/rack3" lies in "eu/paris", that in "eu", that in the root. The
 * machines that are in a zone, and in no smaller one, are together in a leaf of it, so that
 * machines are in leaves only. The same path gives the same object, so that zones can be keys.
 */

export interface Zone {
  /** "eu/paris"; "" for the root; a leaf's ends in "/". */
  readonly path: string
  readonly parent: Zone | undefined
  /** What it lies in, the largest first, and itself last; without the root. */
  readonly lineage: readonly Zone[]
  readonly isLeaf: boolean
}

export class Zones {
  readonly root: Zone = { path: '', parent: undefined, lineage: [], isLeaf: false }
  readonly #byPath = new Map<string, Zone>()

  /** The leaf of the zone that a machine names; "" is the root. */
  leafOf(path: string): Zone {
    let zone = this.root
    for (const name of path.split('/').filter((each) => each !== '')) {
      zone = this.#zone(zone === this.root ? name : `${zone.path}/${name}`, zone, false)
    }
    return this.#zone(`${zone.path}/`, zone, true)
  }

  #zone(path: string, parent: Zone, isLeaf: boolean): Zone {
    const known = this.#byPath.get(path)
    if (known !== undefined) return known
    const lineage: Zone[] = [...parent.lineage]
    const zone: Zone = { path, parent, lineage, isLeaf }
    lineage.push(zone)
    this.#byPath.set(path, zone)
    return zone
  }
}

/** What people call it: a leaf by its zone, the root "the fleet". */
export function zoneName({ path }: Zone): string {
  return path.replace(/\/$/, '') || 'the fleet'
}
