import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { constants } from 'node:os'
import { test } from 'node:test'
import { signalList, signalName, signalNumber } from './signals.ts'

test('signalNumber() agrees with this host for every name that Node knows', () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    if (name === 'SIGUNUSED') continue
    assert.equal(signalNumber(name), number, name)
  }
})

test('signalName() agrees with the kill of bash for every number', () => {
  for (const { name, number } of signalList()) {
    const shown = execFileSync('bash', ['-c', `kill -l ${number}`], { encoding: 'utf8' }).trim()
    // bash counts down from RTMAX in the upper half; the number is what matters.
    assert.equal(signalNumber(shown), number, `${name} is ${shown} in bash`)
    assert.equal(signalNumber(name), number)
    assert.equal(signalName(number), name)
  }
})

test('signalNumber() takes the usual spellings', () => {
  for (const spelling of ['SIGTERM', 'TERM', 'term', 'SigTerm', '15', 15]) {
    assert.equal(signalNumber(spelling), 15, String(spelling))
  }
  assert.equal(signalNumber('RTMIN'), 34)
  assert.equal(signalNumber('SIGRTMIN+3'), 37)
  assert.equal(signalNumber('RTMAX-1'), 63)
})

test('signalNumber() refuses what is no signal', () => {
  for (const wrong of [
    '',
    '0',
    '32',
    '33',
    '65',
    '-1',
    '1.5',
    'SIG',
    'FOO',
    'RTMIN-1',
    'RTMAX+1',
  ]) {
    assert.equal(signalNumber(wrong), undefined, wrong)
  }
  assert.equal(signalNumber('RTMIN+31'), undefined)
  assert.equal(signalName(0), undefined)
  assert.equal(signalName(1.5), undefined)
})
