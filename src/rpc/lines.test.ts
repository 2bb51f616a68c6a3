import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../base/errors.ts'
import { LineSplitter } from './lines.ts'

function split(chunks: readonly Buffer[], bytesMax = 1000): string[] {
  const lines: string[] = []
  const splitter = new LineSplitter(bytesMax, (line) => lines.push(line))
  for (const chunk of chunks) splitter.push(chunk)
  return lines
}

test('LineSplitter gives the same lines however the bytes are cut', () => {
  const line = fc
    .string({ unit: 'grapheme', maxLength: 30 })
    .map((text) => text.replaceAll('\n', ''))
  fc.assert(
    fc.property(fc.array(line), fc.array(fc.nat(9)), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((text) => `${text}\n`).join(''))
      const chunks: Buffer[] = []
      let at = 0
      for (const cut of cuts) {
        chunks.push(bytes.subarray(at, at + cut))
        at += cut
      }
      chunks.push(bytes.subarray(at))
      // What is no text at all (lone surrogates) comes as U+FFFD.
      assert.deepEqual(
        split(chunks),
        lines.map((text) => Buffer.from(text).toString()),
      )
    }),
  )
})

test('LineSplitter keeps a line without end to itself', () => {
  assert.deepEqual(split([Buffer.from('a\nb')]), ['a'])
})

test('LineSplitter throws exhausted as soon as a line is over its bound', () => {
  assert.deepEqual(split([Buffer.from(`${'x'.repeat(10)}\n`)], 10), ['x'.repeat(10)])
  for (const chunks of [['x'.repeat(11)], ['x'.repeat(6), 'x'.repeat(5)], ['xxxxxx', 'xxxxx\n']])
    assert.throws(
      () =>
        split(
          chunks.map((text) => Buffer.from(text)),
          10,
        ),
      (error) => error instanceof HolonError && error.code === 'exhausted',
    )
})

test('LineSplitter looks at each byte once', () => {
  // Looking again at what came before would take minutes for a line in this many chunks.
  const chunk = Buffer.alloc(64, 'x')
  const chunks = Array.from({ length: 200_000 }, () => chunk)
  const [line] = split([...chunks, Buffer.from('\n')], 64 * 200_000)
  assert.equal(line?.length, 64 * 200_000)
})
