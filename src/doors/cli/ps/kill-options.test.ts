import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../../../base/errors.ts'
import { parseKill, translateSignals } from './kill-options.ts'

const parse = (line: string) => parseKill(line.split(' ').filter((word) => word !== ''))
const signalOf = (line: string) => {
  const request = parse(line)
  return request.kind === 'send' ? request.signal : undefined
}

test('parseKill() takes a signal in every spelling, before the targets', () => {
  assert.equal(signalOf('42'), 15)
  for (const nine of ['-9 42', '-KILL 42', '-SIGKILL 42', '-kill 42', '-s KILL 42', '-s 9 42']) {
    assert.equal(signalOf(nine), 9, nine)
  }
  for (const nine of ['-n 9 42', '-n9 42', '-sKILL 42', '--signal KILL 42', '--signal=9 -- 42']) {
    assert.equal(signalOf(nine), 9, nine)
  }
  assert.equal(signalOf('-0 42'), 0)
  assert.equal(signalOf('-STOP 42'), 19)
  assert.equal(signalOf('-RTMIN+1 42'), 35)
})

test('parseKill() tells processes, runs and mistakes apart', () => {
  const request = parse('-9 42 n1:7 run/k3x -- -5')
  assert.ok(request.kind === 'send')
  assert.deepEqual(
    request.targets.map((target) => target.kind),
    ['process', 'process', 'run', 'bad', 'bad'],
  )
  for (const bad of ['0', 'n1:0', 'n1:', ':5', '%1', 'web', '1.5', '1e3', '99999999999']) {
    const only = parse(`-9 ${bad}`)
    assert.equal(only.kind === 'send' && only.targets[0]?.kind, 'bad', bad)
  }
  const dashed = parse('-- 42')
  assert.ok(dashed.kind === 'send' && dashed.targets.length === 1 && dashed.signal === 15)
  // A process group, which kill(1) would take for one once a signal is named.
  const group = parse('-9 -42')
  assert.ok(group.kind === 'send' && group.targets[0]?.kind === 'bad')
})

test('parseKill() never takes anything for the target of every process', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 5 }), { maxLength: 4 }), (words) => {
      try {
        const request = parseKill(words)
        if (request.kind !== 'send') return
        for (const target of request.targets) {
          if (target.kind === 'process') assert.ok(target.ref.pid > 0)
        }
      } catch (error) {
        assert.ok(error instanceof HolonError && error.code === 'invalid_argument', String(error))
      }
    }),
  )
})

test('parseKill() wants targets and known signals', () => {
  for (const wrong of ['', '-9', '--', '-s', '-NOPE 1', '-s NOPE 1', '--frob 1', '-99 1']) {
    assert.throws(() => parse(wrong), { code: 'invalid_argument' }, wrong)
  }
})

test('translateSignals() turns names, numbers and exit statuses around', () => {
  assert.deepEqual(translateSignals(['9', 'TERM', '137', 'sighup']), ['KILL', '15', 'KILL', '1'])
  assert.throws(() => translateSignals(['200']), { code: 'invalid_argument' })
})
