import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { LogEntry } from '../../kernel/log-types.ts'
import { formatEntry, LogRenderer } from './log-format.ts'
import { parseLogTime } from './log-time.ts'

const atMs = new Date(2026, 10, 2, 17, 4, 5).getTime() + 6.789
const entry: LogEntry = {
  atMs,
  machine: 'n1',
  instance: 'web.service/1',
  stream: 'stdout',
  text: 'hello',
  complete: true,
}

test('formatEntry() has the formats of journalctl', () => {
  assert.equal(formatEntry(entry, 'short'), 'Nov 02 17:04:05 n1 web.service/1: hello')
  assert.equal(
    formatEntry(entry, 'short', { hostname: false }),
    'Nov 02 17:04:05 web.service/1: hello',
  )
  assert.match(
    formatEntry(entry, 'short-iso'),
    /^2026-11-02T17:04:05[+-]\d{4} n1 web\.service\/1: hello$/,
  )
  assert.match(formatEntry(entry, 'short-precise'), /^Nov 02 17:04:05\.00678\d n1 /)
  assert.equal(formatEntry(entry, 'cat'), 'hello')
  assert.deepEqual(JSON.parse(formatEntry(entry, 'json')), entry)
})

test('formatEntry() never gives a terminal what a program made up', () => {
  const text = 'a\x1b]0;title\x07b\tc\x9b31m\r\u202ed'
  const safe = '\\x1b]0;title\\x07b\tc\\x9b31m\\x0d\\u{202e}d'
  assert.equal(formatEntry({ ...entry, text }, 'cat'), `a${safe}`)
})

test('LogRenderer colours stderr, on request only', () => {
  const error: LogEntry = { ...entry, stream: 'stderr' }
  const plain = new LogRenderer({ format: 'short', terminal: true })
  assert.doesNotMatch(plain.render(error).toString(), /\x1b/)
  const color = new LogRenderer({ format: 'short', terminal: true, color: true })
  assert.match(color.render(error).toString(), /: \x1b\[31mhello\x1b\[39m\n$/)
  assert.doesNotMatch(color.render(entry).toString(), /\x1b/)
})

test('LogRenderer gives pipes and cat the exact bytes', () => {
  const bytes = Buffer.from([0x1b, 0xff, 0x00])
  const binary: LogEntry = { ...entry, text: bytes.toString(), base64: bytes.toString('base64') }
  const cat = new LogRenderer({ format: 'cat', terminal: true })
  assert.deepEqual(cat.render(binary), Buffer.concat([bytes, Buffer.from('\n')]))
  const piped = new LogRenderer({ format: 'short', terminal: false })
  assert.ok(piped.render(binary).includes(bytes))
  const terminal = new LogRenderer({ format: 'short', terminal: true })
  assert.ok(!terminal.render(binary).includes(0x1b))
})

test('LogRenderer puts the pieces of a line together, unless another comes in between', () => {
  const part: LogEntry = { ...entry, text: 'one ', complete: false }
  const rest: LogEntry = { ...entry, text: 'two' }
  const other: LogEntry = { ...entry, stream: 'stderr', text: 'err' }
  const show = (entries: readonly LogEntry[]) => {
    const renderer = new LogRenderer({ format: 'cat', terminal: false })
    return Buffer.concat([...entries.map((e) => renderer.render(e)), renderer.end()]).toString()
  }
  assert.equal(show([part, rest]), 'one two\n')
  assert.equal(show([part, other, rest]), 'one \nerr\ntwo\n')
  assert.equal(show([part]), 'one ')
  const short = new LogRenderer({ format: 'short', terminal: false })
  const text = Buffer.concat([short.render(part), short.end()]).toString()
  assert.match(text, /: one \n$/)
})

const local = (...parts: readonly number[]) => {
  const [year = 0, month = 1, ...rest] = parts
  return new Date(year, month - 1, ...(rest as [number])).getTime()
}

test('parseLogTime() takes what journalctl takes', () => {
  const nowMs = local(2026, 11, 22, 18, 30, 15)
  const table: readonly (readonly [string, number])[] = [
    ['2026-11-22 17:00', local(2026, 11, 22, 17)],
    ['2026-11-22 17:00:01', local(2026, 11, 22, 17, 0, 1)],
    ['2026-11-22T17:00:01.5', local(2026, 11, 22, 17, 0, 1) + 500],
    ['2026-11-22T17:00:00Z', Date.UTC(2026, 10, 22, 17)],
    ['2026-11-22', local(2026, 11, 22)],
    ['17:00', local(2026, 11, 22, 17)],
    ['17:00:30', local(2026, 11, 22, 17, 0, 30)],
    ['yesterday', local(2026, 11, 21)],
    ['today', local(2026, 11, 22)],
    ['tomorrow', local(2026, 11, 23)],
    ['now', nowMs],
    ['-1h', nowMs - 3_600_000],
    ['-1h 30min', nowMs - 5_400_000],
    ['+5s', nowMs + 5_000],
    ['1h ago', nowMs - 3_600_000],
    ['10 min ago', nowMs - 600_000],
    ['@1795366800', 1_795_366_800_000],
  ]
  for (const [text, expected] of table) {
    assert.equal(parseLogTime('--since', text, nowMs), expected, text)
  }
})

test('parseLogTime() refuses the rest, and says what to write', () => {
  for (const text of ['', 'soon', '2026-13-01', '2026-02-30', '25:00', '17:61', 'ago', '-', 'Z']) {
    assert.throws(() => parseLogTime('--since', text, 0), {
      code: 'invalid_argument',
      message: /--since .*10 min ago/,
    })
  }
})
