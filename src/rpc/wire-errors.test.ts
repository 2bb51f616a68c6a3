import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { errorCodes, HolonError } from '../base/errors.ts'
import { fromWire, fromWireExpression, wireExpression } from './wire-errors.ts'

test('wireExpression() and fromWireExpression() bring every error back', () => {
  const errors = fc.record({
    code: fc.constantFrom(...errorCodes),
    message: fc.string({ minLength: 1 }),
    outcome: fc.constantFrom('none' as const, 'unknown' as const),
    retryable: fc.boolean(),
    details: fc.dictionary(fc.string(), fc.jsonValue()),
  })
  fc.assert(
    fc.property(errors, ({ code, message, ...rest }) => {
      // What JSON itself changes (-0) is not the point here.
      const details = JSON.parse(JSON.stringify(rest.details)) as Record<string, unknown>
      const text = JSON.stringify(wireExpression(new HolonError(code, message, rest)))
      const error = fromWireExpression(JSON.parse(text))
      assert.deepEqual(
        { ...error, message: error.message },
        { ...rest, name: 'HolonError', code, message, details },
      )
    }),
  )
})

test('fromWire() makes anything else internal with outcome unknown, and never throws', () => {
  const error = fromWire({ message: 'm', code: 'made_up', retryable: true, details: '{' })
  assert.equal(error.code, 'internal')
  assert.equal(error.outcome, 'unknown')
  assert.deepEqual(error.details, { unknownCode: 'made_up' })
  fc.assert(
    fc.property(fc.anything(), (value) => {
      assert(errorCodes.includes(fromWire(value).code))
      assert(errorCodes.includes(fromWireExpression(value).code))
    }),
  )
})

test('wireExpression() sends no cause, no stack, and no details that are not JSON', () => {
  const cycle: Record<string, unknown> = {}
  cycle['self'] = cycle
  const error = new HolonError('internal', 'm', { details: cycle, cause: new Error('secret') })
  const text = JSON.stringify(wireExpression(error))
  assert.doesNotMatch(text, /secret|wire-errors\.test/)
  assert.deepEqual(fromWireExpression(JSON.parse(text)).details, { detailsDropped: 'not JSON' })
})

test('wireExpression() bounds what it sends', () => {
  const error = new HolonError('internal', 'm'.repeat(1e6), { details: { long: 'x'.repeat(3e6) } })
  assert(JSON.stringify(wireExpression(error)).length < 100_000)
})
