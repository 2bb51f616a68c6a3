/** One fleet of a given size, and what happens to it: each event measured at its leader. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { deadline } from '../../src/base/clock.ts'
import { someAtOnce } from '../../src/base/some-at-once.ts'
import type { MachineRecord } from '../../src/cluster/members.ts'
import { ScaleFleet } from './fleet.ts'
import type { Counted } from './meter.ts'

const instancesPerMachine = 10
const slotsPerUnit = 45
const zoneSizeMax = 100
const zonesMin = 10
const verbsAtOnce = 16
const verbTimeoutMs = 60_000
const lookMs = 50
const quietMs = 10_000
/** By then every unit was looked at for better places, and has none. */
const settleMs = 120_000
/** A lost zone is believed dead after five minutes. */
const zoneLostMs = 400_000

/** By the unit's number; the others have none. */
const someRules: Readonly<Record<number, string>> = {
  0: 'Require=disk=ssd mem>=2G',
  3: 'PerNode=2\nReserve=cpus=0.5 mem=1G',
  6: 'Apart=unit7.service\nNodes=20',
  9: 'Prefer=disk=ssd\nReserve=cpus=1',
}

/** What something that happened took. */
export interface Measured {
  readonly machines: number
  readonly what: string
  /** Of the simulation, until all was as wanted. */
  readonly seconds: number
  readonly leaderMs: number
  readonly longestMs: number
  readonly all: Readonly<Record<Counted, number>>
  /** In the busiest second. */
  readonly peak: Readonly<Record<Counted, number>>
  /** What a leader has in memory; of the last event only. */
  readonly heapBytes?: number
}

export async function measureFleet(count: number): Promise<readonly Measured[]> {
  const scale = new Scale(count)
  await scale.run()
  return scale.measured
}

class Scale {
  readonly measured: Measured[] = []
  readonly #count: number
  readonly #fleet: ScaleFleet

  constructor(count: number) {
    this.#count = count
    const zones = Math.max(zonesMin, count / zoneSizeMax)
    this.#fleet = new ScaleFleet(Array.from({ length: count }, (_, i) => machine(i, zones)))
  }

  get #units(): number {
    return (this.#count * (instancesPerMachine - 1)) / slotsPerUnit
  }

  get #wanted(): number {
    return this.#fleet.machines.filter(({ isOn }) => isOn).length + this.#units * slotsPerUnit
  }

  async run(): Promise<void> {
    const { machines } = this.#fleet
    await this.#fleet.run(quietMs)
    await this.#measure('initial placement', () => this.#bringOut(1))
    await this.#fleet.run(settleMs)
    await this.#measure('nothing', () => this.#fleet.run(quietMs))
    await this.#measure('one machine lost', () => this.#lose([this.#count / 2], 60_000))
    const zoneOf = (index: number) => machines[index]?.record.zone
    const inZone = [...machines.keys()].filter((index) => zoneOf(index) === zoneOf(7))
    await this.#measure('one zone lost', () => this.#lose(inZone, zoneLostMs))
    await this.#measure('every unit brought out anew', () => this.#bringOut(2))
    await this.#takeOver()
  }

  async #measure(what: string, happens: () => Promise<void>): Promise<void> {
    const { meter, world } = this.#fleet
    await this.#fleet.run(quietMs)
    meter.reset()
    const beganMs = world.nowMs
    await happens()
    meter.step()
    const { leaderMs, longestMs, all, peak } = meter
    const seconds = (world.nowMs - beganMs) / 1_000
    const measured = { machines: this.#count, what, seconds, leaderMs, longestMs, all, peak }
    this.measured.push(measured)
    process.stderr.write(`${JSON.stringify(measured)}\n`)
  }

  /** Until all that is wanted is ready with this text, and nothing else is there. */
  async #until(spec: number, withinMs: number): Promise<void> {
    const { tally, world } = this.#fleet
    const endMs = world.nowMs + withinMs
    const wanted = this.#wanted
    while (tally.ready(spec) !== wanted || tally.instances !== wanted) {
      if (world.nowMs > endMs) {
        const has = `${tally.ready(spec)} ready of ${tally.instances}, wanted ${wanted}`
        throw new Error(`${this.#count} machines: ${has}`)
      }
      await this.#fleet.run(lookMs)
    }
  }

  async #bringOut(spec: number): Promise<void> {
    const units = ['each.service']
    for (let i = 0; i < this.#units; i++) units.push(`unit${i}.service`)
    const give = ([index, unit]: [number, string]) => this.#give(unit, index, spec)
    void someAtOnce(verbsAtOnce, [...units.entries()], give)
    await this.#until(spec, 600_000)
  }

  async #give(unit: string, index: number, spec: number): Promise<void> {
    const { verbs, clock } = this.#fleet
    using limit = deadline(clock, verbTimeoutMs)
    await verbs.load({ unit, text: unitText(unit, index, spec) }, 'operator', limit)
    if (spec === 1) await verbs.want(unit, true, 'operator', limit)
  }

  async #lose(indexes: readonly number[], withinMs: number): Promise<void> {
    for (const index of indexes) this.#fleet.machines[index]?.crash()
    await this.#until(1, withinMs)
  }

  async #takeOver(): Promise<void> {
    const fleet = this.#fleet
    fleet.stopLeader()
    await fleet.run(quietMs)
    const before = heapBytes()
    await this.#measure('another leads', async () => {
      fleet.startLeader()
      while (!fleet.isKnown()) await fleet.run(lookMs)
    })
    const last = this.measured.pop()
    if (last !== undefined) this.measured.push({ ...last, heapBytes: heapBytes() - before })
  }
}

function machine(index: number, zones: number): MachineRecord {
  const zone = index % zones
  const name = `n${String(index).padStart(5, '0')}`
  return {
    machineId: name,
    name,
    publicKey: '',
    addresses: [],
    zone: `region${zone % 10}/rack${Math.floor(zone / 10)}`,
    labels: { disk: index % 3 === 0 ? 'ssd' : 'hdd' },
    version: '0',
    joinedAtMs: 0,
  }
}

function unitText(unit: string, index: number, spec: number): string {
  const everywhere = unit === 'each.service'
  return [
    '[Unit]',
    `Description=${unit}, text ${spec}`,
    '[Service]',
    'Type=notify',
    'ExecStart=/usr/bin/program',
    '[X-Holon]',
    'Rollout=10%',
    everywhere ? 'Global=yes' : `Instances=${slotsPerUnit}`,
    everywhere ? '' : (someRules[index % 12] ?? ''),
    '',
  ].join('\n')
}

/** Of what is in use: garbage is collected first. */
function heapBytes(): number {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  collect()
  return process.memoryUsage().heapUsed
}
