import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolonError } from '../base/errors.ts'
import { checkSpecifiers, expandSpecifiers, type SpecifierContext } from './specifiers.ts'
import { fullUnitName, unescapeUnitName, unitNameError } from './unit-name.ts'

const context: SpecifierContext = {
  unitName: 'my-web\\x2dapp.service',
  hostName: 'n1.example.org',
  machineId: 'aa11',
  kernelRelease: '6.1.0',
  osRelease: { ID: 'debian', VERSION_ID: '12' },
  user: { name: 'ada', uid: 1000, group: 'users', gid: 100, home: '/home/ada', shell: '/bin/zsh' },
  directories: {
    runtime: '/run/user/1000',
    state: '/home/ada/.local/state',
    cache: '/home/ada/.cache',
    logs: '/home/ada/.local/state/log',
    configuration: '/home/ada/.config',
  },
}

test('expandSpecifiers() gives each its value', () => {
  const expected: Readonly<Record<string, string>> = {
    '%n': 'my-web\\x2dapp.service',
    '%N %p': 'my-web\\x2dapp my-web\\x2dapp',
    '%P|%j|%J|%f': 'my/web-app|web\\x2dapp|web-app|/my/web-app',
    '[%i%I]': '[]',
    '%H %l': 'n1.example.org n1',
    '%m %v': 'aa11 6.1.0',
    '%o%w %W': 'debian12 ',
    '%u %U %g %G %h %s': 'ada 1000 users 100 /home/ada /bin/zsh',
    '%t %S %L': '/run/user/1000 /home/ada/.local/state /home/ada/.local/state/log',
    '%C %E': '/home/ada/.cache /home/ada/.config',
    '%T %V': '/tmp /var/tmp',
    '100% %% %3A %%n %': '100% % %3A %n %',
  }
  for (const [text, value] of Object.entries(expected)) {
    assert.equal(checkSpecifiers(text), undefined, text)
    assert.equal(expandSpecifiers(text, context), value)
  }
})

test('expandSpecifiers() says when this machine has no value', () => {
  const isUnavailable = (error: unknown) =>
    error instanceof HolonError && error.code === 'unavailable'
  assert.throws(() => expandSpecifiers('x%b', context), isUnavailable)
})

test('checkSpecifiers() refuses unknown ones and says how to write a percent sign', () => {
  assert.match(checkSpecifiers('date +%Y') ?? '', /%%Y/)
  assert.equal(checkSpecifiers('date +%%Y'), undefined)
})

test('unitNameError() accepts services and refuses the rest with a reason', () => {
  for (const name of ['web.service', 'a.b:c_d-e\\x2d.service', '0.service']) {
    assert.equal(unitNameError(name), undefined, name)
  }
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['web', /does not end/],
    ['.service', /no name/],
    ['web.timer', /timer unit/],
    ['web@.service', /template/],
    ['web@1.service', /template/],
    ['a b.service', /other characters/],
    ['../x.service', /other characters/],
    [`${'x'.repeat(250)}.service`, /longer/],
  ]
  for (const [name, reason] of wrong) assert.match(unitNameError(name) ?? '', reason, name)
})

test('fullUnitName() adds .service where no type is', () => {
  assert.equal(fullUnitName('web'), 'web.service')
  assert.equal(fullUnitName('web.service'), 'web.service')
  assert.equal(fullUnitName('web.v2'), 'web.v2.service')
  assert.equal(fullUnitName('web.timer'), 'web.timer')
})

test('unescapeUnitName() undoes escapes, also of other characters', () => {
  assert.equal(unescapeUnitName('a-b\\x2dc\\xc3\\xa9é'), 'a/b-céé')
})
