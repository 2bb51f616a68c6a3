import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { mergeUnitFiles, parseUnitFile, unitProblemsError } from './parse.ts'

function triples(text: string | Uint8Array): readonly (readonly [string, string, number])[] {
  const parsed = parseUnitFile({ file: 'x.service', text })
  assert.deepEqual(parsed.problems, [])
  return parsed.directives.map(({ name, value, line }) => [name, value, line])
}

test('parseUnitFile() reads the example of systemd.syntax(7)', () => {
  const text = `[Section A]
KeyOne=value 1
KeyTwo=value 2

# a comment

[Section B]
Setting="something" "some thing" "..."
KeyTwo=value 2 \\
       value 2 continued

[Section C]
KeyThree=value 3\\
# this line is ignored
; this line is ignored too
       value 3 continued
`
  const parsed = parseUnitFile({ file: 'x.service', text })
  assert.deepEqual(parsed.problems, [])
  assert.deepEqual(
    parsed.sections.map(({ section, line }) => [section, line]),
    [
      ['Section A', 1],
      ['Section B', 7],
      ['Section C', 12],
    ],
  )
  assert.deepEqual(triples(text), [
    ['KeyOne', 'value 1', 2],
    ['KeyTwo', 'value 2', 3],
    ['Setting', '"something" "some thing" "..."', 8],
    ['KeyTwo', 'value 2         value 2 continued', 9],
    ['KeyThree', 'value 3        value 3 continued', 13],
  ])
})

test('parseUnitFile() keeps repeated names, empty values, and "=" in values', () => {
  assert.deepEqual(triples('[S]\nA=1\nA=\n A = b=c \t\n'), [
    ['A', '1', 2],
    ['A', '', 3],
    ['A', 'b=c', 4],
  ])
})

test('parseUnitFile() takes CRLF, a byte order mark, and no newline at the end', () => {
  assert.deepEqual(triples('\uFEFF[S]\r\nA=1 \\\r\n 2\r\nB=3'), [
    ['A', '1   2', 2],
    ['B', '3', 4],
  ])
  assert.deepEqual(triples(new TextEncoder().encode('\uFEFF[S]\nA=é')), [['A', 'é', 2]])
  assert.deepEqual(triples('[S]\nA=1 \\'), [['A', '1', 2]])
})

test('parseUnitFile() tells an escaped backslash at the end from a continuation', () => {
  assert.deepEqual(triples('[S]\nA=x \\\\\nB=1\n'), [
    ['A', 'x \\\\', 2],
    ['B', '1', 3],
  ])
})

test('parseUnitFile() ends a continuation at an empty line', () => {
  assert.deepEqual(triples('[S]\nA=x \\\n\nB=1\n'), [
    ['A', 'x', 2],
    ['B', '1', 4],
  ])
})

const wrong: readonly (readonly [why: string, text: string | Uint8Array, line: number])[] = [
  ['no equals sign', '[S]\nnonsense\n', 2],
  ['no name', '[S]\n= x\n', 2],
  ['an assignment before any section', 'A=1\n[S]\n', 1],
  ['a header that is not closed', '[S]\n[Service\nA=1\n', 2],
  ['text behind a header', '[S] # x\n', 1],
  ['an empty header', '[]\n', 1],
  ['a NUL', '[S]\nA=\0\n', 2],
  ['a NUL in a comment', '[S]\n#\0\n', 2],
  ['bytes that are no UTF-8', Uint8Array.from([91, 83, 93, 10, 65, 61, 0xff, 10]), 2],
  ['half a character', '[S]\nA=\ud800\n', 2],
  ['a file that is too long', 'x'.repeat(limits.unitFileBytesMax + 1), 1],
]

for (const [why, text, line] of wrong) {
  test(`parseUnitFile() refuses ${why} with its line`, () => {
    const { problems } = parseUnitFile({ file: 'x.service', text })
    assert.deepEqual(
      problems.map((problem) => [problem.file, problem.line]),
      [['x.service', line]],
    )
  })
}

test('parseUnitFile() does not mind Latin-1 in a comment', () => {
  const text = Uint8Array.from([35, 0xe9, 10, 91, 83, 93, 10, 65, 61, 49])
  assert.deepEqual(triples(text), [['A', '1', 3]])
})

test('parseUnitFile() takes any text and bytes without throwing, in time', () => {
  const token = fc.constantFrom('[S]', '\n', '=', '\\', '#', ' ', 'A', '\r', '\0', ';', '[', ']')
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(token).map((list) => list.join('')),
    fc.uint8Array({ maxLength: 200 }),
  )
  fc.assert(
    fc.property(text, (value) => {
      const { directives, problems } = parseUnitFile({ file: 'x', text: value })
      for (const { line } of [...directives, ...problems]) assert.ok(line >= 1)
    }),
  )
  for (const fill of [' ', '\\\n', '\\', 'a \\\n', '[', '=']) {
    const long = fill.repeat(Math.floor((limits.unitFileBytesMax - 10) / fill.length))
    parseUnitFile({ file: 'x', text: `[S]\nA=${long}x` })
  }
})

test('mergeUnitFiles() appends drop-ins, which keep their own file and line', () => {
  const main = parseUnitFile({ file: 'x.service', text: '[S]\nA=1\n' })
  const dropIn = parseUnitFile({ file: 'x.service.d/a.conf', text: '[S]\n\nA=2\nbad\n' })
  const merged = mergeUnitFiles(main, [dropIn])
  assert.deepEqual(
    merged.directives.map(({ file, line, value }) => [file, line, value]),
    [
      ['x.service', 2, '1'],
      ['x.service.d/a.conf', 3, '2'],
    ],
  )
  assert.equal(merged.problems[0]?.file, 'x.service.d/a.conf')
})

test('unitProblemsError() names every line', () => {
  const { problems } = parseUnitFile({ file: 'x.service', text: '[S]\na\nb\n' })
  const error = unitProblemsError('x.service', problems)
  assert.ok(error instanceof HolonError)
  assert.equal(error.code, 'invalid_argument')
  assert.match(error.message, /2 lines are refused.*x\.service:2: .*x\.service:3: /s)
})
