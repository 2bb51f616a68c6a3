import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolonError } from '../../../base/errors.ts'
import { type Outcome, outcomeJson, overallStatus, summary } from './outcome.ts'

const ended = (machine: string, code: number): Outcome => ({
  kind: 'ended',
  machine,
  exit: { code },
  timedOut: false,
})
const away: Outcome = {
  kind: 'missing',
  machine: 'n4',
  missing: { machine: 'n4', code: 'unavailable' },
}
const lost: Outcome = {
  kind: 'lost',
  machine: 'n5',
  error: new HolonError('unavailable', 'gone', { outcome: 'unknown' }),
}

test('overallStatus() is the largest, and 4 when only machines were missing', () => {
  assert.equal(overallStatus([ended('n1', 0), ended('n2', 0)]), 0)
  assert.equal(overallStatus([ended('n1', 0), ended('n2', 2), ended('n3', 1)]), 2)
  assert.equal(overallStatus([ended('n1', 0), away]), 4)
  assert.equal(overallStatus([away]), 4)
  assert.equal(overallStatus([ended('n1', 1), away]), 1)
  assert.equal(overallStatus([ended('n1', 0), lost, away]), 123)
  assert.equal(
    overallStatus([{ kind: 'ended', machine: 'n1', exit: { signal: 'SIGTERM' }, timedOut: true }]),
    124,
  )
  assert.equal(overallStatus([{ kind: 'not-started', machine: 'n1', signal: 2 }]), 130)
})

test('summary() says how many are well and names each of the others', () => {
  assert.equal(summary([ended('n1', 0)], 0), '1 of 1 machines: exit 0')
  const all = [ended('n1', 0), ended('n2', 2), ended('n3', 2), away, lost]
  assert.equal(
    summary(all, 0),
    '1 of 5 machines: exit 0; n2, n3: exit 2; n5: lost, how it ended is not known; n4 unreachable',
  )
  const started: Outcome = { kind: 'started', machine: 'n1', id: 'k3x' }
  assert.equal(summary([started], 0), '1 of 1 machines: started')
})

test('outcomeJson() has a status of null only where nothing is known to have run', () => {
  assert.deepEqual(outcomeJson(ended('n1', 3)), {
    machine: 'n1',
    outcome: 'ended',
    status: 3,
    exit: { code: 3 },
  })
  assert.deepEqual(outcomeJson(away), {
    machine: 'n4',
    outcome: 'missing',
    status: null,
    code: 'unavailable',
  })
  assert.equal(outcomeJson(lost)['status'], 123)
})
