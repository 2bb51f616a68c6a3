/** Events over the simulated engine, written by the same log that leaders write. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { seededRandom } from '../../base/random.ts'
import { realClock } from '../../io/clock.ts'
import type { Decision, EventPage, EventQuery } from '../../kernel/decisions.ts'
import { update } from '../../state/commit.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import { DecisionLog, keeperRestart, parseDecisions, whyKey } from './decision-log.ts'
import { readEvents } from './events.ts'

const clock = realClock

class Fixture implements Disposable {
  readonly state: SimulatedState
  readonly #deps = { clock, random: seededRandom(1) }
  readonly limit = deadline(clock, 20_000)

  /** `historyChangesMax`: changes after which a watch cannot tell any more what happened. */
  constructor(historyChangesMax?: number) {
    const options = historyChangesMax === undefined ? {} : { historyChangesMax }
    this.state = new SimulatedState(this.#deps, new SimulatedStore(options))
  }

  [Symbol.dispose](): void {
    this.limit[Symbol.dispose]()
  }

  /** As DecisionLog writes it. */
  async decide(unit: string, ...decisions: readonly (readonly [number, string])[]) {
    const added = decisions.map(
      ([atMs, what]): Decision => ({ atMs, machine: 'n1', instance: `${unit}/1`, what, why: 'w' }),
    )
    const options = { signal: this.limit.signal, writer: 'test' }
    await update(
      this.#deps,
      this.state,
      whyKey(unit),
      (entry) => ({
        kind: 'put',
        value: [...parseDecisions(entry?.value), ...added].slice(-limits.decisionsMax),
        schema: 1,
      }),
      options,
    )
  }

  log(): DecisionLog {
    const report = (message: string) => assert.fail(message)
    const deps = { ...this.#deps, state: this.state, report, machine: () => 'n1' }
    return new DecisionLog(deps, 'test')
  }

  read(query: EventQuery = {}): Promise<EventPage> {
    return readEvents(clock, this.state, query, this.limit)
  }
}

const texts = ({ events }: EventPage) => events.map(({ unit, what }) => `${unit} ${what}`)

test('readEvents() merges the decisions of all units by time, or has those of one', async () => {
  using fixture = new Fixture()
  await fixture.decide('a.service', [1, 'one'], [4, 'four'])
  await fixture.decide('b.service', [2, 'two'], [3, 'three'])
  const all = ['a.service one', 'b.service two', 'b.service three', 'a.service four']
  assert.deepEqual(texts(await fixture.read()), all)
  assert.deepEqual(texts(await fixture.read({ tail: 1 })), all.slice(-1))
  assert.deepEqual(texts(await fixture.read({ tail: 0 })), [])
  assert.deepEqual(texts(await fixture.read({ unit: 'b.service' })), all.slice(1, 3))
  assert.deepEqual(texts(await fixture.read({ unit: 'c.service' })), [])
})

test('readEvents() with a cursor has each decision once, also those of an earlier time', async () => {
  using fixture = new Fixture()
  await fixture.decide('a.service', [5, 'first'])
  let page = await fixture.read()
  assert.deepEqual(texts(await fixture.read({ cursor: page.cursor })), [])
  // A new leader whose clock is behind.
  await fixture.decide('a.service', [3, 'second'])
  await fixture.decide('b.service', [4, 'third'])
  page = await fixture.read({ cursor: page.cursor })
  assert.deepEqual(texts(page), ['a.service second', 'b.service third'])
  await fixture.decide('a.service', [6, 'fourth'])
  await fixture.decide('a.service', [7, 'fifth'])
  page = await fixture.read({ cursor: page.cursor })
  assert.deepEqual(texts(page), ['a.service fourth', 'a.service fifth'])
  assert.deepEqual(texts(await fixture.read({ cursor: page.cursor })), [])
})

test('readEvents() waits for what comes, and has an empty page when nothing does', async () => {
  using fixture = new Fixture()
  await fixture.decide('a.service', [1, 'first'])
  const { cursor } = await fixture.read()
  const nothing = await fixture.read({ cursor, waitMs: 20 })
  assert.deepEqual(nothing.events, [])
  let ended = false
  const waiting = fixture.read({ cursor: nothing.cursor, waitMs: 15_000 }).finally(() => {
    ended = true
  })
  assert.equal(ended, false)
  await fixture.decide('b.service', [2, 'second'])
  let page = await waiting
  assert.deepEqual(texts(page), ['b.service second'])
  // What the watch tells again is not shown again.
  page = await fixture.read({ cursor: page.cursor })
  assert.deepEqual(page.events, [])
})

test('readEvents() has what is about machines among the others, or of one alone', async () => {
  using fixture = new Fixture()
  await fixture.decide('a.service', [1, 'one'], [3, 'three'])
  const { cursor } = await fixture.read()
  using log = fixture.log()
  log.addOfMachine('n2', 'silent', 'it is not heard of')
  log.addOfMachine('n3', 'drain', 'asked by ada')
  assert.equal((await fixture.read({ cursor, waitMs: 10_000 })).events.length, 2)
  const { events } = await fixture.read()
  assert.deepEqual(
    events.map(({ unit, about, what }) => [unit, about, what]),
    [
      ['a.service', undefined, 'one'],
      ['a.service', undefined, 'three'],
      [undefined, 'n2', 'silent'],
      [undefined, 'n3', 'drain'],
    ],
  )
  const { events: of } = await fixture.read({ about: 'n3' })
  assert.deepEqual(
    of.map(({ why }) => why),
    ['asked by ada'],
  )
})

test('restarts by keepers leave room for decisions', async () => {
  using fixture = new Fixture()
  const { cursor } = await fixture.read()
  using log = fixture.log()
  log.add('a.service', 'place on n1', 'it has room', 1)
  for (let i = 0; i < 100; i++) log.add('a.service', keeperRestart, `${i}`, 1, 'n1')
  const { events } = await fixture.read({ cursor, waitMs: 10_000 })
  assert.deepEqual([events.length, events[0]?.what, events.at(-1)?.why], [17, 'place on n1', '99'])
})

test('readEvents() misses nothing when the watch cannot tell what changed', async () => {
  using fixture = new Fixture(2)
  await fixture.decide('a.service', [1, 'first'])
  const { cursor } = await fixture.read()
  for (let i = 2; i < 12; i++) await fixture.decide('a.service', [i, `${i}`])
  const page = await fixture.read({ cursor, waitMs: 1_000 })
  assert.equal(page.events.length, 10)
  assert.equal(page.events[0]?.what, '2')
})

test('readEvents() keeps pages within their bound and refuses what is no cursor', async () => {
  using fixture = new Fixture()
  const many = Array.from({ length: limits.decisionsMax }, (_, i) => [i, `${i}`] as const)
  for (let i = 0; i < 20; i++) await fixture.decide(`u${i}.service`, ...many)
  assert.equal((await fixture.read()).events.length, limits.eventsPageMax)
  for (const cursor of ['', '!', 'e30', Buffer.from('[]').toString('base64url')]) {
    await assert.rejects(fixture.read({ cursor }), { code: 'invalid_argument' })
  }
})
