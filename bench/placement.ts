/**
 * The scheduler alone, on a fleet of the largest size that is promised: 10,000 machines in 100 zones
 * and 100,000 instances of 2,000 units, a third of them with rules. Its peer is the bar.
 */
import { seededRandom } from '../src/base/random.ts'
import type { MachineFacts } from '../src/sched/board-machine.ts'
import { type PlacedInstance, Scheduler } from '../src/sched/scheduler.ts'
import { defaultRules, type PlacementRules } from '../src/unit/placement-rules.ts'
import { facts, gib } from '../test/support/placed-fleet.ts'
import { atMost, type Comparison, median } from './measure.ts'

const machineCount = 10_000
const unitCount = 2_000
const slotCount = 50
const rounds = 5
/** The bars: placements in a second of one core, and milliseconds of it. */
const rateMin = 20_000
const lostMsMax = 100

const machines: readonly MachineFacts[] = Array.from({ length: machineCount }, (_, i) =>
  facts(`n${i}`, {
    zone: `region${i % 10}/rack${Math.floor(i / 10) % 10}`,
    labels: { disk: i % 3 === 0 ? 'ssd' : 'hdd' },
    cpus: 16,
    memoryBytes: 64 * gib,
    load: i % 7,
  }),
)

/** By the unit's number; the others have none. */
const someRules: Readonly<Record<number, Partial<PlacementRules>>> = {
  0: { require: 'disk=ssd mem>=2G' },
  3: { perNode: 1, reserve: { cpus: 0.5, memoryBytes: gib } },
  6: { apart: ['unit5.service'], nodes: 20 },
  9: { prefer: 'disk=ssd', reserve: { cpus: 1, memoryBytes: 0 } },
}

class Fleet {
  readonly scheduler: Scheduler
  readonly places = new Map<string, PlacedInstance[]>()

  constructor(seed: number) {
    this.scheduler = new Scheduler(seededRandom(seed))
    this.scheduler.setMachines(machines)
  }

  /** Milliseconds. */
  placeAll(): number {
    const start = process.cpuUsage()
    for (let n = 0; n < unitCount; n++) {
      const name = `unit${n}.service`
      const places: PlacedInstance[] = []
      this.scheduler.setUnit(name, { ...defaultRules, ...someRules[n % 12] }, places)
      for (let slot = 1; slot <= slotCount; slot++) this.#place(name, slot, places)
      this.places.set(name, places)
    }
    return cpuMsSince(start)
  }

  #place(name: string, slot: number, places: PlacedInstance[]): void {
    const answer = this.scheduler.place(name, slot)
    if (answer.kind === 'nowhere') throw new Error(`${name}: ${answer.why}`)
    places.push({ slot, machineId: answer.machineId })
  }

  /** Milliseconds from being told that a machine is silent to a new place for each of its slots. */
  replan(lost: string): number {
    const start = process.cpuUsage()
    this.scheduler.setMachines(
      machines.map((machine) =>
        machine.machineId === lost ? { ...machine, closed: 'silent' } : machine,
      ),
    )
    for (const [name, places] of this.places) {
      const affected = [...places.entries()].filter(([, { machineId }]) => machineId === lost)
      for (const [index, { slot }] of affected) {
        const answer = this.scheduler.place(name, slot)
        if (answer.kind === 'nowhere') throw new Error(`${name}: ${answer.why}`)
        places[index] = { slot, machineId: answer.machineId }
      }
      if (affected.length > 0) this.scheduler.setUnit(name, undefined, places)
    }
    return cpuMsSince(start)
  }
}

/** Of all threads: what the collector of garbage does beside us counts too. */
function cpuMsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start)
  return (user + system) / 1000
}

export const measurePlacement = async (): Promise<readonly Comparison[]> => {
  const rates: number[] = []
  const lostMs: number[] = []
  for (let round = 0; round < rounds; round++) {
    const fleet = new Fleet(round)
    rates.push((unitCount * slotCount * 1000) / fleet.placeAll())
    lostMs.push(fleet.replan('n4711'))
  }
  const [rate, ms] = [median(rates), median(lostMs)]
  return [
    {
      what: 'placements, 10,000 machines / their bar',
      ours: rate,
      peer: rateMin,
      unit: '/s',
      ratio: rate / rateMin,
      bar: '≥ 1 ×',
      met: rate >= rateMin,
    },
    atMost('replan, one of 10,000 machines lost / its bar', ms, lostMsMax, 1),
  ]
}
