/** What a unit counts as while it changes: most of the rest is seen in the simulation. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultRules } from '../../unit/placement-rules.ts'
import type { HostedPhase } from './host.ts'
import { planUnit } from './plan-unit.ts'
import type { SlotRecord, SpecRecord } from './records.ts'
import type { PlanContext, UnitPlanInput } from './unit-view.ts'

const place: SlotRecord = {
  unit: 'disk.service',
  slot: 1,
  machineId: 'm1',
  generation: 7,
  spec: 1,
  exclusive: false,
  wish: 'run',
  why: 'it is wanted',
  atMs: 0,
}

/** A wanted unit in round 2 that another one waits for, with one instance. */
function plan(record: SlotRecord, phase: HostedPhase | undefined) {
  const spec: SpecRecord = {
    unit: 'disk.service',
    wanted: true,
    enabled: true,
    spec: 1,
    changedAtMs: 0,
    by: 'uid 0',
    history: [],
    round: { number: 2, atMs: 0, by: 'uid 0' },
  }
  const input: UnitPlanInput = {
    unit: 'disk.service',
    spec: { record: spec, revision: 1 },
    rules: { ...defaultRules, partition: record.exclusive ? 'at-most' : 'at-least' },
    settleMs: 0,
    readyTimeoutMs: 10_000,
    failureEnds: false,
    slots: new Map([[1, { record, revision: 1, firstSeenMs: 0 }]]),
    order: { isAwaited: true },
    lackingMs: 0,
  }
  const { unit, slot, generation, exclusive } = record
  const hosted = { unit, slot, generation, spec: 1, exclusive, why: 'told', forMs: 1_000 }
  const context: PlanContext = {
    nowMs: 1_000,
    wallMs: 1_000,
    presence: () => 'up',
    evictionsPaused: () => undefined,
    isDraining: () => false,
    nameOf: (id) => id,
    hasReported: () => true,
    hosted: (id) => (phase === undefined || id !== 'm1' ? undefined : { ...hosted, phase }),
    lease: () => undefined,
    leaseIsOverdue: () => false,
    place: () => ({ kind: 'placed', machineId: 'm2', why: 'it is free' }),
    placeInstead: (_slot, _avoid, why) => ({ kind: 'nowhere', why }),
    everywhere: () => [],
    surplus: () => [],
  }
  const { changes } = planUnit(input, context)
  return {
    isUp: changes.some((change) => change.kind === 'spec' && change.what === 'up'),
    placedOn: changes.flatMap((change) =>
      change.kind === 'slot' ? [change.after?.machineId] : [],
    ),
  }
}

test('planUnit() a unit is up when its instances are ready', () => {
  assert.deepEqual(plan({ ...place, round: 2 }, 'ready'), { isUp: true, placedOn: [] })
  assert.equal(plan({ ...place, round: 2 }, 'starting').isUp, false)
})

test('planUnit() what ended in an earlier round is run again, and does not count as up', () => {
  const ended = { result: 'success', atMs: 0, why: 'result success' } as const
  const again = plan({ ...place, round: 1, ended }, 'ended')
  assert.deepEqual(again, { isUp: false, placedOn: ['m2'] })
  assert.equal(plan({ ...place, round: 2, ended }, 'ended').isUp, true)
})

test('planUnit() an end that nobody saw before the next round is one of the round before', () => {
  const { isUp, placedOn } = plan({ ...place, round: 1 }, 'ended')
  assert.deepEqual([isUp, placedOn], [false, ['m1']])
})

test('planUnit() what was asked back does not count as up, though it still runs', () => {
  const leaving = { ...place, exclusive: true, wish: 'stop', claim: 1 } as const
  assert.equal(plan(leaving, 'ready').isUp, false)
})
