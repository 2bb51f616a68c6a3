import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ManualClock } from '../../../test/conformance/manual-clock.ts'
import { seededRandom } from '../../base/random.ts'
import { Scheduler } from '../../sched/scheduler.ts'
import type { ConditionVerdict } from '../../unit/conditions.ts'
import { defaultRules, type PlacementRules } from '../../unit/placement-rules.ts'
import { Candidates, type KnownPlace } from './candidates.ts'
import { ConditionAnswers } from './condition-answers.ts'
import type { Place } from './unit-view.ts'

const unit = 'web.service'
const condition = { name: 'ConditionPathExists', value: '/x', negated: false, triggering: false }
const rules: PlacementRules = { ...defaultRules, conditions: [condition] }

class Fleet {
  readonly clock = new ManualClock()
  readonly asked: string[] = []
  readonly met: Set<string>
  /** Of an ask that is under way: what it would answer never comes. */
  isSilent = false
  atOnceMax = 0
  #underWay = 0
  readonly answers = new ConditionAnswers({
    clock: this.clock,
    ask: (machineId) => this.#ask(machineId),
    changed: () => {},
  })
  readonly candidates: Candidates

  constructor(machines: number, met: readonly string[]) {
    this.met = new Set(met)
    const scheduler = new Scheduler(seededRandom(1))
    const facts = { zone: '', labels: {}, report: undefined, closed: undefined }
    const ids = Array.from({ length: machines }, (_, i) => `n${i + 1}`)
    scheduler.setMachines(ids.map((name) => ({ ...facts, name, machineId: name })))
    this.candidates = new Candidates(scheduler, this.answers)
  }

  async #ask(machineId: string): Promise<ConditionVerdict> {
    this.asked.push(machineId)
    this.#underWay += 1
    this.atOnceMax = Math.max(this.atOnceMax, this.#underWay)
    if (this.isSilent) await new Promise(() => {})
    await turn()
    this.#underWay -= 1
    const assertion = false
    return this.met.has(machineId)
      ? { kind: 'met' }
      : { kind: 'unmet', which: 'ConditionPathExists=/x', assertion }
  }

  /** As a leader that looks again and again, until there is an answer or it is done looking. */
  async place(places: readonly KnownPlace[] = [], looks = 1_000): Promise<Place> {
    let place: Place = { kind: 'nowhere', why: '' }
    for (let look = 0; look < looks; look++) {
      this.answers.lapsed()
      this.candidates.setUnit(unit, rules, places, this.clock.nowMs())
      place = this.candidates.place(unit, 1, new Set())
      if (place.kind === 'placed' || /no machine fits/.test(place.why)) break
      for (let i = 0; i < 10; i++) await turn()
    }
    return place
  }
}

const on = (machineId: string, refusedForMs?: number): KnownPlace => {
  return { slot: 1, machineId, refusedForMs }
}

test('place() asks some machines and takes one that says so', async () => {
  const fleet = new Fleet(1_000, ['n7', 'n300', 'n800'])
  const place = await fleet.place()
  assert.equal(place.kind, 'placed')
  assert.ok(place.kind === 'placed' && fleet.met.has(place.machineId))
  assert.ok(fleet.atOnceMax <= 64, `${fleet.atOnceMax} at once`)
  assert.equal(new Set(fleet.asked).size, fleet.asked.length, 'each once')
})

test('place() where many machines fit few are asked', async () => {
  const names = Array.from({ length: 10_000 }, (_, i) => `n${i + 1}`)
  const fleet = new Fleet(10_000, names)
  assert.equal((await fleet.place()).kind, 'placed')
  assert.ok(fleet.asked.length <= 10, `${fleet.asked.length} were asked`)
})

test('place() counts machines by the line that does not hold, and asks them again', async () => {
  const fleet = new Fleet(20, [])
  const place = await fleet.place()
  assert.match(place.why, /of 20, 20 not ConditionPathExists=\/x/)
  assert.equal(fleet.asked.length, 20)
  assert.match((await fleet.place()).why, /of 20, 20 not/)
  assert.equal(fleet.asked.length, 20, 'a no is believed for a while')
  fleet.met.add('n3')
  fleet.clock.advance(11_000)
  assert.equal((await fleet.place()).kind, 'placed')
})

test('place() tries a machine that does not answer', async () => {
  const fleet = new Fleet(1, [])
  fleet.isSilent = true
  assert.match((await fleet.place([], 3)).why, /are asked/)
  fleet.clock.advance(1_000)
  for (let i = 0; i < 10; i++) await turn()
  assert.equal((await fleet.place()).kind, 'placed')
})

test('place() asks again where a start was refused since', async () => {
  const fleet = new Fleet(2, ['n1'])
  const first = await fleet.place()
  assert.ok(first.kind === 'placed' && first.machineId === 'n1')
  fleet.met.clear()
  fleet.met.add('n2')
  fleet.clock.advance(5_000)
  await fleet.place([on('n1', 1_000)])
  assert.equal(fleet.asked.filter((machine) => machine === 'n1').length, 2)
})

test('everywhere() has machines that said so, and those where it is, whatever they say now', async () => {
  const fleet = new Fleet(5, ['n1', 'n2'])
  const look = async (places: readonly KnownPlace[]) => {
    fleet.answers.lapsed()
    fleet.candidates.setUnit(unit, rules, places, fleet.clock.nowMs())
    const fitting = fleet.candidates.everywhere(unit, places)
    for (let i = 0; i < 10; i++) await turn()
    return fitting
  }
  assert.deepEqual(await look([]), [])
  assert.deepEqual(await look([]), ['n1', 'n2'])
  const places = [on('n1'), { slot: 2, machineId: 'n2', refusedForMs: undefined }]
  fleet.met.delete('n1')
  fleet.met.add('n4')
  fleet.clock.advance(60_000)
  await look(places)
  assert.deepEqual(await look(places), ['n1', 'n2', 'n4'])
  assert.ok(!fleet.asked.slice(5).includes('n1'), 'what runs is not asked about')
})
