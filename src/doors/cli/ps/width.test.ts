import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { cutToWidth, displayWidth, pad, printable } from './width.ts'

test('printable() leaves nothing that could steer a terminal', () => {
  assert.equal(printable('plain text'), 'plain text')
  assert.equal(printable('é 漢字 🙂'), 'é 漢字 🙂')
  assert.equal(printable('a\u001b[31mb\nc\td\u007f\u009b'), 'a?[31mb?c?d??')
  assert.equal(printable('\u202Egnp.exe\uFFFD'), '?gnp.exe?')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      assert.doesNotMatch(printable(text), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e]/)
    }),
  )
})

test('displayWidth() counts cells', () => {
  assert.equal(displayWidth(''), 0)
  assert.equal(displayWidth('abc'), 3)
  assert.equal(displayWidth('é'), 1)
  assert.equal(displayWidth('e\u0301'), 1)
  assert.equal(displayWidth('漢字'), 4)
  assert.equal(displayWidth('한글'), 4)
  assert.equal(displayWidth('🙂'), 2)
})

test('pad() and cutToWidth() keep to the cells, whatever the characters', () => {
  assert.equal(pad('漢', 4, 'left'), '漢  ')
  assert.equal(pad('漢', 4, 'right'), '  漢')
  assert.equal(pad('long', 2, 'left'), 'long')
  assert.equal(cutToWidth('漢字', 3), '漢')
  assert.equal(cutToWidth('abc', Number.POSITIVE_INFINITY), 'abc')
  fc.assert(
    fc.property(fc.string({ unit: 'grapheme' }), fc.nat(40), (text, cells) => {
      const safe = printable(text)
      const cut = cutToWidth(safe, cells)
      assert.ok(displayWidth(cut) <= cells && safe.startsWith(cut))
      const padded = displayWidth(pad(safe, cells, 'left'))
      assert.equal(padded, Math.max(cells, displayWidth(safe)))
    }),
  )
})
