import assert from 'node:assert/strict'
import { test } from 'node:test'
import { directives, findDirective, judge, nearestName } from './directives.ts'
import type { DirectiveLine } from './parse.ts'

function line(section: string, name: string, value = 'yes'): DirectiveLine {
  return { section, name, value, file: 'x.service', line: 7 }
}

test('directives has each name once, with a meaning, and a reason unless honoured', () => {
  const seen = new Set<string>()
  for (const row of directives) {
    const key = `[${row.section}] ${row.name}`
    assert.ok(!seen.has(key), `${key} is there twice`)
    seen.add(key)
    assert.match(row.meaning, /^[^a-z].*\.$/s, key)
    assert.equal(row.reason === '', row.status === 'honoured', key)
    assert.ok(!/[|\n]/.test(row.meaning + row.reason), `${key} breaks the page's table`)
  }
  assert.ok(seen.size > 400)
})

test('judge() honours dependencies on services, and tells of those that change nothing', () => {
  const judged = (name: string, value: string) => judge(line('Unit', name, value)).status
  for (const value of [
    'network.target',
    'syslog.target network-online.target',
    'dbus.socket',
    '',
  ]) {
    assert.equal(judged('After', value), 'harmless', value)
  }
  assert.equal(judged('After', 'network.target redis.service'), 'honoured')
  assert.equal(judged('Requires', 'redis.service'), 'honoured')
  assert.equal(judged('Wants', 'network-online.target'), 'harmless')
  assert.equal(judged('Conflicts', 'shutdown.target'), 'harmless')
  assert.equal(judged('Conflicts', 'apache.service'), 'honoured')
})

test('judge() accepts WantedBy= only for what a boot reaches', () => {
  assert.equal(
    judge(line('Install', 'WantedBy', 'multi-user.target default.target')).status,
    'harmless',
  )
  assert.equal(judge(line('Install', 'WantedBy', 'shutdown.target')).status, 'refused')
  assert.equal(judge(line('Install', 'WantedBy', 'web.service')).status, 'refused')
})

test('judge() refuses nonsense even where a sound value changes nothing', () => {
  assert.equal(judge(line('Unit', 'DefaultDependencies', 'no')).status, 'harmless')
  assert.equal(judge(line('Unit', 'DefaultDependencies', 'perhaps')).status, 'refused')
})

test('judge() refuses sandboxing, with the reason', () => {
  const verdict = judge(line('Service', 'ProtectSystem', 'strict'))
  assert.equal(verdict.status, 'refused')
  assert.match(verdict.message, /not enforced/)
})

test('judge() suggests the nearest spelling', () => {
  const slips: readonly (readonly [string, string])[] = [
    ['ExceStart', 'ExecStart'],
    ['Enviroment', 'Environment'],
    ['restartsec', 'RestartSec'],
    ['Restarts', 'Restart'],
    ['WorkingDirectroy', 'WorkingDirectory'],
  ]
  for (const [name, expected] of slips) {
    const verdict = judge(line('Service', name))
    assert.equal(verdict.status, 'refused')
    assert.equal(verdict.suggestion, expected, name)
  }
  assert.equal(judge(line('Service', 'CompletelyOther')).suggestion, undefined)
  assert.match(judge(line('Servcie', 'ExecStart')).message, /did you mean \[Service\]/)
})

test('judge() says where a misplaced directive belongs', () => {
  assert.match(judge(line('Unit', 'ExecStart')).message, /belongs into \[Service\]/)
  assert.match(judge(line('Socket', 'ListenStream')).message, /socket units/)
})

test('judge() leaves X- names to other programs', () => {
  assert.equal(judge(line('X-Other', 'Anything')).status, 'harmless')
  assert.equal(judge(line('Service', 'X-Anything')).status, 'harmless')
  assert.equal(judge(line('X-Holon', 'Anything')).status, 'refused')
})

test('findDirective() takes [X-Fleet] as another name for [X-Holon]', () => {
  assert.equal(findDirective('X-Fleet', 'Instances')?.status, 'honoured')
  assert.equal(judge(line('X-Fleet', 'Global', 'true')).status, 'honoured')
  assert.match(judge(line('X-Fleet', 'X-Conflicts', 'db*')).message, /obsolete/)
})

test('nearestName() is quiet about short names and long distances', () => {
  assert.equal(nearestName('Ab', ['Cd', 'Type']), undefined)
  assert.equal(nearestName('Tpye', ['Type', 'Nice']), 'Type')
  assert.equal(nearestName('x'.repeat(100_000), ['Type']), undefined)
})
