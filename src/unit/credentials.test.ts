import assert from 'node:assert/strict'
import { test } from 'node:test'
import { parseCredentialName, secretsOf } from './credentials.ts'
import { loadUnit, type ServiceUnit } from './unit.ts'

function load(...lines: readonly string[]) {
  const text = `[Service]\nExecStart=/bin/a\n${lines.join('\n')}\n`
  return loadUnit({ name: 'web-a.service', text })
}

function unitOf(...lines: readonly string[]): ServiceUnit {
  const result = load(...lines)
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit
}

function credentialsOf(...lines: readonly string[]) {
  return unitOf(...lines).credentials.map(({ id, path, secret, text }) => ({
    id,
    ...(path && { path }),
    ...(secret && { secret }),
    ...(text && { text: Buffer.from(text).toString('latin1') }),
  }))
}

test('loadCredential() takes an absolute path for a file and another word for a secret', () => {
  assert.deepEqual(
    credentialsOf('LoadCredential=a:/etc/%p/a', 'LoadCredential=b:db', 'LoadCredential=c'),
    [
      { id: 'a', path: '/etc/%p/a' },
      { id: 'b', secret: 'db' },
      { id: 'c', secret: 'c' },
    ],
  )
  assert.deepEqual(credentialsOf('LoadCredential=a:%h/a'), [{ id: 'a', path: '%h/a' }])
  assert.deepEqual(credentialsOf('LoadCredential=a:%p.%j'), [{ id: 'a', secret: 'web-a.a' }])
})

test('loadCredential() refuses a name that differs from machine to machine, and odd ones', () => {
  for (const value of ['a:%H', '%b', 'a b', 'a:../x', '..', ':x', 'ü']) {
    const result = load(`LoadCredential=${value}`)
    assert.equal(result.kind, 'refused', value)
  }
})

test('setCredential() knows the escapes of C, any byte, and no specifiers', () => {
  assert.deepEqual(credentialsOf('SetCredential=a:50%off\\n\\xff\\\\'), [
    { id: 'a', text: '50%off\n\xff\\' },
  ])
  assert.equal(load('SetCredential=a').kind, 'refused')
  assert.equal(load('SetCredential=a:\\q').kind, 'refused')
})

test('setCredential() is the fallback of the same ID, in whatever order', () => {
  const both = [{ id: 'a', secret: 'x', text: 'b' }]
  assert.deepEqual(credentialsOf('SetCredential=a:b', 'LoadCredential=a:x'), both)
  assert.deepEqual(credentialsOf('LoadCredential=a:x', 'SetCredential=a:b'), both)
})

test('resetCredentials() takes back what lines of that directive said', () => {
  const lines = ['LoadCredential=a:x', 'SetCredential=a:b', 'SetCredential=c:d', 'LoadCredential=e']
  assert.deepEqual(credentialsOf(...lines, 'LoadCredential='), [
    { id: 'a', text: 'b' },
    { id: 'c', text: 'd' },
  ])
  assert.deepEqual(credentialsOf(...lines, 'SetCredential='), [
    { id: 'a', secret: 'x' },
    { id: 'e', secret: 'e' },
  ])
})

test('secretsOf() names each secret once, and no files', () => {
  const unit = unitOf('LoadCredential=a:x', 'LoadCredential=b:x', 'LoadCredential=c:/x')
  assert.deepEqual(secretsOf(unit), ['x'])
})

test('parseCredentialName() takes what names a file and no other', () => {
  for (const name of ['a', 'db.password', 'web@1', '...', 'A_b-c+d']) {
    assert.equal(parseCredentialName(name).kind, 'ok', name)
  }
  for (const name of ['', '.', '..', 'a/b', 'a b', 'a:b', 'a\n', 'x'.repeat(129)]) {
    assert.equal(parseCredentialName(name).kind, 'bad', name)
  }
})
