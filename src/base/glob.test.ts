import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { globMatches } from './glob.ts'

test('globMatches() knows the shell’s patterns', () => {
  const yes = [
    ['web', 'web'],
    ['*', ''],
    ['db-*.service', 'db-1.service'],
    ['*a*b*', 'xxaxxbxx'],
    ['n?', 'n1'],
    ['n[0-3x]', 'nx'],
    ['[!a-c]*', 'delta'],
    ['[]x]', ']'],
    ['a\\*', 'a*'],
    ['[a', '[a'],
    ['?', 'é'],
  ] as const
  const no = [
    ['web', 'web2'],
    ['?', ''],
    ['n[0-3]', 'n4'],
    ['[!a-c]', 'b'],
    ['a\\*', 'ab'],
    ['*.service', 'db.timer'],
    ['WEB', 'web'],
  ] as const
  for (const [pattern, text] of yes) assert.ok(globMatches(pattern, text), `${pattern} ${text}`)
  for (const [pattern, text] of no) assert.ok(!globMatches(pattern, text), `${pattern} ${text}`)
  assert.ok(globMatches('N1*', 'n1.example', { ignoreCase: true }))
})

test('globMatches() matches what was cut out of a text, and is never slow', () => {
  fc.assert(
    fc.property(fc.string(), fc.string(), fc.string(), (start, middle, end) => {
      const quote = (text: string) => text.replace(/[*?[\]\\]/g, '\\$&')
      assert.ok(globMatches(`${quote(start)}*${quote(end)}`, start + middle + end))
    }),
  )
  assert.ok(!globMatches(`${'*a'.repeat(1000)}b`, 'a'.repeat(10_000)))
})
