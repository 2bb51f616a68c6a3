import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { parseAssignments, parseEnvironmentFile } from './environment.ts'

test('parseAssignments() reads the example of systemd.exec(5)', () => {
  const parsed = parseAssignments(`"VAR1=word1 word2" VAR2=word3 "VAR3=$word 5 6"`)
  assert.deepEqual(parsed, {
    kind: 'assignments',
    assignments: [
      ['VAR1', 'word1 word2'],
      ['VAR2', 'word3'],
      ['VAR3', '$word 5 6'],
    ],
  })
})

test('parseAssignments() refuses what is no assignment', () => {
  for (const wrong of ['A', '1A=b', 'A-B=c', '=x', 'A=1 B', String.raw`A=\.`, 'A="x', 'Ä=1']) {
    assert.equal(parseAssignments(wrong).kind, 'bad', wrong)
  }
})

const fileCases: readonly (readonly [why: string, text: string, expected: readonly string[][]])[] =
  [
    [
      'plain lines',
      'A=1\nB = 2 \n\n',
      [
        ['A', '1'],
        ['B', '2'],
      ],
    ],
    ['comments', '# A=1\n; B=2\n  # C=3\nD=4 # no comment', [['D', '4 # no comment']]],
    ['a comment ends with its line', '# note \\\nA=1', [['A', '1']]],
    ['inner white space', 'A=  one  two\t\n', [['A', 'one  two']]],
    [
      'single quotes',
      "A=' $x \\n'\nB='two\nlines'",
      [
        ['A', ' $x \\n'],
        ['B', 'two\nlines'],
      ],
    ],
    ['double quotes', 'A="a \\"b\\" \\\\ \\$c \\x"', [['A', 'a "b" \\ $c \\x']]],
    ['joined in double quotes', 'A="one \\\ntwo"', [['A', 'one two']]],
    [
      'backslashes without quotes',
      'A=a\\ \\b\\\\c\nB=x\\\ny',
      [
        ['A', 'a b\\c'],
        ['B', 'xy'],
      ],
    ],
    ['a kept blank at the end', 'A=a\\ ', [['A', 'a ']]],
    ['a quote after text stays', 'A=it\'s "so"', [['A', 'it\'s "so"']]],
    ['quoted parts in a row', 'A=\'a\'"b" c', [['A', 'abc']]],
    [
      'CRLF',
      'A=1\r\nB=2\r\n',
      [
        ['A', '1'],
        ['B', '2'],
      ],
    ],
    [
      'an empty value',
      'A=\nB=""',
      [
        ['A', ''],
        ['B', ''],
      ],
    ],
    ['equals signs in the value', 'URL=http://x?a=b', [['URL', 'http://x?a=b']]],
    ['an open quote ends with the file', 'A="b\nC=1', [['A', 'b\nC=1']]],
    ['a byte order mark', '\uFEFFA=1', [['A', '1']]],
    ['nothing', '', []],
  ]

for (const [why, text, expected] of fileCases) {
  test(`parseEnvironmentFile() reads ${why}`, () => {
    const { assignments, skipped } = parseEnvironmentFile(text)
    assert.deepEqual(assignments, expected)
    assert.deepEqual(skipped, [])
  })
}

test('parseEnvironmentFile() passes over other lines and says which', () => {
  const { assignments, skipped } = parseEnvironmentFile('export A=1\nB=2\nnonsense\n1C=3\n')
  assert.deepEqual(assignments, [['B', '2']])
  assert.deepEqual(
    skipped.map(({ line }) => line),
    [1, 3, 4],
  )
})

test('parseEnvironmentFile() gives back any value in single quotes', () => {
  const value = fc.string({ unit: 'grapheme' }).filter((text) => !/['\0]/.test(text))
  fc.assert(
    fc.property(value, (text) => {
      assert.deepEqual(parseEnvironmentFile(`A='${text}'\n`).assignments, [['A', text]])
    }),
  )
})

test('parseEnvironmentFile() takes any text without throwing', () => {
  const token = fc.constantFrom('A', '=', '\n', '\\', '"', "'", '#', ' ', '\r', ';', '$')
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(token).map((list) => list.join('')),
  )
  fc.assert(fc.property(text, (value) => void parseEnvironmentFile(value)))
})
