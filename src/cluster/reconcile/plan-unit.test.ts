/** What a unit counts as while it changes: most of the rest is seen in the simulation. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { defaultRules, type PlacementRules } from '../../unit/placement-rules.ts'
import type { HostedPhase } from './host.ts'
import { planUnit } from './plan-unit.ts'
import type { RolloutRecord, SlotRecord, SpecRecord } from './records.ts'
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

const wantedSpec: SpecRecord = {
  unit: 'disk.service',
  wanted: true,
  enabled: true,
  spec: 1,
  changedAtMs: 0,
  by: 'uid 0',
  history: [],
  round: { number: 2, atMs: 0, by: 'uid 0' },
}

const aUnit: UnitPlanInput = {
  unit: 'disk.service',
  spec: { record: wantedSpec, revision: 1 },
  rules: defaultRules,
  settleMs: 0,
  readyTimeoutMs: 10_000,
  failureEnds: false,
  slots: new Map(),
  order: { isAwaited: false },
  lackingMs: 0,
}

const aFleet: PlanContext = {
  nowMs: 1_000,
  wallMs: 1_000,
  presence: () => 'up',
  evictionsPaused: () => undefined,
  isDraining: () => false,
  nameOf: (id) => id,
  hasReported: () => true,
  hosted: () => undefined,
  lease: () => undefined,
  leaseIsOverdue: () => false,
  place: () => ({ kind: 'placed', machineId: 'm2', why: 'it is free' }),
  placeInstead: (_slot, _avoid, why) => ({ kind: 'nowhere', why }),
  everywhere: () => [],
  surplus: () => [],
}

const withSlots = (...records: readonly SlotRecord[]) =>
  new Map(records.map((record) => [record.slot, { record, revision: 1, firstSeenMs: 0 }]))

/** Machines say that of every slot they have. */
function allAre(phase: HostedPhase, slots: UnitPlanInput['slots']): PlanContext['hosted'] {
  return (machineId, unit, slot) => {
    const record = slots.get(slot)?.record
    if (record === undefined || record.machineId !== machineId) return undefined
    const { generation, spec, exclusive } = record
    return { unit, slot, generation, spec, exclusive, phase, why: 'told', forMs: 1_000 }
  }
}

/** A wanted unit in round 2 that another one waits for, with one instance. */
function plan(record: SlotRecord, phase: HostedPhase) {
  const slots = withSlots(record)
  const rules: PlacementRules = {
    ...defaultRules,
    partition: record.exclusive ? 'at-most' : 'at-least',
  }
  const { changes } = planUnit(
    { ...aUnit, rules, slots, order: { isAwaited: true } },
    { ...aFleet, hosted: allAre(phase, slots) },
  )
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

test('planUnit() what is scaled down leaves a drained machine as what was few from the first', () => {
  const slots = withSlots({ ...place, exclusive: true, claim: 1, round: 2 })
  const spec = { record: { ...wantedSpec, scale: 1 }, revision: 1 }
  const rules: PlacementRules = { ...defaultRules, instances: 2, partition: 'at-most' }
  const fleet: PlanContext = {
    ...aFleet,
    hosted: allAre('ready', slots),
    isDraining: () => true,
    lease: () => ({
      lease: { epoch: 1, renewals: 1, status: 'held' },
      revision: 1,
      firstSeenMs: 0,
    }),
  }
  const { changes, waiting } = planUnit({ ...aUnit, spec, rules, slots }, fleet)
  assert.deepEqual([...waiting.values()], [])
  assert.deepEqual(
    changes.map((change) => change.kind === 'slot' && change.after?.wish),
    ['stop'],
  )
})

test('planUnit() what is to be everywhere and fits nowhere says why', () => {
  const why = 'no machine fits: 3 not disk=ssd'
  const { changes, waiting } = planUnit(
    { ...aUnit, rules: { ...defaultRules, global: true } },
    { ...aFleet, place: () => ({ kind: 'nowhere', why }) },
  )
  assert.deepEqual(changes, [])
  assert.deepEqual([...waiting], [[1, why]])
})

test('planUnit() a change in the middle of another one goes back to what ran before both', () => {
  const begun = (rollout: RolloutRecord | undefined, ...texts: readonly number[]) => {
    const slots = withSlots(...texts.map((spec, i) => ({ ...place, slot: i + 1, spec, round: 2 })))
    const record = { ...wantedSpec, spec: 9, ...(rollout === undefined ? {} : { rollout }) }
    const { changes } = planUnit(
      {
        ...aUnit,
        spec: { record, revision: 1 },
        slots,
        rules: { ...defaultRules, instances: texts.length },
      },
      { ...aFleet, hosted: allAre('ready', slots) },
    )
    const [first] = changes
    return first?.kind === 'spec' ? first.after.rollout?.from : undefined
  }
  const change = { from: 1, to: 2, sinceMs: 0 } as const
  assert.equal(begun(undefined, 1, 1), 1)
  assert.equal(begun({ ...change, status: 'going' }, 2, 1), 1)
  assert.equal(begun({ ...change, status: 'done' }, 2, 2), 2)
  // One that was away for long still has what is long gone.
  assert.equal(begun({ ...change, status: 'done' }, 1, 2), 2)
  assert.equal(begun({ from: 3, to: 2, status: 'failed', sinceMs: 0 }, 3, 2), 2)
})
