import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseEvent, parseEvents, parseState, percentDecode, percentEncode } from './records.ts'

const stateLine =
  'seq=7 phase=running keeper=10 boot=b-1 pid=11 ticks=99 since=5 started=4 restarts=2 ' +
  'result=success status=100%25%20up status-errno=5 signal=11 core=1 user-us=1 sys-us=2 maxrss-kb=3\n'

test('parseState() reads a whole line', () => {
  assert.deepEqual(parseState(stateLine), {
    seq: 7,
    phase: 'running',
    keeperPid: 10,
    bootId: 'b-1',
    pid: 11,
    startTicks: 99,
    sinceMs: 5,
    startedMs: 4,
    restarts: 2,
    result: 'success',
    statusText: '100% up',
    statusErrno: 5,
    exit: { signal: 'SIGSEGV', coreDumped: true },
    rusage: { userUs: 1, systemUs: 2, maxRssKb: 3 },
  })
})

test('parseState() of every beginning of a line is a state or undefined, never an error', () => {
  for (let length = 0; length < stateLine.length; length++) parseState(stateLine.slice(0, length))
  assert.equal(parseState('seq=7 phase=dancing'), undefined)
  fc.assert(fc.property(fc.string(), (line) => void parseState(line)))
})

test('parseEvent() decodes values, and refuses what it does not know', () => {
  assert.deepEqual(parseEvent('3 1000 50 start phase=start path=/a%20b%25 reason=x=y'), {
    seq: 3,
    wallMs: 1000,
    bootMs: 50,
    kind: 'start',
    fields: { phase: 'start', path: '/a b%', reason: 'x=y' },
  })
  for (const line of ['', 'x', '1 2 3', '1 2 3 dance', '-1 2 3 end', '1 2 x end']) {
    assert.equal(parseEvent(line), undefined, line)
  }
  fc.assert(fc.property(fc.string(), (line) => void parseEvent(line)))
})

test('parseEvents() counts malformed lines and leaves a line being written', () => {
  const { events, malformed } = parseEvents('1 1 1 running\ngarbage\n2 2 2 end phase=dead\n3 3 3 e')
  assert.deepEqual(
    events.map((event) => event.seq),
    [1, 2],
  )
  assert.equal(malformed, 1)
})

test('percentDecode() undoes percentEncode(), whose result is one word', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const encoded = percentEncode(text)
      assert.doesNotMatch(encoded, /[\x00-\x20\x7f]/)
      assert.equal(percentDecode(encoded), text)
    }),
  )
})
