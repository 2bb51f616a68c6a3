import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { LinePrefixer, lineBytesMax } from './prefix-lines.ts'

const prefixer = () => new LinePrefixer({ line: 'n2 | ', rest: 'n2 + ' })

test('LinePrefixer gives whole lines only, however the bytes come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: fc.constantFrom('a', 'é', '\n', ' '), maxLength: 8 })),
      (chunks) => {
        const lines = prefixer()
        let out = ''
        for (const chunk of chunks) {
          const bytes = Buffer.from(chunk)
          const now = lines.push(bytes).toString()
          assert.ok(now === '' || now.endsWith('\n'))
          out += now
          // The caller's memory is its own again.
          bytes.fill(0x78)
        }
        out += lines.end().toString()
        const text = chunks.join('')
        const expected = text.split('\n').map((line) => `n2 | ${line}\n`)
        if (text === '' || text.endsWith('\n')) expected.pop()
        assert.equal(out, expected.join(''))
      },
    ),
  )
})

test('LinePrefixer shows a line over its bound in pieces, and holds no more than that', () => {
  const lines = prefixer()
  const out = Buffer.concat([
    lines.push(Buffer.alloc(lineBytesMax + 10, 'x')),
    lines.push(Buffer.from('y\nz\n')),
  ]).toString()
  const x = 'x'.repeat(lineBytesMax)
  assert.equal(out, `n2 | ${x}\nn2 + ${'x'.repeat(10)}y\nn2 | z\n`)
  assert.equal(lines.end().length, 0)
})

test('LinePrefixer ends an unfinished line', () => {
  const lines = prefixer()
  assert.equal(lines.push(Buffer.from('no newline')).length, 0)
  assert.equal(lines.end().toString(), 'n2 | no newline\n')
  assert.equal(lines.end().length, 0)
})
