/** Random txns against a plain model: every answer and every value must agree, on every engine. */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import fc from 'fast-check'
import { deadline } from '../../src/base/clock.ts'
import { wildChaos } from '../../src/state/chaos.ts'
import type { Txn } from '../../src/state/port.ts'
import { embedded, simulated } from './engines.ts'
import { Caller, del, type Engine, put } from './state.ts'

interface Step {
  readonly conditions: readonly {
    readonly key: string
    readonly expect: 'now' | 'absent' | 'old'
  }[]
  readonly changes: Txn['then']
  /** Repeats the operation of so many steps ago instead. */
  readonly repeat: number
  readonly reopen: boolean
}

const key = fc.constantFrom('a', 'b', 'dir/a', 'dir/b')
const unique = { selector: (item: { readonly key: string }) => item.key, maxLength: 3 }
const step: fc.Arbitrary<Step> = fc.record({
  conditions: fc.uniqueArray(
    fc.record({ key, expect: fc.constantFrom('now', 'now', 'now', 'absent', 'old') }),
    unique,
  ),
  changes: fc.uniqueArray(
    fc.oneof(
      { weight: 3, arbitrary: fc.tuple(key, fc.jsonValue()).map(([k, v]) => put(k, v)) },
      { weight: 1, arbitrary: key.map(del) },
    ),
    unique,
  ),
  repeat: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.integer({ min: 1, max: 5 })),
  reopen: fc.oneof({ weight: 20, arbitrary: fc.constant(false) }, fc.constant(true)),
})

interface Past {
  readonly txn: Txn
  readonly revision: number | undefined
}

class Model {
  readonly keys = new Map<string, { readonly json: string; readonly revision: number }>()
  readonly past: Past[] = []

  revisionOf(name: string, expect: Step['conditions'][number]['expect']): number {
    const now = this.keys.get(name)?.revision ?? 0
    return expect === 'now' ? now : expect === 'absent' ? 0 : Math.max(0, now - 1)
  }

  holds(txn: Txn): boolean {
    return txn.if.every((c) => (this.keys.get(c.key)?.revision ?? 0) === c.revision)
  }

  apply(txn: Txn, revision: number): void {
    for (const change of txn.then) {
      if (change.kind === 'delete') this.keys.delete(change.key)
      else this.keys.set(change.key, { json: JSON.stringify(change.value), revision })
    }
  }
}

async function runStep(caller: Caller, model: Model, s: Step, number: number): Promise<void> {
  const before = s.repeat === 0 ? undefined : model.past.at(-s.repeat)
  if (before !== undefined && before.revision !== undefined && before.txn.then.length > 0) {
    const answer = await caller.txn(before.txn.if, before.txn.then, before.txn.operationId)
    assert.deepEqual(answer, { kind: 'done', revision: before.revision })
    return
  }
  const conditions = s.conditions.map((c) => ({
    key: c.key,
    revision: model.revisionOf(c.key, c.expect),
  }))
  const txn = { if: conditions, then: s.changes, operationId: `op-${number}`, writer: 'test' }
  const expected = model.holds(txn) ? 'done' : 'conflict'
  const answer = await caller.txn(txn.if, txn.then, txn.operationId)
  assert.equal(answer.kind, expected)
  if (answer.kind === 'done') model.apply(txn, answer.revision)
  else {
    const current = answer.current.map((c) => [c.key, c.entry?.revision ?? 0])
    assert.deepEqual(
      current,
      conditions.map((c) => [c.key, model.keys.get(c.key)?.revision ?? 0]),
    )
  }
  model.past.push({ txn, revision: answer.kind === 'done' ? answer.revision : undefined })
}

async function agree(caller: Caller, model: Model): Promise<void> {
  const { entries } = await caller.list('')
  const actual = entries.map((e) => [e.key, JSON.stringify(e.value), e.revision])
  const expected = [...model.keys].sort(([a], [b]) => (a < b ? -1 : 1))
  assert.deepEqual(
    actual,
    expected.map(([k, { json, revision }]) => [k, json, revision]),
  )
}

function modelTest(name: string, make: () => Promise<Engine>, numRuns: number): void {
  test(`${name} agrees with a plain model`, async () => {
    const property = fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
      await using engine = await make()
      using limit = deadline(engine.clock, 20_000)
      const model = new Model()
      let caller = new Caller(engine, limit.signal)
      for (const [number, s] of steps.entries()) {
        if (s.reopen && engine.reopen !== undefined) {
          caller = new Caller(engine, limit.signal, await engine.reopen())
        }
        await runStep(caller, model, s, number)
        await agree(caller, model)
      }
    })
    await fc.assert(property, { numRuns })
  })
}

describe('State: random txns', () => {
  modelTest('the embedded engine', embedded, 60)
  modelTest('the simulated engine', simulated({}), 200)
  const quick = { ...wildChaos, lateMsMax: 3, latencyMsMax: 0 }
  modelTest('the simulated engine in chaos', simulated(quick), 25)
})
