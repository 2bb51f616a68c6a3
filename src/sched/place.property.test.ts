/**
 * What holds for any fleet: checked against filters that are written a second time here, over plain
 * lists. Some fleets are small enough to be looked at whole, others are sampled.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import {
  gib,
  type PaperMachine,
  type PaperUnit,
  PlacedFleet,
} from '../../test/support/placed-fleet.ts'
import type { PlacementRules } from '../unit/placement-rules.ts'
import type { MachineFacts } from './board-machine.ts'

// ---- the filters once more

function instancesOn(fleet: PlacedFleet, machine: MachineFacts, unit: string): number {
  const places = fleet.units.get(unit)?.places.values() ?? []
  return [...places].filter((id) => id === machine.name).length
}

function reservedOn(fleet: PlacedFleet, machine: MachineFacts) {
  let [cpus, memoryBytes] = [0, 0]
  for (const [name, { rules }] of fleet.units) {
    const count = instancesOn(fleet, machine, name)
    cpus += count * rules.reserve.cpus
    memoryBytes += count * rules.reserve.memoryBytes
  }
  return { cpus, memoryBytes }
}

/** Whether the unit may have one more instance there. */
function fits(fleet: PlacedFleet, name: string, machine: MachineFacts): boolean {
  const { rules, unfit } = fleet.get(name)
  if (machine.closed !== undefined || unfit.has(machine.name)) return false
  if (rules.require === 'disk=ssd' && machine.labels['disk'] !== 'ssd') return false
  if (rules.require === 'load<2' && (machine.report?.load1 ?? 0) >= 2) return false
  if (rules.perNode > 0 && instancesOn(fleet, machine, name) >= rules.perNode) return false
  if (rules.with.some((other) => instancesOn(fleet, machine, other) === 0)) return false
  for (const [other, { rules: theirs }] of fleet.units) {
    const hostile = rules.apart.includes(other) || theirs.apart.includes(name)
    if (hostile && instancesOn(fleet, machine, other) > 0) return false
  }
  return !hasNoRoom(fleet, machine, rules)
}

function hasNoRoom(
  fleet: PlacedFleet,
  machine: MachineFacts,
  { reserve }: PlacementRules,
): boolean {
  const { cpus, memoryBytes } = reservedOn(fleet, machine)
  const { report } = machine
  if (report === undefined) return reserve.cpus > 0 || reserve.memoryBytes > 0
  const memory = report.memoryBytes - Math.max(gib / 8, report.memoryBytes / 16)
  if (reserve.cpus > 0 && cpus + reserve.cpus > report.cpuCount) return true
  return reserve.memoryBytes > 0 && memoryBytes + reserve.memoryBytes > memory
}

// ---- fleets

const zone = fc.constantFrom('', 'a', 'a/1', 'a/2', 'b', 'b/1', 'b/2/x', 'b/2/y', 'c')
const paperMachine: fc.Arbitrary<PaperMachine> = fc.record({
  zone,
  labels: fc.constantFrom({}, { disk: 'ssd' }),
  cpus: fc.constantFrom(1, 4),
  memoryBytes: fc.constantFrom(gib, 4 * gib),
  load: fc.constantFrom(0, 3),
})
const machineList = fc.oneof(
  fc.array(paperMachine, { minLength: 1, maxLength: 12 }),
  fc.array(paperMachine, { minLength: 100, maxLength: 200 }),
)

const names = ['u0.service', 'u1.service', 'u2.service'] as const
const other = fc.constantFrom<readonly string[]>([], [], [], ['u0.service'], ['u1.service'])
const rules: fc.Arbitrary<Partial<PlacementRules>> = fc.record({
  require: fc.constantFrom('', '', 'disk=ssd', 'load<2'),
  prefer: fc.constantFrom('', 'disk=ssd', 'zone=b'),
  nodes: fc.constantFrom(1, 1, 4),
  perNode: fc.constantFrom(0, 0, 1, 2),
  with: other,
  apart: other,
  priority: fc.constantFrom(0, 1),
  rebalance: fc.constantFrom('return' as const, 'no' as const),
  reserve: fc.constantFrom(
    { cpus: 0, memoryBytes: 0 },
    { cpus: 1, memoryBytes: 0 },
    { cpus: 0.5, memoryBytes: gib / 2 },
  ),
})
const unfit = fc.array(fc.nat(200), { maxLength: 3 })

type Step =
  | { readonly kind: 'place'; readonly unit: number; readonly slot: number }
  | { readonly kind: 'remove'; readonly unit: number; readonly slot: number }
  | { readonly kind: 'close' | 'open' | 'leave' | 'label'; readonly machine: number }

const place: fc.Arbitrary<Step> = fc.record({
  kind: fc.constant('place' as const),
  unit: fc.nat(2),
  slot: fc.integer({ min: 1, max: 20 }),
})
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 8, arbitrary: place },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constant('remove' as const),
      unit: fc.nat(2),
      slot: fc.integer({ min: 1, max: 20 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      kind: fc.constantFrom('close' as const, 'open' as const, 'leave' as const, 'label' as const),
      machine: fc.nat(30),
    }),
  },
)

const scenario = fc.record({
  seed: fc.nat(1000),
  machines: machineList,
  units: fc.tuple(rules, rules, rules),
  unfit,
  steps: fc.array(step, { maxLength: 80 }),
})
type Scenario = typeof scenario extends fc.Arbitrary<infer T> ? T : never

function fleetOf({ seed, machines, units, unfit: unfitAt }: Scenario): PlacedFleet {
  const named = machines.map((machine, i) => [`n${i}`, machine] as const)
  const fleet = new PlacedFleet(Object.fromEntries(named), seed)
  const reasons = new Map(unfitAt.map((i) => [`n${i}`, 'it does not suit'] as const))
  units.forEach((each, i) => {
    fleet.unit(names[i] ?? '', each, i === 0 ? reasons : undefined)
  })
  return fleet
}

function play(fleet: PlacedFleet, steps: readonly Step[], placed: (step: Step) => void): void {
  for (const each of steps) {
    if (each.kind === 'place') placed(each)
    else if (each.kind === 'remove') fleet.remove(names[each.unit] ?? '', [each.slot])
    else if (fleet.machines.has(`n${each.machine}`)) {
      const name = `n${each.machine}`
      if (each.kind === 'leave') fleet.change(name, undefined)
      if (each.kind === 'close') fleet.change(name, { closed: 'cordoned' })
      if (each.kind === 'open') fleet.change(name, { closed: undefined })
      if (each.kind === 'label') fleet.change(name, { labels: { disk: 'ssd' }, zone: 'a/2' })
    }
  }
}

const runs = { numRuns: 150 }

test('place() takes a machine that fits, whenever one does, and no other', () => {
  fc.assert(
    fc.property(scenario, (each) => {
      const fleet = fleetOf(each)
      play(fleet, each.steps, (one) => {
        if (one.kind !== 'place') return
        const name = names[one.unit] ?? ''
        // As if it were nowhere: that is what a slot with a place asks for.
        const before = fleet.get(name).places.get(one.slot)
        fleet.get(name).places.delete(one.slot)
        const fitting = [...fleet.machines.values()].filter((machine) => fits(fleet, name, machine))
        if (before !== undefined) fleet.get(name).places.set(one.slot, before)
        const answer = fleet.place(name, one.slot)
        if (answer.kind === 'placed') {
          assert.ok(
            fitting.some((machine) => machine.name === answer.machineId),
            answer.why,
          )
        } else {
          assert.deepEqual(fitting, [], answer.why)
          checkRoomMade(fleet, name, fleet.placeInstead(name, one.slot))
        }
      })
    }),
    runs,
  )
})

function checkRoomMade(
  fleet: PlacedFleet,
  name: string,
  way: { machineId: string; victims: readonly { unit: string; slot: number }[] } | undefined,
): void {
  const { rules: mine, places } = fleet.get(name)
  // A slot that has a place is looked at as if it had none, which a list does not do.
  const isNew = places.size === 0
  if (way === undefined) return
  const machine = fleet.machines.get(way.machineId)
  assert.ok(machine !== undefined)
  const removed: [PaperUnit, number, string][] = way.victims.map(({ unit, slot }) => {
    const victim = fleet.get(unit)
    assert.ok(victim.rules.priority < mine.priority)
    assert.equal(victim.places.get(slot), way.machineId)
    victim.places.delete(slot)
    return [victim, slot, way.machineId]
  })
  if (isNew) assert.ok(fits(fleet, name, machine))
  // And with one fewer of them it would not.
  const [first] = removed
  if (first !== undefined && isNew) {
    first[0].places.set(first[1], first[2])
    assert.ok(!fits(fleet, name, machine))
  }
  for (const [victim, slot, at] of removed) victim.places.set(slot, at)
}

test('place() answers the same for the same seed', () => {
  fc.assert(
    fc.property(scenario, (each) => {
      const [first, second] = [0, 1].map(() => {
        const fleet = fleetOf(each)
        const answers: unknown[] = []
        play(fleet, each.steps, (one) => {
          if (one.kind === 'place') answers.push(fleet.place(names[one.unit] ?? '', one.slot))
        })
        return answers
      })
      assert.deepEqual(first, second)
    }),
    { numRuns: 40 },
  )
})

// ---- spread

const free: PaperMachine = { cpus: 1000, memoryBytes: 1000 * gib }
/** Zones of one depth with the same number of machines; each machine always has room. */
const evenFleet = fc
  .record({
    seed: fc.nat(1000),
    zones: fc.integer({ min: 1, max: 6 }),
    racks: fc.integer({ min: 1, max: 3 }),
    machines: fc.constantFrom(1, 2, 5, 90),
  })
  .map(({ seed, zones, racks, machines }) => {
    const all: Record<string, PaperMachine> = {}
    for (let z = 0; z < zones; z++) {
      for (let r = 0; r < racks; r++) {
        for (let m = 0; m < machines; m++) all[`n${z}.${r}.${m}`] = { ...free, zone: `z${z}/r${r}` }
      }
    }
    return new PlacedFleet(all, seed)
  })

function assertEven(counts: Readonly<Record<string, number>>, what: string): void {
  const values = Object.values(counts)
  assert.ok(Math.max(...values) - Math.min(...values) <= 1, `${what}: ${JSON.stringify(counts)}`)
}

/** Counts on each level differ by one at most, among zones in the same one. */
function assertSpread(fleet: PlacedFleet, name: string): void {
  assertEven(fleet.counts(name, 1), 'zones')
  for (const [level, key] of [
    [2, (id: string) => id.split('/')[0]],
    ['machine', (id: string) => fleet.machines.get(id)?.zone],
  ] as const) {
    const inZone = new Map<string, Record<string, number>>()
    for (const [id, count] of Object.entries(fleet.counts(name, level))) {
      const within = key(id) ?? ''
      inZone.set(within, { ...inZone.get(within), [id]: count })
    }
    for (const [within, counts] of inZone) assertEven(counts, `in ${within}`)
  }
}

test('place() keeps zones, racks and machines within one of each other where all fit', () => {
  fc.assert(
    fc.property(evenFleet, fc.integer({ min: 1, max: 120 }), (fleet, count) => {
      fleet.unit('web.service')
      fleet.fill('web.service', count)
      assertSpread(fleet, 'web.service')
    }),
    { numRuns: 60 },
  )
})

test('surplus() leaves what stays as well spread', () => {
  fc.assert(
    fc.property(evenFleet, fc.integer({ min: 1, max: 60 }), fc.nat(60), (fleet, count, less) => {
      fleet.unit('web.service')
      fleet.fill('web.service', count)
      const slots = fleet.scheduler.surplus('web.service', Math.min(less, count))
      assert.equal(new Set(slots).size, Math.min(less, count))
      fleet.remove('web.service', slots)
      assertSpread(fleet, 'web.service')
    }),
    { numRuns: 60 },
  )
})

test('rebalance() moves only to where it fits, and has nothing to do after that', () => {
  fc.assert(
    fc.property(scenario, fc.integer({ min: 1, max: 4 }), (each, atOnce) => {
      const fleet = fleetOf(each)
      play(fleet, each.steps, (one) => {
        if (one.kind === 'place') fleet.place(names[one.unit] ?? '', one.slot)
      })
      for (const name of names) {
        const { places, rules: its } = fleet.get(name)
        const before = new Map(places)
        for (let round = 0; ; round++) {
          assert.ok(round < 100, 'it never ends')
          const moves = fleet.scheduler.rebalance(name, atOnce)
          assert.ok(moves.length <= atOnce)
          if (moves.length === 0) break
          assert.equal(its.rebalance, 'return')
          for (const { slot, from, to } of moves) {
            assert.equal(places.get(slot), from)
            places.delete(slot)
            const machine = fleet.machines.get(to)
            assert.ok(machine !== undefined && fits(fleet, name, machine), `${slot} to ${to}`)
            places.set(slot, to)
          }
          fleet.tellUnit(name)
        }
        assert.equal(places.size, before.size)
      }
    }),
    { numRuns: 100 },
  )
})

test('rebalance() makes an even fleet even, wherever the instances were', () => {
  const where = fc.array(fc.nat(), { minLength: 1, maxLength: 60 })
  fc.assert(
    fc.property(evenFleet, where, (fleet, at) => {
      fleet.unit('web.service')
      const all = [...fleet.machines.keys()]
      at.forEach((n, slot) => {
        fleet.get('web.service').places.set(slot, all[n % all.length] ?? '')
      })
      fleet.tellUnit('web.service')
      for (const { slot, to } of fleet.scheduler.rebalance('web.service', 1000)) {
        fleet.get('web.service').places.set(slot, to)
      }
      fleet.tellUnit('web.service')
      assertSpread(fleet, 'web.service')
      assert.deepEqual(fleet.scheduler.rebalance('web.service', 1000), [])
    }),
    { numRuns: 60 },
  )
})
