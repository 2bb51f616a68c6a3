import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import type { ProcessInfo, ProcessListing } from '../../../kernel/types.ts'
import { testProcess } from './test-system.ts'
import { decodeKeys, pressKey, type TopState } from './top-keys.ts'
import { sample } from './top-sample.ts'
import { topFrame } from './top-screen.ts'
import { displayWidth } from './width.ts'

const now = { year: 2026, month: 11, day: 22, hour: 18, minute: 4, second: 11, weekday: 0 }
const start: TopState = { sort: 'cpu', reversed: false, fullCommand: false, scroll: 0, help: false }

function listing(
  uptimeMs: number,
  busyMs: number,
  processes: readonly ProcessInfo[],
): ProcessListing {
  return {
    processes,
    missing: [],
    machines: [
      {
        machine: 'n1',
        memoryBytes: 1024 ** 3,
        memoryAvailableBytes: 1024 ** 3 / 4,
        swapBytes: 0,
        swapFreeBytes: 0,
        cpuCount: 2,
        uptimeMs,
        load: [0.5, 0.25, 0.1],
        cpuBusyMs: busyMs,
        cpuIdleMs: 2 * uptimeMs - busyMs,
      },
    ],
  }
}

const idle = testProcess({
  pid: 1,
  comm: 'init',
  user: 'root',
  uid: 0,
  userMs: 500,
  systemMs: 0,
  startTicks: 0,
})
const busy = (userMs: number) =>
  testProcess({ pid: 7, comm: 'busy', userMs, systemMs: 0, startTicks: 10 })
const before = listing(100_000, 10_000, [idle, busy(50_000)])
const after = listing(102_000, 13_000, [
  idle,
  busy(53_000),
  testProcess({ pid: 8, comm: 'new', userMs: 500, systemMs: 0, startTicks: 10_100 }),
])

test('sample() gives shares of the time between two readings', () => {
  const { rows, machines } = sample(after, before)
  const cpu = new Map(rows.map((row) => [row.info.comm, row.cpuPercent]))
  assert.equal(cpu.get('init'), 0)
  assert.equal(cpu.get('busy'), 150)
  assert.equal(cpu.get('new'), 50)
  assert.equal(machines[0]?.cpuPercent, 75)
})

test('sample() does not take a reused pid for the process before it', () => {
  const reused = testProcess({
    pid: 7,
    comm: 'other',
    userMs: 200,
    systemMs: 0,
    startTicks: 10_000,
  })
  const [row] = sample(listing(102_000, 13_000, [reused]), before).rows
  assert.equal(row?.cpuPercent, 10)
})

test('sample() of one reading gives shares since each began', () => {
  const { rows, machines } = sample(before, undefined)
  assert.equal(rows[0]?.cpuPercent, 0.5)
  assert.equal(machines[0]?.cpuPercent, 5)
})

test('topFrame() of two readings', () => {
  const { lines, header } = topFrame(sample(after, before), start, now, { rows: 24, columns: 100 })
  assert.deepEqual(lines, [
    'top - 18:04:11  3 processes: 0 running, 3 sleeping, 0 stopped, 0 zombie',
    'n1  up 1 min  load 0.50 0.25 0.10  cpu 75.0% of 2  mem 768.0M/1.0G',
    '',
    'MACHINE     PID USER      PR  NI    VIRT     RES S  %CPU %MEM     TIME+ UNIT     COMMAND',
    'n1            7 ann       20   0   64.0M   12.0M S 150.0  1.2   0:53.00 -        busy',
    'n1            8 ann       20   0   64.0M   12.0M S  50.0  1.2   0:00.50 -        new',
    'n1            1 root      20   0   64.0M   12.0M S   0.0  1.2   0:00.50 -        init',
  ])
  assert.equal(header, 3)
})

test('topFrame() names machines that did not answer', () => {
  const partial = { ...after, missing: [{ machine: 'n4', code: 'unavailable' as const }] }
  const { lines } = topFrame(sample(partial, before), start, now, { rows: 9, columns: 80 })
  assert.match(lines.join('\n'), /n4 unreachable: its processes are not shown/)
})

test('topFrame() fits every screen and never scrolls past the end', () => {
  const many = Array.from({ length: 30 }, (_, pid) => testProcess({ pid, comm: `漢${pid}\n` }))
  const full = sample(listing(1000, 10, many), undefined)
  fc.assert(
    fc.property(
      fc.nat(40),
      fc.integer({ min: 1, max: 120 }),
      fc.nat(1000),
      fc.boolean(),
      (rows, columns, scroll, help) => {
        const frame = topFrame(full, { ...start, scroll, help }, now, { rows, columns })
        assert.ok(frame.lines.length <= rows)
        assert.ok(frame.lines.every((line) => displayWidth(line) <= columns))
        assert.ok(frame.scroll >= 0 && frame.scroll <= 30)
        assert.ok(help || frame.page === 0 || frame.scroll + frame.page <= 30 || frame.scroll === 0)
      },
    ),
  )
})

function type(keys: readonly string[], state = start) {
  const effects: unknown[] = []
  let next = state
  for (const key of keys) {
    const step = pressKey(next, key, 10)
    next = step.state
    if (step.effect !== undefined) effects.push(step.effect)
  }
  return { state: next, effects }
}

test('pressKey() sorts, turns around, moves, and quits', () => {
  assert.equal(type(['M']).state.sort, 'mem')
  assert.equal(type(['N', 'R']).state.reversed, true)
  assert.equal(type(['down', 'down', 'up', 'up', 'up']).state.scroll, 0)
  assert.equal(type(['page-down', 'down']).state.scroll, 11)
  assert.deepEqual(type(['q']).effects, [{ kind: 'quit' }])
  assert.deepEqual(type(['u', 'q', 'ctrl-c']).effects, [{ kind: 'quit' }])
  assert.equal(type(['h']).state.help, true)
  assert.equal(type(['h', 'M']).state.help, false)
})

test('pressKey() asks for a user and for a signal', () => {
  assert.equal(type(['u', 'a', 'x', 'backspace', 'n', 'n', 'enter']).state.user, 'ann')
  assert.equal(type(['u', 'enter'], { ...start, user: 'ann' }).state.user, undefined)
  assert.equal(type(['u', 'a', 'escape']).state.user, undefined)
  assert.deepEqual(type([...'kn1:42', 'enter', 'enter']).effects, [
    { kind: 'kill', target: { pid: 42, machine: 'n1' }, signal: 15 },
  ])
  assert.deepEqual(type([...'k42', 'enter', '9', 'enter']).effects, [
    { kind: 'kill', target: { pid: 42 }, signal: 9 },
  ])
  assert.match(type([...'kx', 'enter']).state.message ?? '', /no process id/)
  assert.match(type([...'k42', 'enter', ...'zz', 'enter']).state.message ?? '', /no signal/)
  assert.deepEqual(type(['k', 'enter']).effects, [])
})

test('decodeKeys() takes apart what a terminal sends', () => {
  assert.deepEqual(decodeKeys('q\x1b[A\x1bOB\x1b[5~\x1b[99;5u\x03\r\x7f\x1bé'), [
    'q',
    'up',
    'down',
    'page-up',
    'ctrl-c',
    'enter',
    'backspace',
    'escape',
    'é',
  ])
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => decodeKeys(text).length <= text.length),
  )
})
