import assert from 'node:assert/strict'
import { test } from 'node:test'
import { globalOptions } from './global-options.ts'

test('globalOptions() takes options up to the command, in any order and spelling', () => {
  assert.deepEqual(globalOptions(['ps', '-m', 'n1']), { rest: ['ps', '-m', 'n1'] })
  assert.deepEqual(globalOptions([]), { rest: [] })
  const both = { rest: ['ps'], timeout: 5000, machine: 'n2' }
  assert.deepEqual(globalOptions(['--timeout', '5s', '-m', 'n2', 'ps']), both)
  assert.deepEqual(globalOptions(['-mn2', '--timeout=5s', 'ps']), both)
  assert.deepEqual(globalOptions(['--machine=n2', '--timeout=5s', 'ps']), both)
  assert.deepEqual(globalOptions(['--help', '-m', 'n2']), { rest: ['--help', '-m', 'n2'] })
})

test('globalOptions() wants the values of its options', () => {
  for (const args of [['-m'], ['--machine='], ['--timeout'], ['--timeout', 'soon'], ['-m', '']]) {
    assert.throws(() => globalOptions(args), { code: 'invalid_argument' }, args.join(' '))
  }
})
