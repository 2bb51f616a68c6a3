/** The simulated engine's chaos: it does all the port allows, nothing more, and the seed decides. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolonError } from '../../src/base/errors.ts'
import { seededRandom } from '../../src/base/random.ts'
import { type Chaos, wildChaos } from '../../src/state/chaos.ts'
import type { Txn } from '../../src/state/port.ts'
import { SimulatedState, SimulatedStore } from '../../src/state/simulated.ts'
import { ManualClock } from './manual-clock.ts'
import { del, put } from './state.ts'

const { signal } = new AbortController()

function txnOf(id: string, change: Txn['then'][number], revision?: number): Txn {
  const conditions = revision === undefined ? [] : [{ key: change.key, revision }]
  return { if: conditions, then: [change], operationId: id, writer: 'test' }
}

function make(seed: number, chaos: Partial<Chaos>) {
  const clock = new ManualClock()
  const store = new SimulatedStore()
  const state = new SimulatedState({ clock, random: seededRandom(seed) }, store, chaos)
  return { clock, store, state }
}

/** Everything that callers see in one run, with the time of it. */
async function trace(seed: number): Promise<readonly string[]> {
  const { clock, state } = make(seed, wildChaos)
  const lines: string[] = []
  const note = (what: unknown) => lines.push(`${clock.nowMs().toFixed(3)} ${JSON.stringify(what)}`)
  const stop = new AbortController()
  const watching = (async () => {
    for (let from = 0; !stop.signal.aborted; from = 0) {
      try {
        for await (const event of state.watch('', from, { signal: stop.signal })) note(event)
      } catch (error) {
        note((error as HolonError).code)
      }
    }
  })()
  await clock.drive(
    (async () => {
      for (let i = 0; i < 80; i++) {
        const change = i % 5 === 4 ? del(`k/${i % 3}`) : put(`k/${i % 3}`, i)
        note(await state.txn(txnOf(`op-${i}`, change), { signal }))
        note(
          await state
            .get(`k/${i % 3}`, { signal, stale: true })
            .catch((e) => (e as HolonError).code),
        )
      }
    })(),
  )
  stop.abort(new HolonError('cancelled', 'enough'))
  await clock.drive(watching)
  return lines
}

test('the same seed gives the same trace, another seed another', async () => {
  const first = await trace(1)
  assert.deepEqual(await trace(1), first)
  assert.notDeepEqual(await trace(2), first)
  const all = first.join('\n')
  for (const kind of ['done', 'unknown', 'unavailable', 'reset', 'synced', 'put', 'delete']) {
    assert.ok(all.includes(`"${kind}"`), `${kind} is in\n${all}`)
  }
})

test('an unknown txn happened, never will, or happens later: all three are met', async () => {
  const fates = { before: 0, later: 0, never: 0 }
  for (let seed = 0; seed < 60; seed++) {
    const { clock, state } = make(seed, { unknown: 1, lateMsMax: 50 })
    const result = await clock.drive(state.txn(txnOf('op', put('a', 1)), { signal }))
    assert.equal(result.kind, 'unknown')
    const soon = await state.get('a', { signal })
    const pause = new Promise<void>((resolve) => void clock.timer(100, resolve))
    await clock.drive(pause)
    const late = await state.get('a', { signal })
    fates[soon !== undefined ? 'before' : late !== undefined ? 'later' : 'never'] += 1
  }
  assert.ok(Math.min(...Object.values(fates)) > 5, JSON.stringify(fates))
})

test('after conflict the operation never happens, although an attempt of it was under way', async () => {
  let underWay = 0
  for (let seed = 0; seed < 60; seed++) {
    const { clock, store, state } = make(seed, { unknown: 1, lateMsMax: 50 })
    const calm = new SimulatedState({ clock, random: seededRandom(0) }, store)
    const wanted = txnOf('op', put('a', 'wanted'), 0)
    await clock.drive(state.txn(wanted, { signal }))
    if ((await calm.get('a', { signal })) !== undefined) continue
    await calm.txn(txnOf('other', put('a', 'other')), { signal })
    assert.equal((await calm.txn(wanted, { signal })).kind, 'conflict')
    // Now its condition holds again: a late attempt would be done, were `conflict` not definite.
    await calm.txn(txnOf('away', del('a')), { signal })
    await clock.drive(new Promise<void>((resolve) => void clock.timer(100, resolve)))
    assert.equal(await calm.get('a', { signal }), undefined)
    underWay += 1
  }
  assert.ok(underWay > 20)
})

test('a call that is given up on may have happened and says so', async () => {
  const { clock, state } = make(1, { latencyMsMax: 50 })
  const giveUp = new AbortController()
  const txn = state.txn(txnOf('op', put('a', 1)), { signal: giveUp.signal })
  giveUp.abort(new HolonError('deadline_exceeded', 'too late', { outcome: 'unknown' }))
  await assert.rejects(txn, (e) => e instanceof HolonError && e.outcome === 'unknown')
  await clock.drive(new Promise<void>((resolve) => void clock.timer(100, resolve)))
  assert.equal((await clock.drive(state.get('a', { signal })))?.value, 1)
})
