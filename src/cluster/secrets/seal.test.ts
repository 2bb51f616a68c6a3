import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { newKeyPair } from '../identity/machine-key.ts'
import { seal, unseal } from './seal.ts'

const ours = newKeyPair()

test('unseal() gives back what seal() was given', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 3000 }), fc.string(), (bytes, context) => {
      const sealed = seal(ours.publicKey, bytes, context)
      assert.deepEqual([...unseal(ours.keyPem, sealed, context)], [...bytes])
    }),
    { numRuns: 50 },
  )
})

test('seal() never gives the same twice, and nothing of what it was given', () => {
  const bytes = Buffer.from('a password that is long enough')
  const sealed = [1, 2].map(() => seal(ours.publicKey, bytes, 'x'))
  assert.notEqual(sealed[0], sealed[1])
  for (const text of sealed) {
    const [, , body = ''] = text.split(' ')
    assert.ok(!Buffer.from(body, 'base64').includes(bytes.subarray(0, 8)))
  }
})

test('unseal() refuses another key, another context, and whatever was changed', () => {
  const sealed = seal(ours.publicKey, Buffer.from('value'), 'secret a/1')
  const refused = (keyPem: string, text: string, context: string) =>
    assert.throws(() => unseal(keyPem, text, context), { code: 'internal' })
  refused(newKeyPair().keyPem, sealed, 'secret a/1')
  refused(ours.keyPem, sealed, 'secret b/1')
  const [version = '', once = '', body = ''] = sealed.split(' ')
  const bytes = Buffer.from(body, 'base64')
  for (let at = 0; at < bytes.length; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] ?? 0) ^ 1
    refused(ours.keyPem, `${version} ${once} ${changed.toString('base64')}`, 'secret a/1')
  }
  for (const cut of [bytes.subarray(0, 15), bytes.subarray(0, -1), bytes.subarray(0, 0)]) {
    refused(ours.keyPem, `${version} ${once} ${cut.toString('base64')}`, 'secret a/1')
  }
  refused(ours.keyPem, `${version} ${newKeyPair().publicKey} ${body}`, 'secret a/1')
  for (const text of ['', '1', '1 x y', `2 ${once} ${body}`]) {
    refused(ours.keyPem, text, 'secret a/1')
  }
})
