/** What people want, written down, over the simulated engine. Nobody leads here. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { seededRandom } from '../../base/random.ts'
import { realClock } from '../../io/clock.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import { type SlotRecord, type SpecRecord, slotChange, textsKept } from './records.ts'
import { UnitVerbs } from './verbs.ts'

const clock = realClock
const unit = 'web.service'
const by = 'uid 0'

class Fixture implements Disposable {
  readonly store = new SimulatedStore({})
  readonly #deps = { clock, random: seededRandom(1) }
  readonly #state = new SimulatedState(this.#deps, this.store)
  readonly verbs = new UnitVerbs({ ...this.#deps, state: this.#state }, 'test')
  readonly limit = deadline(clock, 20_000)

  load(text: string): Promise<SpecRecord> {
    return this.verbs.load({ unit, text }, by, this.limit)
  }

  [Symbol.dispose](): void {
    this.limit[Symbol.dispose]()
  }

  async spec(): Promise<SpecRecord> {
    const spec = await this.verbs.spec(unit, this.limit)
    assert.ok(spec !== undefined)
    return spec
  }

  /** As a leader does it. */
  async place(slot: number, machineId: string): Promise<void> {
    const { random } = this.#deps
    const before = (await this.verbs.slots(unit, this.limit)).find((s) => s.record.slot === slot)
    const record: SlotRecord = {
      unit,
      slot,
      machineId,
      generation: 1 + (before?.record.generation ?? 0),
      spec: 1,
      wish: 'run',
      exclusive: true,
      why: 'test',
      atMs: 0,
    }
    const operationId = newOperationId(random)
    const txn = { ...slotChange(before, record), operationId, writer: 'test' }
    const { kind } = await commit({ clock, random }, this.#state, txn, this.limit)
    assert.equal(kind, 'done')
  }
}

const numbers = ({ history }: SpecRecord) => history.map(({ spec }) => spec)

test('unload() waits for nobody: what is wanted, or has an instance left, is in conflict', async () => {
  using fixture = new Fixture()
  const { verbs, limit, store } = fixture
  await fixture.load('one')
  await verbs.want(unit, true, by, limit)
  await assert.rejects(verbs.unload(unit, limit), { code: 'conflict', message: /it is wanted/ })
  await fixture.place(1, 'n1')
  await verbs.want(unit, false, by, limit)
  await assert.rejects(verbs.unload(unit, limit), { code: 'conflict', message: /1 of its inst/ })
  await fixture.place(1, '')
  await verbs.unload(unit, limit)
  assert.deepEqual(await verbs.units(limit), [])
  await verbs.unload(unit, limit)
  // The number that fences what must not run twice never falls.
  assert.deepEqual(store.keys('control/slot/'), ['control/slot/web.service/1'])
})

test('what is loaded again goes on with the numbers of its texts', async () => {
  using fixture = new Fixture()
  const { verbs, limit, store } = fixture
  for (const text of ['one', 'two', 'three']) await fixture.load(text)
  await verbs.unload(unit, limit)
  assert.deepEqual(store.keys('text/'), ['text/web.service/3'])
  const { spec, enabled, history } = await fixture.load('three')
  assert.deepEqual([spec, enabled, history.length], [4, false, 1])
  await fixture.load('five')
  assert.deepEqual(numbers(await fixture.spec()), [4, 5])
})

test('going back is written down, once, and never lets the newest number be forgotten', async () => {
  using fixture = new Fixture()
  const { verbs, limit } = fixture
  for (const text of ['one', 'two', 'three']) await fixture.load(text)
  await verbs.revert(unit, 2, by, limit)
  await verbs.revert(unit, 2, by, limit)
  const { spec, history } = await fixture.spec()
  assert.equal(spec, 2)
  assert.equal(history.at(-1)?.note, 'taken back from 3')
  assert.deepEqual(numbers(await fixture.spec()), [1, 2, 3, 2])
  for (let i = 0; i < 20; i++) await verbs.revert(unit, 1 + (i % 2), by, limit)
  assert.equal(numbers(await fixture.spec()).length, 10)
  assert.equal((await fixture.load('four')).spec, 4)
})

test('old texts go, but for those that one can go back to', async () => {
  using fixture = new Fixture()
  const { store } = fixture
  for (let i = 0; i < textsKept + 5; i++) await fixture.load(`text ${i}`)
  assert.equal(store.keys('text/').length, textsKept)
  assert.ok(!store.keys('text/').includes('text/web.service/5'))
  assert.ok(store.keys('text/').includes('text/web.service/6'))
})
