import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { quoteWord, splitVariable, splitWords } from './words.ts'

function words(text: string): readonly string[] {
  const split = splitWords(text)
  assert.equal(split.kind, 'words', text)
  return split.kind === 'words' ? split.words : []
}

test('splitWords() follows systemd.syntax(7)', () => {
  assert.deepEqual(words(`"something" "some thing" "..."`), ['something', 'some thing', '...'])
  assert.deepEqual(words(`a'b c'd  "" ''`), ['ab cd', '', ''])
  assert.deepEqual(words(String.raw`\a\b\f\n\r\t\v\\\"\'\s`), ['\x07\b\f\n\r\t\v\\"\' '])
  assert.deepEqual(words(String.raw`\x41\101\u00e9\U0001f600`), ['AAé😀'])
  assert.deepEqual(words(String.raw`'\x41'`), ['A'], 'escapes count in single quotes too')
})

test('splitWords() joins bytes to UTF-8, and refuses what makes none', () => {
  assert.deepEqual(words(String.raw`\xc3\xa9\303\251`), ['éé'])
  assert.equal(splitWords(String.raw`\xff`).kind, 'bad')
  assert.equal(splitWords(String.raw`\xc3é`).kind, 'bad')
})

test('splitWords() keeps unknown escapes and reports them', () => {
  const split = splitWords(String.raw`\.x \x4 \777 \ud800 \0 \x00`)
  assert.ok(split.kind === 'words')
  assert.deepEqual(split.words, [
    String.raw`\.x`,
    String.raw`\x4`,
    '\\777',
    '\\ud800',
    '\\0',
    '\\x00',
  ])
  assert.deepEqual(split.unknownEscapes, ['\\.', '\\x', '\\7', '\\u', '\\0', '\\x'])
})

test('splitWords() refuses a quote that is not closed', () => {
  assert.equal(splitWords('a "b').kind, 'bad')
  assert.equal(splitWords("a 'b").kind, 'bad')
})

test('quoteWord() makes text that splitWords() gives back', () => {
  const text = fc.string({ unit: 'grapheme' }).filter((word) => !word.includes('\0'))
  fc.assert(
    fc.property(fc.array(text), (list) => {
      assert.deepEqual(words(list.map(quoteWord).join(' ')), list)
    }),
  )
})

test('splitWords() takes any text without throwing', () => {
  const token = fc.constantFrom(
    '\\',
    'x',
    '4',
    '"',
    "'",
    ' ',
    'u',
    '\\x4',
    '\\U0001',
    'é',
    '\ud800',
  )
  const text = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.array(token).map((list) => list.join('')),
  )
  fc.assert(fc.property(text, (value) => void splitWords(value)))
})

test('splitVariable() groups by quotes and cannot fail', () => {
  assert.deepEqual(splitVariable(` one 'two two'  "x"y `), ['one', 'two two', 'xy'])
  assert.deepEqual(splitVariable(''), [])
  assert.deepEqual(splitVariable(`'' "open`), ['', 'open'])
  assert.deepEqual(splitVariable(String.raw`a\ b \'c`), ['a b', "'c"])
})
