/**
 * Finding the best machine for an instance without looking at all of them.
 *
 * Best is, in this order: the zone with the fewest instances of the unit, on each level from the
 * largest zones down; in it the machine with the fewest; one that Prefer= names; the one with the
 * most room. So the search goes down the tree of zones by counts, and looks at machines only where
 * it arrives. Of zones that are alike, a few are taken at random, the larger ones rather; of a
 * large leaf a few machines, of which the best is about as good as the best of all, and not the
 * same one for each instance of a burst (Mitzenmacher, "The power of two choices").
 *
 * It finds a machine whenever one fits: where the few do not fit, all of the leaf are looked at,
 * and where none of a leaf does, that is a dead end and the next ones are tried, twice as many at
 * once.
 */
import { type Random, randomBelow } from '../base/random.ts'
import type { Board } from './board.ts'
import type { BoardMachine } from './board-machine.ts'
import type { BoardUnit } from './board-unit.ts'
import type { DeadEnds } from './dead-ends.ts'
import { refusal } from './fit.ts'
import { Pool, type PoolNode } from './pool.ts'
import type { Zone } from './zones.ts'

export interface Wish {
  readonly avoid: ReadonlySet<string>
  /** On one of these only. */
  readonly among?: readonly string[] | undefined
  /** Only where the unit has no instance. */
  readonly unusedOnly?: boolean
  /** Stays here unless another place is better by spread. */
  readonly near?: BoardMachine | undefined
  /** What was found with the same or looser wishes, and what this search finds is added. */
  readonly deadEnds: DeadEnds
}

/** A pool of so many machines is small: all of them are looked at. */
const machinesScanned = 64
/** Of more, so many are taken at random until so many of them fit. */
const drawsMax = 16
const fittingMin = 4
/** Zones that are alike and looked at at once, to begin with. */
const zonesAtOnce = 2

export function search(
  board: Board,
  random: Random,
  unit: BoardUnit,
  wish: Wish,
): BoardMachine | undefined {
  return new Search(board, random, unit, wish).run()
}

class Search {
  readonly #board: Board
  readonly #random: Random
  readonly #unit: BoardUnit
  readonly #wish: Wish
  readonly #dead: Set<PoolNode>
  readonly #nearZones: ReadonlySet<Zone>
  #size = 0

  constructor(board: Board, random: Random, unit: BoardUnit, wish: Wish) {
    this.#board = board
    this.#random = random
    this.#unit = unit
    this.#wish = wish
    this.#dead = wish.unusedOnly ? wish.deadEnds.unused : wish.deadEnds.all
    this.#nearZones = new Set(wish.near?.leaf.lineage)
  }

  run(): BoardMachine | undefined {
    const { root } = this.#pool()
    this.#size = root.size
    for (let breadth = zonesAtOnce; ; breadth *= 2) {
      const leaves = this.#leastLeaves(root, breadth)
      if (leaves.length === 0) return undefined
      const best = this.#best(this.#fittingIn(leaves))
      if (best !== undefined) return best
    }
  }

  /** Where few machines come into question, as where With= is: a pool of their own. */
  #pool(): Pool {
    const { pool, rules } = this.#unit
    const { among } = this.#wish
    if (among === undefined && rules.with.length === 0) return pool
    const own = new Pool('', this.#board.zones.root)
    const machines = among === undefined ? this.#withCompanion() : this.#known(among)
    for (const machine of machines) if (pool.has(machine)) own.add(machine)
    return own
  }

  #withCompanion(): ReadonlySet<BoardMachine> {
    const companions = this.#unit.rules.with.map((name) => this.#board.units.get(name))
    const [fewest] = companions.sort((a, b) => (a?.machines ?? 0) - (b?.machines ?? 0))
    return new Set([...(fewest?.slots.values() ?? [])].flat())
  }

  #known(machineIds: readonly string[]): ReadonlySet<BoardMachine> {
    return new Set(machineIds.flatMap((id) => this.#board.machines.get(id) ?? []))
  }

  // ---- zones

  /** Leaves that are no dead ends, all equally good by their counts; none when there are none. */
  #leastLeaves(root: PoolNode, breadth: number): readonly PoolNode[] {
    while (root.size > 0 && !this.#dead.has(root)) {
      let level: readonly PoolNode[] = [root]
      while (level.some(({ zone }) => !zone.isLeaf)) level = this.#leastBelow(level, breadth)
      if (level.length > 0) return level
    }
    return []
  }

  #leastBelow(level: readonly PoolNode[], breadth: number): readonly PoolNode[] {
    let least: PoolNode[] = []
    let leastCount = Number.POSITIVE_INFINITY
    for (const node of level) {
      let isDead = true
      for (const child of node.zone.isLeaf ? [node] : node.children) {
        if (child.size === 0 || this.#dead.has(child)) continue
        isDead = false
        const count = this.#unit.inZone(child.zone)
        if (count > leastCount) continue
        if (count < leastCount) least = []
        leastCount = count
        least.push(child)
      }
      if (isDead) this.#dead.add(node)
    }
    return this.#some(this.#better(least), breadth)
  }

  /** Of zones with equal counts, those that are better for another reason. */
  #better(nodes: readonly PoolNode[]): readonly PoolNode[] {
    const near = nodes.filter(({ zone }) => this.#nearZones.has(zone))
    if (near.length > 0) return near
    const { preferred } = this.#unit
    if (preferred === undefined) return nodes
    const better = nodes.filter(({ zone }) => (preferred.node(zone)?.size ?? 0) > 0)
    return better.length > 0 ? better : nodes
  }

  /** `count` of them, each as likely as it has machines; all where that is no work. */
  #some(nodes: readonly PoolNode[], count: number): readonly PoolNode[] {
    const total = nodes.reduce((sum, { size }) => sum + size, 0)
    if (nodes.length <= count || total <= machinesScanned) return nodes
    const chosen = new Set<PoolNode>()
    let left = total
    while (chosen.size < count) {
      const node = nodeAt(nodes, chosen, randomBelow(this.#random, left))
      if (node === undefined) break
      chosen.add(node)
      left -= node.size
    }
    return [...chosen]
  }

  // ---- machines

  #fittingIn(leaves: readonly PoolNode[]): readonly BoardMachine[] {
    const found = leaves.flatMap((leaf) =>
      this.#isScanned(leaf) ? this.#scan(leaf) : this.#draw(leaf),
    )
    if (found.length > 0) return found
    return leaves.flatMap((leaf) => (this.#isScanned(leaf) ? [] : this.#scan(leaf)))
  }

  /** No work, or a leaf in which machines without an instance are not found by chance. */
  #isScanned({ size, zone }: PoolNode): boolean {
    if (size <= drawsMax || this.#size <= machinesScanned) return true
    return this.#unit.inZone(zone) * 2 >= size
  }

  #scan(leaf: PoolNode): readonly BoardMachine[] {
    const found = leaf.machines.filter((machine) => this.#fits(machine))
    if (found.length === 0) this.#dead.add(leaf)
    return found
  }

  /** Some that fit and have no instance yet: with those, no other one has fewer. */
  #draw(leaf: PoolNode): readonly BoardMachine[] {
    const { near } = this.#wish
    const found = this.#drawFrom(leaf)
    const preferred = this.#unit.preferred?.node(leaf.zone)
    if (preferred !== undefined) found.push(...this.#drawFrom(preferred))
    if (found.length > 0 && near?.leaf === leaf.zone && this.#fits(near)) found.push(near)
    return found
  }

  #drawFrom({ machines }: PoolNode): BoardMachine[] {
    const found: BoardMachine[] = []
    for (let i = 0; i < drawsMax && found.length < fittingMin && machines.length > 0; i++) {
      const machine = machines[randomBelow(this.#random, machines.length)]
      if (machine === undefined || machine.hosted(this.#unit) > 0) continue
      if (this.#fits(machine)) found.push(machine)
    }
    return found
  }

  #fits(machine: BoardMachine): boolean {
    if (this.#wish.unusedOnly && machine.hosted(this.#unit) > 0) return false
    return refusal(this.#board, this.#unit, machine, this.#wish.avoid) === undefined
  }

  #best(machines: readonly BoardMachine[]): BoardMachine | undefined {
    const { near } = this.#wish
    let best: BoardMachine | undefined
    let alike = 0
    for (const machine of machines) {
      const order = best === undefined ? -1 : this.#compare(machine, best)
      if (order < 0) alike = 0
      if (order > 0) continue
      // Of those that are alike, each is as likely as the others.
      alike += 1
      if (randomBelow(this.#random, alike) === 0) best = machine
    }
    if (best === undefined || near === undefined || !machines.includes(near)) return best
    return near.hosted(this.#unit) <= best.hosted(this.#unit) ? near : best
  }

  #compare(a: BoardMachine, b: BoardMachine): number {
    const unit = this.#unit
    return (
      a.hosted(unit) - b.hosted(unit) ||
      Number(unit.prefers(b)) - Number(unit.prefers(a)) ||
      a.score - b.score
    )
  }
}

/** Where the `at`th machine is, of all nodes but `without`. */
function nodeAt(
  nodes: readonly PoolNode[],
  without: ReadonlySet<PoolNode>,
  at: number,
): PoolNode | undefined {
  let left = at
  for (const node of nodes) {
    if (without.has(node)) continue
    if (left < node.size) return node
    left -= node.size
  }
  return undefined
}
