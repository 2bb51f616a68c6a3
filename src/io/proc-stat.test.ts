import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseCmdline, parseResidentPages, parseStat, parseUids } from './proc-stat.ts'

const rest =
  'S 1 4242 4241 34817 4242 4194304 92 0 0 0 123 45 0 0 20 -5 3 0 123456 5423104 800 ' +
  '18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n'

test('parseStat() gives every field of a line', () => {
  assert.deepEqual(parseStat(Buffer.from(`4242 (redis-server) ${rest}`)), {
    pid: 4242,
    comm: 'redis-server',
    state: 'S',
    ppid: 1,
    pgid: 4242,
    sid: 4241,
    ttyNumber: 34817,
    tpgid: 4242,
    userTicks: 123,
    systemTicks: 45,
    priority: 20,
    nice: -5,
    nlwp: 3,
    startTicks: 123456,
    vszBytes: 5423104,
  })
})

test('parseStat() takes any name, however much it looks like the fields after it', () => {
  for (const comm of [
    '',
    ' ',
    ')',
    '(',
    'a b',
    ') R 1 2 3',
    '((',
    'x\ny',
    '1 (x) S 0',
    ') S 1 1',
  ]) {
    const stat = parseStat(Buffer.from(`7 (${comm}) ${rest}`))
    assert.equal(stat?.comm, comm)
    assert.equal(stat.ppid, 1)
    assert.equal(stat.startTicks, 123456)
  }
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 15 }), (name) => {
      const comm = name.toWellFormed()
      assert.equal(parseStat(Buffer.from(`7 (${comm}) ${rest}`))?.comm, comm)
    }),
  )
})

test('parseStat() gives undefined for what is no such line, and never throws', () => {
  assert.equal(parseStat(Buffer.from('')), undefined)
  assert.equal(parseStat(Buffer.from('7 (x) S 1 2')), undefined)
  assert.equal(parseResidentPages(Buffer.from('')), undefined)
  assert.equal(parseResidentPages(Buffer.from('730 437 413 5 0 109 0\n')), 437)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      parseStat(Buffer.from(bytes))
      parseUids(Buffer.from(bytes))
      parseCmdline(Buffer.from(bytes))
    }),
  )
})

test('parseCmdline() is the inverse of how the kernel writes arguments', () => {
  const arg = fc.string({ unit: 'grapheme', maxLength: 20 }).filter((text) => !text.includes('\0'))
  fc.assert(
    fc.property(fc.array(arg, { minLength: 1, maxLength: 8 }), (args) => {
      const isTitle =
        args.length > 1 && args[0]?.includes(' ') && args.slice(1).every((a) => a === '')
      fc.pre(!isTitle)
      assert.deepEqual(parseCmdline(Buffer.from(`${args.join('\0')}\0`)), args)
    }),
  )
})

test('parseCmdline() takes a title that a process wrote over its arguments as one', () => {
  assert.deepEqual(parseCmdline(Buffer.from('nginx: master process\0\0\0\0\0')), [
    'nginx: master process',
  ])
  assert.deepEqual(parseCmdline(Buffer.from('postgres: walwriter ')), ['postgres: walwriter '])
  assert.deepEqual(parseCmdline(Buffer.from('cmd\0\0')), ['cmd', ''])
})

test('parseUids() is not fooled by a name', () => {
  const status =
    'Name:\tUid:\\t0\\t0\\t0\nState:\tS\nUid:\t1000\t1001\t1002\t1003\nGid:\t5\t5\t5\t5\n'
  assert.deepEqual(parseUids(Buffer.from(status)), { real: 1000, effective: 1001, saved: 1002 })
})
