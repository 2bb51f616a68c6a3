import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolonError } from '../base/errors.ts'
import { parseSelector, selectMachines } from './selector.ts'

const machines = [
  { name: 'n1', zone: 'eu/paris/rack1' },
  { name: 'n2', zone: 'eu/paris' },
  { name: 'n10', zone: 'eu/lyon' },
  { name: 'db-a', zone: '' },
  { name: 'europe', zone: 'us' },
]

function selected(text: string): string[] {
  return machines.filter(parseSelector(text)).map(({ name }) => name)
}

test('parseSelector() names machines by name, list, range, glob and zone', () => {
  assert.deepEqual(selected('n1'), ['n1'])
  assert.deepEqual(selected('n1,db-a'), ['n1', 'db-a'])
  assert.deepEqual(selected('n*'), ['n1', 'n2', 'n10'])
  assert.deepEqual(selected('n?'), ['n1', 'n2'])
  assert.deepEqual(selected('n[1-2]'), ['n1', 'n2'])
  assert.deepEqual(selected('n[1,8-10]'), ['n1', 'n10'])
  assert.deepEqual(selected('n[01-16]'), ['n10'])
  assert.deepEqual(selected('eu/*'), ['n1', 'n2', 'n10'])
  assert.deepEqual(selected('eu/paris'), ['n1', 'n2'])
  assert.deepEqual(selected('eu/paris/'), ['n1', 'n2'])
  assert.deepEqual(selected('e?/lyon'), ['n10'])
  assert.deepEqual(selected('*'), ['n1', 'n2', 'n10', 'db-a', 'europe'])
  assert.deepEqual(selected('us/*,n2'), ['n2', 'europe'])
})

test('parseSelector() refuses what is none, with the reason', () => {
  for (const text of [
    '',
    ',',
    'n1,',
    'n[1',
    'n]',
    'n[a-b]',
    'n[9-1]',
    'n[1-99999999]',
    'a b',
    'n;',
  ]) {
    assert.throws(
      () => parseSelector(text),
      (error) => error instanceof HolonError && error.code === 'invalid_argument',
      text,
    )
  }
})

test('selectMachines() says when there is none', () => {
  assert.equal(selectMachines(machines, undefined), machines)
  assert.throws(() => selectMachines(machines, 'n7'), /there is no machine "n7"/)
})
