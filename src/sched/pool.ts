/**
 * The machines where something may be placed that meet one text of requirements, by zone: what a
 * search goes through instead of all machines. Units with the same text share one. Requirements of
 * the moment (load, free memory) are not part of it: those are judged when a machine is looked at.
 */
import type { BoardMachine } from './board-machine.ts'
import { firstUnmet, isMomentary, parseRequire, type Requirement } from './require.ts'
import type { Zone } from './zones.ts'

export interface PoolNode {
  readonly zone: Zone
  readonly parent: PoolNode | undefined
  readonly children: PoolNode[]
  /** Of a leaf, in no order; empty for the others. */
  readonly machines: BoardMachine[]
  /** Machines here and below. */
  size: number
}

export class Pool {
  readonly text: string
  readonly root: PoolNode
  /** All of them, and those that are true at one moment and not at the next. */
  readonly requirements: readonly Requirement[]
  readonly momentary: readonly Requirement[]
  /** How many units hold it. */
  users = 0
  readonly #nodes = new Map<Zone, PoolNode>()
  /** Where each stands in its leaf. */
  readonly #index = new Map<BoardMachine, number>()
  readonly #lasting: readonly Requirement[]

  constructor(text: string, root: Zone) {
    this.text = text
    this.requirements = parseRequire(text)
    this.momentary = this.requirements.filter(isMomentary)
    this.#lasting = this.requirements.filter((requirement) => !isMomentary(requirement))
    this.root = { zone: root, parent: undefined, children: [], machines: [], size: 0 }
    this.#nodes.set(root, this.root)
  }

  /** Takes it in if it is open and of the nature that is required. */
  admit(machine: BoardMachine): void {
    if (machine.isOpen && firstUnmet(this.#lasting, machine.facts) === undefined) this.add(machine)
  }

  has(machine: BoardMachine): boolean {
    return this.#index.has(machine)
  }

  node(zone: Zone): PoolNode | undefined {
    return this.#nodes.get(zone)
  }

  add(machine: BoardMachine): void {
    const leaf = this.#nodeOf(machine.leaf)
    this.#index.set(machine, leaf.machines.length)
    leaf.machines.push(machine)
    resize(leaf, 1)
  }

  delete(machine: BoardMachine): void {
    const index = this.#index.get(machine)
    const leaf = this.#nodes.get(machine.leaf)
    if (index === undefined || leaf === undefined) return
    // The last one takes its place.
    const last = leaf.machines.pop()
    if (last !== undefined && last !== machine) {
      leaf.machines[index] = last
      this.#index.set(last, index)
    }
    this.#index.delete(machine)
    resize(leaf, -1)
  }

  #nodeOf(zone: Zone): PoolNode {
    const known = this.#nodes.get(zone)
    if (known !== undefined) return known
    const parent = zone.parent === undefined ? this.root : this.#nodeOf(zone.parent)
    const node: PoolNode = { zone, parent, children: [], machines: [], size: 0 }
    parent.children.push(node)
    this.#nodes.set(zone, node)
    return node
  }
}

function resize(leaf: PoolNode, by: number): void {
  for (let node: PoolNode | undefined = leaf; node !== undefined; node = node.parent)
    node.size += by
}
