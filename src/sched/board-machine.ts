/** One machine on the board: what it says of itself, and what is counted with there. */
import type { MachineReport } from '../kernel/types.ts'
import type { Reservation } from '../unit/placement-rules.ts'
import type { BoardUnit } from './board-unit.ts'
import { loadOf } from './load.ts'
import type { JudgedMachine } from './require.ts'
import type { Zone } from './zones.ts'

export interface MachineFacts extends JudgedMachine {
  readonly machineId: string
  readonly report: MachineReport | undefined
  /** Why nothing new is placed there; undefined where it may be. */
  readonly closed: Closed | undefined
}

/** `cordoned`: what is there stays. `draining`: it leaves. `silent`: it may be gone. */
export type Closed = 'cordoned' | 'draining' | 'silent'

/**
 * Of a machine's memory what reservations may not take: the system and its agent live there. Cores
 * have no such part: too few of them slow a program down, where too little memory ends one.
 */
const systemMemoryShare = 1 / 16
const systemMemoryBytesMin = 128 * 2 ** 20
/** Sums of cores are sums of fractions. */
const cpusNoise = 1e-6
/** Instances for each core at which a machine counts as half crowded. */
const crowdPerCore = 8

export class BoardMachine {
  facts: MachineFacts
  leaf: Zone
  /** Instances by unit, none of them 0. */
  readonly units = new Map<BoardUnit, number>()
  readonly reserved = { cpus: 0, memoryBytes: 0 }
  /** What came or went here is in the report: that is newer. */
  isSettled = true
  #instances = 0
  #load: number

  constructor(facts: MachineFacts, leaf: Zone) {
    this.facts = facts
    this.leaf = leaf
    this.#load = supposedLoad(facts.report)
  }

  get id(): string {
    return this.facts.machineId
  }

  get name(): string {
    return this.facts.name
  }

  get closed(): Closed | undefined {
    return this.facts.closed
  }

  get isOpen(): boolean {
    return this.facts.closed === undefined
  }

  /** What it has will be elsewhere before long, and does not count in its zones any more. */
  get isLeaving(): boolean {
    return this.facts.closed === 'draining' || this.facts.closed === 'silent'
  }

  /** What it reports, without what was placed since. */
  get load(): number {
    return this.#load
  }

  learn(facts: MachineFacts): void {
    const { report } = facts
    const isNews = report !== this.facts.report
    this.facts = facts
    if (!isNews) return
    this.isSettled = true
    this.#load = supposedLoad(report)
  }

  hosted(unit: BoardUnit): number {
    return this.units.get(unit) ?? 0
  }

  /** One instance more, or one fewer. */
  count(unit: BoardUnit, by: 1 | -1): void {
    const count = this.hosted(unit) + by
    if (count === 0) this.units.delete(unit)
    else this.units.set(unit, count)
    this.#instances += by
    this.reserved.cpus += by * unit.rules.reserve.cpus
    this.reserved.memoryBytes += by * unit.rules.reserve.memoryBytes
  }

  /** What is not reserved yet; nothing while the machine has said nothing of itself. */
  get room(): Reservation {
    const { report } = this.facts
    if (report === undefined) return { cpus: 0, memoryBytes: 0 }
    const { cpuCount, memoryBytes } = report
    const system = Math.max(systemMemoryBytesMin, memoryBytes * systemMemoryShare)
    return {
      cpus: cpuCount - this.reserved.cpus + cpusNoise,
      memoryBytes: memoryBytes - system - this.reserved.memoryBytes,
    }
  }

  /** To compare machines by where spread does not decide: lower is better. */
  get score(): number {
    const { report } = this.facts
    const cpus = report?.cpuCount ?? 1
    const memoryBytes = report?.memoryBytes ?? Number.POSITIVE_INFINITY
    const reserved = Math.max(this.reserved.cpus / cpus, this.reserved.memoryBytes / memoryBytes)
    // What was placed a moment ago is in no report yet.
    const crowd = this.#instances / (this.#instances + crowdPerCore * cpus)
    return this.#load + reserved + crowd
  }
}

/** A machine that has said nothing yet is taken for half busy. */
function supposedLoad(report: MachineReport | undefined): number {
  return report === undefined ? 0.5 : loadOf(report)
}

/** Which of what an instance reserves is not there. */
export function lacking(
  room: Reservation,
  { cpus, memoryBytes }: Reservation,
): 'cpus' | 'memory' | undefined {
  if (cpus > 0 && room.cpus < cpus) return 'cpus'
  return memoryBytes > 0 && room.memoryBytes < memoryBytes ? 'memory' : undefined
}
