import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, test } from 'node:test'
import type { Directories } from '../../io/paths.ts'
import { type GivenDnsSettings, settleDns } from './settings.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'holon-dns-'))
})
afterEach(() => rmSync(dir, { recursive: true }))

const settle = (given: GivenDnsSettings, scope: Directories['scope'] = 'custom') =>
  settleDns({ scope, stateDir: join(dir, 'state'), runtimeDir: dir }, given)

test('settleDns() listens on the loopback for the whole machine, nowhere for others', () => {
  assert.deepEqual(settle({}), { listen: undefined, forward: [] })
  assert.deepEqual(settle({}, 'user'), { listen: undefined, forward: [] })
  assert.deepEqual(settle({}, 'system').listen, { host: '127.0.0.1', port: 4653 })
})

test('settleDns() remembers what was given, until something else is', () => {
  const listen = { host: '::1', port: 53 }
  const forward = [
    { host: '192.0.2.1', port: 53 },
    { host: '2001:db8::1', port: 5353 },
  ]
  const given = { listen: '[::1]:53', forward: '192.0.2.1,[2001:db8::1]:5353' }
  assert.deepEqual(settle(given), { listen, forward })
  assert.deepEqual(settle({}, 'system'), { listen, forward })
  assert.deepEqual(settle({ forward: 'off' }), { listen, forward: [] })
  assert.deepEqual(settle({ listen: 'off' }, 'system'), { listen: undefined, forward: [] })
  assert.deepEqual(settle({ listen: '::1' }).listen, { host: '::1', port: 4653 })
})

test('settleDns() refuses what is no address, too many, and itself; nothing is kept of it', () => {
  const refused = { code: 'invalid_argument' }
  for (const listen of ['x', 'localhost:53', '127.0.0.1:0', '127.0.0.1:99999', '1.2.3:5', ':53']) {
    assert.throws(() => settle({ listen }), refused, listen)
  }
  assert.throws(() => settle({ forward: '192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,::1' }), refused)
  assert.throws(() => settle({ listen: '127.0.0.1:53', forward: '127.0.0.1' }), refused)
  assert.deepEqual(settle({}), { listen: undefined, forward: [] })
})
