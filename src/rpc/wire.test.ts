import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import {
  membershipInterface,
  processInterface,
  runInterface,
  systemInterface,
  unitInterface,
} from './wire.ts'

/** The methods of the kernel's interfaces, with whether their comment says "Idempotent.". */
function documented(): ReadonlyMap<string, boolean> {
  const text = readFileSync(join(import.meta.dirname, '../kernel/kernel.ts'), 'utf8')
  const found = new Map<string, boolean>()
  for (const [, name, body] of text.matchAll(/export interface (\w+) \{\n(.*?)\n\}/gs))
    for (const [, comment, method] of (body ?? '').matchAll(
      /\/\*\*((?:(?!\*\/).)*)\*\/\s+(\w+)\(/gs,
    ))
      found.set(`${name}.${method}()`, /\bIdempotent\./.test(comment ?? ''))
  return found
}

test('the descriptors are idempotent where the kernel says so', () => {
  const described = [
    systemInterface,
    membershipInterface,
    processInterface,
    unitInterface,
    runInterface,
  ].flatMap(({ methods }) => methods.map(({ label, idempotent }) => [label, idempotent] as const))
  assert(described.length > 20)
  assert.deepEqual(new Map(described), new Map([...documented()]))
})
