import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parsePs } from './options.ts'
import { type Caller, narrow, select } from './select.ts'
import { testProcess } from './test-system.ts'

const caller: Caller = { uid: 1000, pid: 50, startTicks: 9, tty: 'pts/1' }
const rows = [
  testProcess({ pid: 1, sid: 1, uid: 0, user: 'root', group: 'root', gid: 0, comm: 'init' }),
  testProcess({ pid: 10, sid: 10, tty: 'pts/1', comm: 'bash' }),
  testProcess({ pid: 11, sid: 10, ppid: 10, tty: 'pts/1', comm: 'vim', state: 'R' }),
  testProcess({ pid: 12, sid: 12, tty: 'tty1', comm: 'a-name-that-is-' }),
  testProcess({ pid: 13, sid: 1, tty: '', comm: 'daemon' }),
  testProcess({ pid: 50, sid: 10, startTicks: 9, tty: 'pts/1', comm: 'holon' }),
  testProcess({ pid: 11, sid: 77, machine: 'n2', tty: 'pts/1', comm: 'other' }),
]
const chosen = (line: string) =>
  select(rows, parsePs(line.split(' ').filter((word) => word !== '')).selection, caller).map(
    (row) => `${row.machine}:${row.pid}`,
  )

test('select() without options shows the own terminal, on the own machine only', () => {
  assert.deepEqual(chosen(''), ['n1:10', 'n1:11', 'n1:50'])
  assert.deepEqual(chosen('T'), ['n1:10', 'n1:11', 'n1:50'])
})

test('select() widens by a and x', () => {
  assert.deepEqual(chosen('u'), ['n1:10', 'n1:11', 'n1:12', 'n1:50', 'n2:11'])
  assert.deepEqual(chosen('x'), ['n1:10', 'n1:11', 'n1:12', 'n1:13', 'n1:50', 'n2:11'])
  assert.equal(chosen('ax').length, rows.length)
  assert.equal(chosen('-e').length, rows.length)
})

test('select() adds criteria up, and -N turns them around', () => {
  assert.deepEqual(chosen('-p 1 -C daemon'), ['n1:1', 'n1:13'])
  assert.deepEqual(chosen('-p 11'), ['n1:11', 'n2:11'])
  assert.deepEqual(chosen('-p n2:11'), ['n2:11'])
  assert.deepEqual(chosen('--ppid 10'), ['n1:11'])
  assert.deepEqual(chosen('-u 0'), ['n1:1'])
  assert.deepEqual(chosen('-u root -N'), chosen('-u ann'))
  assert.deepEqual(chosen('-G root'), ['n1:1'])
  assert.deepEqual(chosen('-s 10'), ['n1:10', 'n1:11', 'n1:50'])
  assert.deepEqual(chosen('-C a-name-that-is-longer'), ['n1:12'])
  for (const tty of ['tty1', '/dev/tty1', '1'])
    assert.ok(chosen(`-t ${tty}`).includes('n1:12'), tty)
  assert.deepEqual(chosen('-a'), ['n1:11', 'n1:50', 'n2:11'])
  assert.deepEqual(chosen('axr'), ['n1:11'])
})

test('narrow() asks the machines for no less than what is shown', () => {
  const query = (line: string) =>
    narrow(parsePs(line.split(' ').filter((word) => word !== '')).selection, caller)
  assert.deepEqual(query('-p 1,n1:2'), { pids: [1, 2] })
  assert.deepEqual(query('-u 0'), { uids: [0] })
  assert.deepEqual(query(''), { uids: [1000] })
  assert.deepEqual(query('x'), { uids: [1000] })
  for (const line of ['-e', 'ax', '-u root', '-p 1 -u 0', '-N -p 1', '-C x -p 1']) {
    assert.deepEqual(query(line), {}, line)
  }
})
