import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HolonError } from '../base/errors.ts'
import { seededRandom } from '../base/random.ts'
import type { MachineInfo, MachineReport } from '../kernel/types.ts'
import { choose } from './choose.ts'
import { parseRequire, unmet } from './require.ts'

const idle: MachineReport = {
  atMs: 0,
  version: '0.1.0',
  arch: 'x86_64',
  hostname: 'h',
  bootId: 'b',
  cpuCount: 4,
  memoryBytes: 8 * 2 ** 30,
  memoryAvailableBytes: 7 * 2 ** 30,
  load1: 0,
  pressure: { cpu: 0, memory: 0, io: 0 },
  units: 0,
  canKeepState: false,
  upSinceMs: 0,
  agentPid: 1,
  agentSinceMs: 0,
}

function machine(
  name: string,
  report: Partial<MachineReport> = {},
  rest: Partial<MachineInfo> = {},
) {
  const info: MachineInfo = {
    name,
    id: name,
    status: 'up',
    zone: '',
    labels: {},
    addresses: [],
    keepsState: false,
    report: { ...idle, ...report },
    ...rest,
  }
  return info
}

test('unmet() says which requirement a machine does not meet', () => {
  const n1 = machine('n1', { arch: 'aarch64' }, { zone: 'eu/paris/r1', labels: { disk: 'ssd' } })
  const why = (text: string) => unmet(parseRequire(text), n1)
  for (const text of [
    'arch=arm64',
    'arch=aarch64 mem>=2G cpus>=4',
    'disk=ssd zone=eu',
    'zone=eu/paris/*',
    'disk!=hdd',
    'disk=nvme|ssd zone=us|eu arch=amd64|arm64 disk!=hdd|tape',
    'mem>=8GiB mem<=8G free>6G load<1 name=n1',
    '',
  ]) {
    assert.equal(why(text), undefined, text)
  }
  assert.equal(why('arch=x86_64'), 'arch is "aarch64", not =x86_64')
  assert.equal(why('disk=ssd mem>=16G'), 'mem is 8.0G, not >=16G')
  assert.equal(why('gpu=yes'), 'it has no gpu')
  assert.equal(why('disk=hdd|tape'), 'disk is "ssd", not =hdd|tape')
  assert.equal(why('zone=eu/par'), 'zone is "eu/paris/r1", not =eu/par')
})

test('parseRequire() refuses words that mean nothing', () => {
  for (const text of [
    'mem',
    'mem>=lots',
    'disk>=ssd',
    '=x',
    'cpus>=2G',
    'mem>= 2G',
    'mem=1G|2G',
    'a=b|',
  ]) {
    assert.throws(
      () => parseRequire(text),
      (error) => error instanceof HolonError && error.code === 'invalid_argument',
      text,
    )
  }
})

test('choose() keeps a program here unless another machine is clearly better', () => {
  const machines = [machine('n1'), machine('n2'), machine('n3')]
  for (let seed = 1; seed <= 20; seed++) {
    const options = { requirements: [], local: 'n2' }
    assert.equal(choose(seededRandom(seed), machines, options).machine, 'n2')
  }
  const busyHere = [
    machine('n1'),
    machine('n2', { load1: 16, pressure: { cpu: 90, memory: 0, io: 0 } }),
  ]
  const answer = choose(seededRandom(1), busyHere, { requirements: [], local: 'n2' })
  assert.equal(answer.machine, 'n1')
  assert.match(answer.why, /n1 is the better one of two/)
})

test('choose() spreads many askers and never takes the worst of two', () => {
  const machines = Array.from({ length: 10 }, (_, i) => machine(`n${i}`, { load1: i / 10 }))
  const counts = new Map<string, number>()
  for (let seed = 1; seed <= 300; seed++) {
    const { machine: chosen = '' } = choose(seededRandom(seed), machines, {
      requirements: [],
      local: '',
    })
    counts.set(chosen, (counts.get(chosen) ?? 0) + 1)
  }
  assert.equal(counts.get('n9'), undefined)
  assert.ok((counts.get('n0') ?? 0) > 30 && (counts.get('n0') ?? 0) < 120, String([...counts]))
  assert.ok(counts.size >= 7)
})

test('choose() explains per machine why none fits', () => {
  const machines = [machine('n1'), machine('n2', {}, { status: 'down' })]
  const answer = choose(seededRandom(1), machines, {
    requirements: parseRequire('mem>=1T'),
    local: 'n1',
    asked: 'n*',
  })
  assert.equal(answer.machine, undefined)
  assert.equal(answer.why, 'no machine of n* fits')
  assert.deepEqual(
    answer.candidates.map(({ machine: name, why }) => [name, why]),
    [
      ['n1', 'mem is 8.0G, not >=1T'],
      ['n2', 'it is down'],
    ],
  )
})

test('choose() leaves out machines that are cordoned or being drained', () => {
  const closed = (wish: 'cordoned' | 'draining') => ({ intent: { wish, sinceMs: 0, by: 'uid 0' } })
  const machines = [
    machine('n1', {}, closed('cordoned')),
    machine('n2', { load1: 9 }),
    machine('n3', {}, closed('draining')),
  ]
  const answer = choose(seededRandom(1), machines, { requirements: [], local: 'n1' })
  assert.equal(answer.machine, 'n2')
  const reasons = answer.candidates.filter(({ score }) => score === undefined)
  assert.deepEqual(
    reasons.map(({ why }) => why),
    ['it is cordoned', 'it is draining'],
  )
})

test('choose() avoids machines whose memory is nearly full', () => {
  const machines = [
    machine('n1', { memoryAvailableBytes: 0.1 * 2 ** 30 }),
    machine('n2', { load1: 4 }),
  ]
  assert.equal(choose(seededRandom(3), machines, { requirements: [], local: 'n1' }).machine, 'n2')
})
