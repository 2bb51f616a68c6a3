import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { directives } from './directives.ts'
import { unitReference } from './reference.ts'

test('docs/units.md is up to date with the table', () => {
  const page = readFileSync(new URL('../../docs/units.md', import.meta.url), 'utf8')
  const hint = 'run scripts/generate-unit-reference.ts'
  assert.ok(page === unitReference(), `docs/units.md is out of date: ${hint}`)
})

test('unitReference() has a row for every directive', () => {
  const page = unitReference()
  for (const { name } of directives) assert.ok(page.includes(`\n| \`${name}=\` |`), name)
})
