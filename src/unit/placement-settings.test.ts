import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { formatUnitProblem } from './parse.ts'
import { defaultRules, minInstances, type PlacementRules, rolloutCount } from './placement-rules.ts'
import { readRequirements } from './requirement.ts'
import { loadUnit } from './unit.ts'

function load(section: string, lines: readonly string[]) {
  const text = `[Service]\nExecStart=/bin/web\n[${section}]\n${lines.join('\n')}\n`
  return loadUnit({ name: 'web-1.service', text })
}

function rules(...lines: readonly string[]): PlacementRules {
  const result = load('X-Holon', lines)
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit.placement
}

function fleet(...lines: readonly string[]): PlacementRules {
  const result = load('X-Fleet', lines)
  assert.ok(result.kind === 'loaded', JSON.stringify(result))
  return result.unit.placement
}

function refusal(...lines: readonly string[]): string {
  const result = load('X-Holon', lines)
  assert.ok(result.kind === 'refused', lines.join('; '))
  return result.problems.map(formatUnitProblem).join('\n')
}

test('[X-Holon] becomes rules of placement', () => {
  assert.deepEqual(rules(), defaultRules)
  assert.deepEqual(
    rules(
      'Instances=5',
      'MinInstances=3',
      'MaxInstances=10',
      'Nodes=3',
      'PerNode=2',
      'Require=arch=x86_64 mem>=2G',
      'Require=zone=eu|us',
      'Prefer=disk=ssd',
      'With=db cache.service',
      'Apart=batch-*',
      'Partition=at-most',
      'Reserve=cpus=0.5 mem=256M',
      'Priority=-10',
      'Rebalance=load',
      'Rollout=25%',
    ),
    {
      instances: 5,
      minInstances: 3,
      maxInstances: 10,
      nodes: 3,
      perNode: 2,
      global: false,
      require: 'arch=x86_64 mem>=2G zone=eu|us',
      prefer: 'disk=ssd',
      with: ['db.service', 'cache.service'],
      apart: ['batch-*.service'],
      partition: 'at-most',
      reserve: { cpus: 0.5, memoryBytes: 256 * 2 ** 20 },
      priority: -10,
      rebalance: 'load',
      rollout: { kind: 'percent', percent: 25 },
      conditions: [],
      serves: false,
    },
  )
  assert.deepEqual(rules('Global=yes', 'PerNode=2', 'Rollout=3'), {
    ...defaultRules,
    global: true,
    perNode: 2,
    rollout: { kind: 'count', count: 3 },
  })
})

test('lists of [X-Holon] add up, and an empty value resets them', () => {
  assert.deepEqual(rules('With=a', 'With=b a').with, ['a.service', 'b.service'])
  assert.deepEqual(rules('With=a', 'With=').with, [])
  assert.equal(rules('Require=gpu=yes', 'Require=', 'Require=mem>=1G').require, 'mem>=1G')
  assert.deepEqual(rules('Reserve=mem=1G', 'Reserve=cpus=2').reserve, {
    cpus: 2,
    memoryBytes: 2 ** 30,
  })
  assert.deepEqual(rules('Reserve=mem=1G', 'Reserve=').reserve, defaultRules.reserve)
})

test('[X-Holon] expands specifiers of the name, and refuses those of a machine', () => {
  const unit = rules('With=%p-db', 'Apart=%N-old.service', 'Require=for=%j')
  assert.deepEqual(unit.with, ['web-1-db.service'])
  assert.deepEqual(unit.apart, ['web-1-old.service'])
  assert.equal(unit.require, 'for=1')
  assert.match(refusal('Require=hostname=%H'), /%H differs from machine to machine/)
})

test('a unit that is apart from itself has one instance on a machine', () => {
  assert.equal(rules('Instances=3', 'Apart=web-1').perNode, 1)
  assert.equal(rules('Instances=3', 'Apart=web-*').perNode, 1)
  assert.equal(rules('Instances=3', 'Apart=web').perNode, 0)
  assert.match(refusal('Apart=web-*', 'PerNode=2'), /web-1\.service:5: PerNode=: Apart= names/)
})

test('[X-Fleet] means what fleet documents', () => {
  assert.deepEqual(
    fleet(
      'MachineMetadata="region=us-east-1" "diskType=SSD"',
      'MachineMetadata=region=us-west-1',
      'MachineOf=%p-data.service',
      'Conflicts=monitor*',
      'Conflicts=batch@*.service',
    ),
    {
      ...defaultRules,
      require: 'region=us-east-1|us-west-1 diskType=SSD',
      with: ['web-1-data.service'],
      apart: ['monitor*.service', 'batch@*.service'],
    },
  )
  assert.equal(fleet('Global=true', 'MachineMetadata=role=edge').global, true)
  const id = '0123456789abcdef0123456789abcdef'
  assert.deepEqual(fleet(`MachineID=${id}`).conditions, [
    { name: 'MachineID', value: id, negated: false, triggering: false },
  ])
})

test('[X-Fleet] refuses what cannot be done as fleet did', () => {
  assert.match(refusal('Replaces=old.service'), /no unit can send others away/)
  assert.match(refusal('X-ConditionMachineOf=db.service'), /obsolete/)
  assert.match(refusal('MachineOf=web.socket'), /is a socket unit/)
  assert.match(refusal('MachineID=n1'), /is no machine id.*Require=name=/)
  assert.match(refusal('MachineMetadata=region'), /not like "region=eu-west"/)
  assert.match(refusal('MachineMetadata="owner=the web team"'), /not like "region=eu-west"/)
})

test('[X-Holon] refuses values that make no sense, with file and line', () => {
  const wrong: readonly (readonly [string, RegExp])[] = [
    ['MinInstances=-1', /no whole number from 0/],
    ['Nodes=0', /no whole number from 1/],
    ['PerNode=many', /no whole number from 0/],
    ['Global=perhaps', /neither yes nor no/],
    ['Require=mem>=lots', /"mem>=lots": lots is no number/],
    ['Prefer=ssd', /it is not like/],
    ['With=a/b', /holds other characters/],
    ['Apart=a,b', /no unit's name nor a pattern/],
    ['Partition=both', /not one of at-least, at-most/],
    ['Reserve=cpus=2G', /not like cpus=0\.5/],
    ['Reserve=disk=1G', /not like cpus=0\.5/],
    ['Priority=1001', /from -1000 to 1000/],
    ['Rebalance=yes', /not one of no, return, load/],
    ['Rollout=0', /no whole number from 1/],
    ['Rollout=101%', /no whole number from 1 to 100/],
    ['Rollout=', /the value is empty/],
  ]
  for (const [line, message] of wrong) {
    assert.match(refusal(line), message, line)
    assert.match(refusal(line), /^web-1\.service:4: /, line)
  }
})

test('[X-Holon] refuses lines that do not go together, at the one to change', () => {
  const wrong: readonly (readonly [readonly string[], RegExp])[] = [
    [['MinInstances=3', 'Instances=2'], /:4: MinInstances=: 3 is more than Instances=2/],
    [['Instances=5', 'MaxInstances=4'], /:5: MaxInstances=: 4 is less than Instances=5/],
    [['Instances=2', 'Nodes=3'], /:5: Nodes=: Instances=2 cannot be on 3 machines/],
    [['Nodes=2'], /:4: Nodes=: Instances=1 cannot/],
    [['Global=yes', 'Instances=2'], /:5: Instances=: with Global=yes, PerNode= says/],
    [['Global=yes', 'Nodes=2'], /:5: Nodes=: with Global=yes/],
    [['Global=yes', 'Partition=at-most'], /:5: Partition=: with Global=yes/],
    [['Partition=at-most', 'MinInstances=1'], /:5: MinInstances=: with Partition=at-most/],
    [['With=web-1'], /:4: With=: a unit is always with itself/],
    [['MachineOf=db', 'Apart=d*'], /:4: MachineOf=: db\.service is among those/],
  ]
  for (const [lines, message] of wrong) assert.match(refusal(...lines), message)
  rules('Global=no', 'Instances=2')
  rules('Partition=at-most', 'Instances=2', 'MinInstances=1')
})

test('the requirements of a loaded unit can always be read again', () => {
  const word = fc.constantFrom(
    'mem=1G',
    'a=b',
    'a=c',
    'cpus=2',
    'load=1',
    'x=y|z',
    '"q=r"',
    'zone=eu',
  )
  const line = fc.tuple(fc.constantFrom('Require', 'MachineMetadata'), fc.array(word))
  fc.assert(
    fc.property(fc.array(line), (all) => {
      const lines = all.map(([name, words]) => `${name}=${words.join(' ')}`)
      const result = load('X-Holon', lines)
      if (result.kind === 'refused') return
      assert.equal(readRequirements(result.unit.placement.require).kind, 'ok')
    }),
  )
})

test('rolloutCount() rounds a share down, but never below one', () => {
  assert.equal(rolloutCount({ kind: 'percent', percent: 25 }, 10), 2)
  assert.equal(rolloutCount({ kind: 'percent', percent: 25 }, 3), 1)
  assert.equal(rolloutCount({ kind: 'count', count: 3 }, 10), 3)
})

test('minInstances() lets one be missing unless the unit says otherwise', () => {
  assert.equal(minInstances({ ...defaultRules, instances: 5 }), 4)
  assert.equal(minInstances(defaultRules), 0)
  assert.equal(minInstances({ ...defaultRules, instances: 5, minInstances: 2 }), 2)
  assert.equal(minInstances({ ...defaultRules, instances: 5 }, 2), 1)
  assert.equal(minInstances({ ...defaultRules, instances: 1, maxInstances: 3 }, 9), 2)
})
