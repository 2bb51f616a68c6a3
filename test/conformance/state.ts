/**
 * What every engine of State must do, as a suite of tests. The callers in here follow the rules for
 * callers (src/state/commit.ts), so the suite also runs against an engine in chaos mode.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { type Clock, deadline } from '../../src/base/clock.ts'
import { HolonError } from '../../src/base/errors.ts'
import { limits } from '../../src/base/limits.ts'
import type { Random } from '../../src/base/random.ts'
import { commit, type Definite, follow, newOperationId, update } from '../../src/state/commit.ts'
import type { Condition, Delete, Put, State, Txn, WatchEvent } from '../../src/state/port.ts'

/** A fresh, empty engine for one test. */
export interface Engine extends AsyncDisposable {
  readonly state: State
  readonly clock: Clock
  readonly random: Random
  /** Closes and opens again what is durable; undefined when the engine has nothing to reopen. */
  reopen?(): Promise<State>
}

export interface SuiteOptions {
  /** Answers may be unknown or unavailable and watches may be reset: no exact sequences. */
  readonly chaos?: boolean
  /** Why `export` and `import` are left out. */
  readonly unmoved?: string
}

const testMs = 20_000
const writer = 'test'

export const put = (key: string, value: unknown): Put => ({ kind: 'put', key, value, schema: 1 })
export const del = (key: string): Delete => ({ kind: 'delete', key })

/** Calls of one test, with the rules for callers applied. */
export class Caller {
  readonly engine: Engine
  readonly state: State
  readonly signal: AbortSignal

  constructor(engine: Engine, signal: AbortSignal, state: State = engine.state) {
    this.engine = engine
    this.state = state
    this.signal = signal
  }

  txn(
    conditions: readonly Condition[],
    changes: Txn['then'],
    operationId?: string,
  ): Promise<Definite> {
    const id = operationId ?? newOperationId(this.engine.random)
    return commit(
      this.engine,
      this.state,
      { if: conditions, then: changes, operationId: id, writer },
      this,
    )
  }

  async done(conditions: readonly Condition[], ...changes: Txn['then'][number][]): Promise<number> {
    const result = await this.txn(conditions, changes)
    assert.equal(result.kind, 'done', JSON.stringify(result))
    return result.kind === 'done' ? result.revision : 0
  }

  /** Repeats a read while the engine is unavailable. */
  async read<T>(work: () => Promise<T>): Promise<T> {
    while (true) {
      try {
        return await work()
      } catch (error) {
        if (!(error instanceof HolonError) || error.code !== 'unavailable') throw error
        if (!error.retryable) throw error
      }
    }
  }

  get(key: string) {
    return this.read(() => this.state.get(key, this))
  }

  list(prefix: string) {
    return this.read(() => this.state.list(prefix, this))
  }

  async values(prefix = ''): Promise<Record<string, unknown>> {
    const { entries } = await this.list(prefix)
    return Object.fromEntries(entries.map(({ key, value }) => [key, value]))
  }
}

export function rejectsWith(work: Promise<unknown>, code: string): Promise<void> {
  return assert.rejects(work, (error) => error instanceof HolonError && error.code === code)
}

export function stateSuite(
  name: string,
  make: () => Promise<Engine>,
  options: SuiteOptions = {},
): void {
  describe(`State: ${name}`, () => {
    const it = (title: string, body: (caller: Caller) => Promise<void>) => {
      test(title, async () => {
        await using engine = await make()
        using limit = deadline(engine.clock, testMs)
        await body(new Caller(engine, limit.signal))
      })
    }
    txnTests(it)
    boundTests(it)
    operationTests(it, make)
    watchTests(it, options)
    moveTests(it, make, options)
    concurrencyTests(it)
  })
}

type It = (title: string, body: (caller: Caller) => Promise<void>) => void

function txnTests(it: It): void {
  it('get() of what was put has the envelope', async (c) => {
    const revision = await c.done([], put('units/web.service', { a: [1, null, 'é'] }))
    const entry = await c.get('units/web.service')
    assert.ok(entry !== undefined)
    assert.deepEqual(entry.value, { a: [1, null, 'é'] })
    assert.equal(entry.key, 'units/web.service')
    assert.equal(entry.revision, revision)
    assert.equal(entry.schema, 1)
    assert.equal(entry.writer, writer)
    assert.match(entry.operationId, /^\w{20}$/)
  })

  it('get() of a missing key is undefined', async (c) => {
    assert.equal(await c.get('nothing'), undefined)
  })

  it('txn() at the expected revision is done, at another it conflicts', async (c) => {
    const first = await c.done([{ key: 'k', revision: 0 }], put('k', 1))
    const second = await c.done([{ key: 'k', revision: first }], put('k', 2))
    assert.ok(second > first)
    const late = await c.txn([{ key: 'k', revision: first }], [put('k', 3)])
    assert.equal(late.kind, 'conflict')
    if (late.kind === 'conflict') {
      assert.equal(late.current.length, 1)
      assert.equal(late.current[0]?.entry?.revision, second)
      assert.equal(late.current[0]?.entry?.value, 2)
    }
    assert.equal((await c.get('k'))?.value, 2)
  })

  it('txn() with revision 0 means "must not exist"', async (c) => {
    await c.done([{ key: 'k', revision: 0 }], put('k', 1))
    assert.equal((await c.txn([{ key: 'k', revision: 0 }], [put('k', 2)])).kind, 'conflict')
    await c.done([], del('k'))
    await c.done([{ key: 'k', revision: 0 }], put('k', 3))
    assert.equal((await c.get('k'))?.value, 3)
  })

  it('txn() conflict names every key of the condition, also missing ones', async (c) => {
    await c.done([], put('a', 1))
    const conditions = [
      { key: 'a', revision: 0 },
      { key: 'b', revision: 0 },
    ]
    const result = await c.txn(conditions, [put('b', 1)])
    assert.equal(result.kind, 'conflict')
    if (result.kind !== 'conflict') return
    assert.deepEqual(
      result.current.map(({ key }) => key),
      ['a', 'b'],
    )
    assert.equal(result.current[1]?.entry, undefined)
  })

  it('txn() of several keys is all or nothing, at one revision', async (c) => {
    const revision = await c.done([], put('a', 1), put('b', 1), del('c'))
    const both = await c.list('')
    assert.deepEqual(
      both.entries.map((e) => e.revision),
      [revision, revision],
    )
    const conditions = [
      { key: 'a', revision },
      { key: 'b', revision: revision + 1 },
    ]
    assert.equal((await c.txn(conditions, [put('a', 2), put('c', 2)])).kind, 'conflict')
    assert.deepEqual(await c.values(), { a: 1, b: 1 })
  })

  it('txn() without changes only compares', async (c) => {
    const revision = await c.done([], put('a', 1))
    assert.equal((await c.txn([{ key: 'a', revision }], [])).kind, 'done')
    assert.equal((await c.txn([{ key: 'a', revision: revision + 1 }], [])).kind, 'conflict')
  })

  it('txn() deletes, also what is not there', async (c) => {
    await c.done([], put('a', 1))
    await c.done([], del('a'), del('b'))
    assert.deepEqual(await c.values(), {})
  })

  it('list() has the prefix, sorted by bytes, and nothing else', async (c) => {
    const keys = ['b', 'a/2', 'a/10', 'ab', 'a/\u{1f600}', 'a/\uff5e', 'a/é', 'A']
    await c.done([], ...keys.map((key) => put(key, key)))
    const expected = keys
      .filter((key) => key.startsWith('a/'))
      .sort((x, y) => Buffer.compare(Buffer.from(x), Buffer.from(y)))
    assert.deepEqual(
      (await c.list('a/')).entries.map((e) => e.key),
      expected,
    )
    assert.equal((await c.list('')).entries.length, keys.length)
    assert.deepEqual((await c.list('zz')).entries, [])
  })

  it('get() hands out copies: a caller cannot change what is stored', async (c) => {
    const value = { list: [1] }
    await c.done([], put('a', value))
    value.list.push(2)
    const got = (await c.get('a'))?.value as { list: number[] }
    got.list.push(3)
    assert.deepEqual((await c.get('a'))?.value, { list: [1] })
  })
}

function boundTests(it: It): void {
  const badKeys = ['', '/a', 'a/', 'a//b', 'a/../b', '.', 'a\nb', 'a\0b', '\ud800']

  it('a malformed key is invalid_argument everywhere', async (c) => {
    for (const key of badKeys) {
      await rejectsWith(c.state.get(key, c), 'invalid_argument')
      await rejectsWith(c.txn([], [put(key, 1)]), 'invalid_argument')
      await rejectsWith(c.txn([{ key, revision: 0 }], []), 'invalid_argument')
    }
    assert.deepEqual(await c.values(), {})
  })

  it('a malformed txn is invalid_argument', async (c) => {
    await rejectsWith(c.txn([], [put('a', 1), put('a', 2)]), 'invalid_argument')
    await rejectsWith(c.txn([{ key: 'a', revision: -1 }], []), 'invalid_argument')
    await rejectsWith(c.txn([], [put('a', undefined)]), 'invalid_argument')
    await rejectsWith(c.txn([], [put('a', 10n)]), 'invalid_argument')
    await rejectsWith(c.txn([], [put('a', 1)], 'two\nlines'), 'invalid_argument')
    const same = [
      { key: 'a', revision: 0 },
      { key: 'a', revision: 0 },
    ]
    await rejectsWith(c.txn(same, []), 'invalid_argument')
    assert.deepEqual(await c.values(), {})
  })

  it('over a bound the answer is exhausted, at it the txn is done', async (c) => {
    const text = (bytes: number) => 'x'.repeat(bytes - 2)
    await c.done([], put('max', text(limits.stateValueBytesMax)))
    await rejectsWith(c.txn([], [put('v', text(limits.stateValueBytesMax + 1))]), 'exhausted')
    await c.done([], put('k'.repeat(limits.stateKeyBytesMax), 1))
    await rejectsWith(c.txn([], [put('k'.repeat(limits.stateKeyBytesMax + 1), 1)]), 'exhausted')
    const many = (count: number) => Array.from({ length: count }, (_, i) => put(`m/${i}`, i))
    await c.done([], ...many(limits.stateTxnOperationsMax))
    await rejectsWith(c.txn([], many(limits.stateTxnOperationsMax + 1)), 'exhausted')
    const half = text(limits.stateTxnBytesMax / 2 + 10)
    await rejectsWith(c.txn([], [put('h1', half), put('h2', half)]), 'exhausted')
    await rejectsWith(c.txn([], [put('a', 1)], 'i'.repeat(129)), 'exhausted')
    assert.equal((await c.list('')).entries.length, 2 + limits.stateTxnOperationsMax)
  })

  it('an aborted signal ends a call before it does anything', async (c) => {
    const signal = AbortSignal.abort(new HolonError('cancelled', 'enough'))
    const txn = { if: [], then: [put('a', 1)], operationId: 'op', writer }
    await assert.rejects(c.state.txn(txn, { signal }), (error) => {
      return error instanceof HolonError && error.code === 'cancelled' && error.outcome === 'none'
    })
    await rejectsWith(c.state.get('a', { signal }), 'cancelled')
    assert.deepEqual(await c.values(), {})
  })

  it('close() once or twice alike; calls after it are unavailable', async (c) => {
    await c.done([], put('a', 1))
    await c.state.close()
    await c.state.close()
    await rejectsWith(c.state.get('a', c), 'unavailable')
    const txn = { if: [], then: [put('a', 2)], operationId: 'op', writer }
    await rejectsWith(c.state.txn(txn, c), 'unavailable')
  })
}

function operationTests(it: It, make: () => Promise<Engine>): void {
  it('a repeated operation is answered, not done again', async (c) => {
    const first = await c.txn([], [put('a', 1)], 'op-1')
    await c.done([], put('a', 2))
    assert.deepEqual(await c.txn([], [put('a', 1)], 'op-1'), first)
    assert.equal((await c.get('a'))?.value, 2)
  })

  it('a repeated delete does not take what came after it', async (c) => {
    await c.done([], put('a', 1))
    await c.txn([], [del('a')], 'op-1')
    await c.done([], put('a', 2))
    assert.equal((await c.txn([], [del('a')], 'op-1')).kind, 'done')
    assert.equal((await c.get('a'))?.value, 2)
  })

  it('an operation id reused for another txn is invalid_argument', async (c) => {
    await c.txn([], [put('a', 1)], 'op-1')
    await rejectsWith(c.txn([], [put('a', 2)], 'op-1'), 'invalid_argument')
    assert.equal((await c.get('a'))?.value, 1)
  })

  it('an operation that conflicted stays undone when its key is free again', async (c) => {
    await c.done([], put('a', 1))
    assert.equal((await c.txn([{ key: 'a', revision: 0 }], [put('a', 2)], 'op')).kind, 'conflict')
    await c.done([], del('a'))
    assert.equal(await c.get('a'), undefined)
  })

  test('what is durable is there after reopening, operations too', async (t) => {
    await using engine = await make()
    if (engine.reopen === undefined) return t.skip('nothing to reopen')
    using limit = deadline(engine.clock, testMs)
    const c = new Caller(engine, limit.signal)
    const done = await c.txn([], [put('a', { x: 1 }), put('b', 2)], 'op-1')
    await c.done([], del('b'))
    const before = await c.list('')
    const again = new Caller(engine, limit.signal, await engine.reopen())
    assert.deepEqual(await again.list(''), before)
    assert.deepEqual(await again.txn([], [put('a', { x: 1 }), put('b', 2)], 'op-1'), done)
    assert.deepEqual(await again.values(), { a: { x: 1 } })
    assert.ok((await again.done([], put('c', 3))) > before.revision)
  })
}

/** Events until `synced` at or above a revision. */
async function collect(watch: AsyncIterable<WatchEvent>, revision: number): Promise<WatchEvent[]> {
  const events: WatchEvent[] = []
  for await (const event of watch) {
    if (event.kind === 'synced' && event.revision >= revision) return events
    if (event.kind !== 'synced') events.push(event)
    if (event.kind === 'reset') return events
  }
  throw new Error('the watch ended')
}

function watchTests(it: It, { chaos = false }: SuiteOptions): void {
  const exact = chaos ? () => undefined : it

  exact('watch() brings every change after the revision, in order, then synced', async (c) => {
    const from = await c.done([], put('w/a', 0))
    await c.done([], put('w/a', 1), put('x', 1))
    await c.done([], del('w/a'))
    const last = await c.done([], put('w/b', 2))
    const events = await collect(c.state.watch('w/', from, c), last)
    const brief = events.map((e) => [
      e.kind,
      'key' in e && e.key,
      e.kind === 'put' && e.entry.value,
    ])
    const expected = [
      ['put', 'w/a', 1],
      ['delete', 'w/a', false],
      ['put', 'w/b', 2],
    ]
    assert.deepEqual(brief, expected)
  })

  exact('watch() brings changes as they happen', async (c) => {
    const { revision } = await c.list('')
    const watch = c.state.watch('', revision, c)[Symbol.asyncIterator]()
    assert.deepEqual(await watch.next(), { done: false, value: { kind: 'synced', revision } })
    const next = watch.next()
    await c.done([], put('a', 1))
    const event = (await next).value as WatchEvent
    assert.ok(event.kind === 'put' && event.entry.value === 1)
    await watch.return?.()
  })

  exact('watch() from an unknown revision gets reset and ends', async (c) => {
    const watch = c.state.watch('', 1_000_000_000, c)[Symbol.asyncIterator]()
    assert.deepEqual(await watch.next(), { done: false, value: { kind: 'reset' } })
    assert.equal((await watch.next()).done, true)
  })

  exact('watch() that falls behind the history gets reset', async (c) => {
    const from = await c.done([], put('a', 0))
    const watch = c.state.watch('', from, c)[Symbol.asyncIterator]()
    await watch.next()
    const rounds = Math.ceil(limits.stateHistoryChangesMax / limits.stateTxnOperationsMax) + 1
    for (let i = 0; i < rounds; i++) {
      const keys = Array.from({ length: limits.stateTxnOperationsMax }, (_, n) => `k/${n}`)
      await c.done([], ...keys.map((key) => put(key, i)))
    }
    assert.deepEqual(await watch.next(), { done: false, value: { kind: 'reset' } })
    assert.equal((await watch.next()).done, true)
  })

  exact('watch() ends by throwing when the signal aborts and when the state closes', async (c) => {
    const { revision } = await c.list('')
    const controller = new AbortController()
    const cancelled = c.state.watch('', revision, { signal: controller.signal })
    const one = collect(cancelled, revision + 1)
    const two = collect(c.state.watch('', revision, c), revision + 1)
    controller.abort(new HolonError('cancelled', 'enough'))
    await rejectsWith(one, 'cancelled')
    const closing = c.state.close()
    await rejectsWith(two, 'unavailable')
    await closing
  })

  it('follow() ends with what the store has, whatever the watch did', async (c) => {
    const view = new Map<string, unknown>()
    const controller = new AbortController()
    const signal = AbortSignal.any([c.signal, controller.signal])
    let target = Number.POSITIVE_INFINITY
    let seen = 0
    let reached = () => {}
    const complete = new Promise<void>((resolve) => {
      reached = resolve
    })
    const following = (async () => {
      const revisions = new Map<string, number>()
      for await (const event of follow(c.engine.clock, c.state, 'f/', { signal })) {
        if (event.kind === 'all') {
          view.clear()
          for (const { key, value } of event.entries) view.set(key, value)
        } else if (event.kind === 'put') {
          const { key, revision, value } = event.entry
          assert.ok(revision > (revisions.get(key) ?? 0), `${key} goes forward`)
          revisions.set(key, revision)
          view.set(key, value)
        } else if (event.kind === 'delete') view.delete(event.key)
        if ('revision' in event) seen = Math.max(seen, event.revision)
        if (seen >= target) reached()
      }
    })()
    for (let i = 0; i < 60; i++) {
      await c.done([], i % 7 === 6 ? del(`f/${i % 5}`) : put(`f/${i % 5}`, i))
    }
    target = await c.done([], put('f/last', true))
    // The follower may have passed it already.
    if (seen >= target) reached()
    await complete
    assert.deepEqual(Object.fromEntries([...view].sort()), await c.values('f/'))
    controller.abort(new HolonError('cancelled', 'enough'))
    await rejectsWith(following, 'cancelled')
  })
}

function moveTests(it: It, make: () => Promise<Engine>, { unmoved }: SuiteOptions): void {
  if (unmoved !== undefined) {
    it(`export() and import() are unsupported: ${unmoved}`, async (c) => {
      await rejectsWith(c.state.export(c), 'unsupported')
      await rejectsWith(c.state.import({ revision: 1, entries: [] }, c), 'unsupported')
    })
    return
  }
  it('export() and import() move everything to an empty store', async (c) => {
    await c.done([], put('a', { deep: [1] }), put('b/c', 'é'))
    await c.done([], put('a', 2))
    const dump = await c.read(() => c.state.export(c))
    await using other = await make()
    const d = new Caller(other, c.signal)
    await d.read(() => other.state.import(dump, c))
    assert.deepEqual(await d.values(), await c.values())
    const [mine, theirs] = [await c.get('a'), await d.get('a')]
    assert.equal(theirs?.operationId, mine?.operationId)
    assert.equal(theirs?.writer, mine?.writer)
    await rejectsWith(
      d.read(() => other.state.import(dump, c)),
      'already_exists',
    )
    const revision = theirs?.revision ?? 0
    assert.ok((await d.done([{ key: 'a', revision }], put('a', 3))) > revision)
  })
}

function concurrencyTests(it: It): void {
  it('of many txns on the same revision exactly one is done', async (c) => {
    for (let round = 0; round < 5; round++) {
      const revision = (await c.get('k'))?.revision ?? 0
      const racers = Array.from({ length: 8 }, (_, i) =>
        c.txn([{ key: 'k', revision }], [put('k', { round, i })]),
      )
      const results = await Promise.all(racers)
      const winners = results.flatMap((result, i) => (result.kind === 'done' ? [i] : []))
      assert.equal(winners.length, 1, JSON.stringify(results))
      assert.deepEqual((await c.get('k'))?.value, { round, i: winners[0] })
    }
  })

  it('update() by many loses no increment and makes none twice', async (c) => {
    const increment = () =>
      update(
        c.engine,
        c.state,
        'counter',
        (entry) => ({ kind: 'put', schema: 1, value: ((entry?.value as number) ?? 0) + 1 }),
        { signal: c.signal, writer },
      )
    const careful = async () => {
      // update() reads, and a read that is unavailable had no effect.
      await c.read(increment)
    }
    await Promise.all(Array.from({ length: 20 }, careful))
    assert.equal((await c.get('counter'))?.value, 20)
  })
}
