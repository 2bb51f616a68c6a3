import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../base/errors.ts'
import { decodeDump, encodeDump } from './dump.ts'
import type { StateDump } from './port.ts'

const dumps: fc.Arbitrary<StateDump> = fc.record({
  revision: fc.nat(),
  entries: fc.array(
    fc.record<StateDump['entries'][number]>({
      key: fc.string({ minLength: 1, unit: 'grapheme' }),
      revision: fc.nat(),
      value: fc.jsonValue().map((value) => JSON.parse(JSON.stringify(value)) as unknown),
      schema: fc.nat(),
      operationId: fc.string({ minLength: 1 }),
      writer: fc.string({ minLength: 1 }),
    }),
    { maxLength: 5 },
  ),
})

const refused = (error: unknown) => error instanceof HolonError && error.code === 'invalid_argument'

test('decodeDump() reads what encodeDump() wrote', () => {
  const roundTrip = fc.property(dumps, (dump) => {
    const { revision, entries } = dump
    const decoded = decodeDump([...encodeDump(dump)].join(''), 'x')
    assert.deepEqual(decoded, { revision, entries: entries.map((entry) => ({ ...entry })) })
  })
  fc.assert(roundTrip)
})

test('decodeDump() refuses a dump with any byte changed or cut off', () => {
  const entries = [
    { key: 'a', revision: 1, value: { é: 1 }, schema: 1, operationId: 'op', writer: 'w' },
  ]
  const bytes = Buffer.from([...encodeDump({ revision: 1, entries })].join(''))
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i] = (changed[i] ?? 0) ^ (1 << (i % 8))
    assert.throws(() => decodeDump(changed.toString(), 'x'), refused, `byte ${i}`)
    assert.throws(() => decodeDump(bytes.subarray(0, i).toString(), 'x'), refused, `cut at ${i}`)
  }
})
