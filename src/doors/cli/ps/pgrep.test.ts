import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../../../base/errors.ts'
import { pgrepMatch } from './pgrep-match.ts'
import { parsePgrep } from './pgrep-options.ts'
import { testProcess } from './test-system.ts'

const caller = { uid: 0, pid: 99, startTicks: 1, tty: '' }
const processes = [
  testProcess({
    pid: 1,
    uid: 0,
    user: 'root',
    comm: 'init',
    args: ['/sbin/init', 'splash'],
    startTicks: 0,
    startedAtMs: 0,
  }),
  testProcess({ pid: 2, comm: 'kthreadd', args: [] }),
  testProcess({ pid: 10, comm: 'sshd', args: ['sshd: ann'], startedAtMs: 9 }),
  testProcess({
    pid: 11,
    ppid: 10,
    comm: 'ssh-agent',
    args: ['ssh-agent', '-D'],
    state: 'Z',
    startedAtMs: 99,
  }),
  testProcess({
    pid: 99,
    startTicks: 1,
    comm: 'sshd-looker',
    args: ['holon', 'pgrep', '-f', 'ssh'],
  }),
]
const facts = {
  machine: 'n1',
  memoryBytes: 1,
  memoryAvailableBytes: 1,
  swapBytes: 0,
  swapFreeBytes: 0,
  cpuCount: 1,
  uptimeMs: 3_700_000,
  load: [0, 0, 0] as const,
  cpuBusyMs: 0,
  cpuIdleMs: 0,
}
const found = (line: string) =>
  pgrepMatch({ processes, machines: [facts] }, parsePgrep('pgrep', line.split(' ')), caller).map(
    (row) => row.pid,
  )

test('pgrepMatch() finds by name, exactly, and by command line, never itself', () => {
  assert.deepEqual(found('ssh'), [10, 11])
  assert.deepEqual(found('-x sshd'), [10])
  assert.deepEqual(found('SSH'), [])
  assert.deepEqual(found('-i SSH'), [10, 11])
  assert.deepEqual(found('-f ann|splash'), [1, 10])
  assert.deepEqual(found('-f kthread'), [2])
  assert.deepEqual(found('^(init|sshd)$'), [1, 10])
  assert.deepEqual(found('ssh[[:punct:]]'), [11])
  assert.deepEqual(found('-- -agent'), [11])
})

test('pgrepMatch() wants every criterion to hold', () => {
  assert.deepEqual(found('-u root'), [1])
  assert.deepEqual(found('-u ann ssh'), [10, 11])
  assert.deepEqual(found('-P 10'), [11])
  assert.deepEqual(found('-P 10 sshd'), [])
  assert.deepEqual(found('-r Z'), [11])
  assert.deepEqual(found('-O 3600'), [1])
  assert.deepEqual(found('-n ssh'), [11])
  assert.deepEqual(found('-o ssh'), [10])
  assert.deepEqual(found('-n nothing'), [])
  assert.deepEqual(found('-v ssh'), [1, 2])
})

test('parsePgrep() knows the habitual options of both', () => {
  assert.equal(parsePgrep('pkill', ['-9', 'x']).signal, 9)
  assert.equal(parsePgrep('pkill', ['-HUP', '-f', 'x']).signal, 1)
  assert.equal(parsePgrep('pkill', ['--signal', 'USR1', 'x']).signal, 10)
  assert.equal(parsePgrep('pkill', ['x']).signal, 15)
  assert.equal(parsePgrep('pgrep', ['-la', 'x']).show, 'args')
  assert.equal(parsePgrep('pgrep', ['-d,', 'x']).delimiter, ',')
  assert.deepEqual(parsePgrep('pgrep', ['-fu', 'ann', 'x']).users, ['ann'])
  assert.equal(parsePgrep('pgrep', ['-m', 'n2', 'x']).machine, 'n2')
  for (const wrong of [
    [],
    ['a', 'b'],
    ['-Z', 'x'],
    ['-u'],
    ['('],
    ['--nope', 'x'],
    ['-O', 'x', 'y'],
  ]) {
    assert.throws(() => parsePgrep('pgrep', wrong), { code: 'invalid_argument' }, String(wrong))
  }
  assert.throws(() => parsePgrep('pkill', ['-v', 'x']), /pgrep -v/)
  assert.throws(() => parsePgrep('pgrep', ['-9', 'x']), { code: 'invalid_argument' })
})

test('parsePgrep() ends in a request or a usage error for any words', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ maxLength: 6 }), { maxLength: 5 }), (words) => {
      try {
        parsePgrep('pkill', words)
      } catch (error) {
        assert.ok(error instanceof HolonError && error.code === 'invalid_argument', String(error))
      }
    }),
  )
})
