import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { LocalTime } from '../../../io/proc-time.ts'
import type { ProcessInfo } from '../../../kernel/types.ts'
import type { View } from './columns.ts'
import { parsePs } from './options.ts'
import { forest, sortRows, tableLines } from './table.ts'
import { testProcess } from './test-system.ts'
import { displayWidth } from './width.ts'

const localTime = (ms: number): LocalTime => ({
  year: 1970,
  month: 1,
  day: 1 + Math.floor(ms / 86_400_000),
  hour: Math.floor(ms / 3_600_000) % 24,
  minute: Math.floor(ms / 60_000) % 60,
  second: Math.floor(ms / 1000) % 60,
  weekday: 4,
})

const facts = {
  machine: 'n1',
  memoryBytes: 1024 * 1024 * 1024,
  memoryAvailableBytes: 512 * 1024 * 1024,
  swapBytes: 0,
  swapFreeBytes: 0,
  cpuCount: 2,
  uptimeMs: 7_200_000,
  load: [0, 0, 0] as const,
  cpuBusyMs: 1,
  cpuIdleMs: 1,
}
const view: View = { nowMs: 7_200_000, facts: new Map([['n1', facts]]), localTime }

const rows: readonly ProcessInfo[] = [
  testProcess({
    pid: 1,
    ppid: 0,
    pgid: 1,
    sid: 1,
    uid: 0,
    user: 'root',
    comm: 'init',
    args: ['/sbin/init'],
    startTicks: 0,
    startedAtMs: 0,
    nlwp: 3,
    unit: '',
  }),
  testProcess({
    pid: 2,
    ppid: 0,
    pgid: 0,
    sid: 0,
    uid: 0,
    user: 'root',
    comm: 'kthreadd',
    args: [],
    vszBytes: 0,
    rssBytes: 0,
    userMs: 0,
    systemMs: 0,
  }),
  testProcess({ unit: 'redis.service/1', tty: 'pts/3', tpgid: 4242, nice: 5 }),
  testProcess({
    pid: 5000,
    ppid: 4242,
    sid: 4242,
    comm: 'odd\n) name',
    args: ['x\ny', '\u001b[31m', '漢字'],
    state: 'Z',
    user: 'very-long-user',
  }),
]

function printed(line: string, width = Number.POSITIVE_INFINITY): string[] {
  const request = parsePs(line.split(' '))
  return tableLines(rows, request.columns, view, { headers: request.headers, lineWidth: width })
}

test('tableLines() of -ef', () => {
  assert.deepEqual(printed('-ef'), [
    'MACHINE UID              PID  PPID  C STIME TTY          TIME UNIT            CMD',
    'n1      root               1     0  0 00:00 ?        00:01:03 -               /sbin/init',
    'n1      root               2     0  0 01:00 ?        00:00:00 -               [kthreadd]',
    'n1      ann             4242     1  1 01:00 pts/3    00:01:03 redis.service/1 redis-server *:6379',
    'n1      very-long-user  5000  4242  1 01:00 ?        00:01:03 -               x y ?[31m 漢字',
  ])
})

test('tableLines() of aux', () => {
  assert.deepEqual(printed('aux'), [
    'MACHINE USER             PID %CPU %MEM    VSZ   RSS TTY      STAT START   TIME UNIT            COMMAND',
    'n1      root               1  0.8  1.1  65536 12288 ?        Ssl  00:00   1:03 -               /sbin/init',
    'n1      root               2  0.0  0.0      0     0 ?        S    01:00   0:00 -               [kthreadd]',
    'n1      ann             4242  1.7  1.1  65536 12288 pts/3    SNs+ 01:00   1:03 redis.service/1 redis-server *:6379',
    'n1      very-long-user  5000  1.7  1.1  65536 12288 ?        Z    01:00   1:03 -               x y ?[31m 漢字',
  ])
})

test('tableLines() of the short list, and of lists without headers', () => {
  assert.deepEqual(printed('-e').slice(3), [
    'n1       4242 pts/3    00:01:03 redis.service/1 redis-server',
    'n1       5000 ?        00:01:03 -               odd?) name <defunct>',
  ])
  assert.deepEqual(printed('-eo pid='), ['    1', '    2', ' 4242', ' 5000'])
  assert.deepEqual(printed('-eo comm,pid --no-headers').slice(0, 1), ['init                     1'])
  assert.deepEqual(printed('-eo id,etime,lstart').slice(0, 2), [
    'ID           ELAPSED                  STARTED',
    'n1:1        02:00:00 Thu Jan  1 00:00:00 1970',
  ])
})

test('tableLines() fits a terminal, and makes one line per process whatever it is called', () => {
  const text = fc.string({ unit: 'binary', maxLength: 30 })
  fc.assert(
    fc.property(
      text,
      fc.array(text, { maxLength: 3 }),
      text,
      fc.integer({ min: 1, max: 120 }),
      (comm, args, user, width) => {
        for (const line of ['-ef', 'aux', '-eo comm,args,user']) {
          const { columns } = parsePs(line.split(' '))
          const row = testProcess({ comm, args, user })
          const lines = tableLines([row], columns, view, { headers: true, lineWidth: width })
          assert.equal(lines.length, 2)
          for (const each of lines) {
            assert.ok(displayWidth(each) <= width)
            assert.doesNotMatch(each, /[\u0000-\u001f\u007f-\u009f]/)
          }
        }
      },
    ),
  )
})

test('sortRows() by any column and direction, then by machine and pid', () => {
  const pids = (line: string) =>
    sortRows(rows, parsePs(line.split(' ')).sort, view).map((row) => row.pid)
  assert.deepEqual(pids('-e'), [1, 2, 4242, 5000])
  assert.deepEqual(pids('-e --sort -pid'), [5000, 4242, 2, 1])
  assert.deepEqual(pids('-e --sort rss,-pid'), [2, 5000, 4242, 1])
  assert.deepEqual(pids('-e --sort user'), [4242, 1, 2, 5000])
  assert.deepEqual(pids('-e k-%cpu'), [4242, 5000, 1, 2])
})

test('forest() puts children below their parents and loses nobody, rings included', () => {
  const tree = forest(rows)
  assert.deepEqual(
    tree.rows.map((row) => `${tree.indent(row)}${row.pid}`),
    ['1', ' \\_ 4242', '     \\_ 5000', '2'],
  )
  const ring = [
    testProcess({ pid: 7, ppid: 8 }),
    testProcess({ pid: 8, ppid: 7 }),
    testProcess({ pid: 9, ppid: 9 }),
  ]
  assert.deepEqual(
    forest(ring)
      .rows.map((row) => row.pid)
      .sort(),
    [7, 8, 9],
  )
  const pair = fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 0, max: 12 }))
  fc.assert(
    fc.property(fc.uniqueArray(pair, { selector: ([pid]) => pid }), (pairs) => {
      const some = pairs.map(([pid, ppid]) => testProcess({ pid, ppid }))
      assert.deepEqual(new Set(forest(some).rows), new Set(some))
      assert.equal(forest(some).rows.length, some.length)
    }),
  )
})
