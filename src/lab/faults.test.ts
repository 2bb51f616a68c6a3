import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { HolonError } from '../base/errors.ts'
import {
  cutOff,
  cutOneWay,
  filterOf,
  heal,
  iptablesScript,
  isEmpty,
  nftScript,
  parseGroups,
  parsePercent,
  partition,
  setLoss,
} from './faults.ts'
import { type LabRecord, machineName, macOf, parseRecord } from './record.ts'

const lab: LabRecord = {
  schema: 1,
  name: 'lab',
  network: 3,
  disksDir: '/var/lib/holon-lab/lab',
  machines: [1, 2, 3, 4, 5],
  joined: true,
  cuts: [],
  loss: {},
}
const code = (expected: string) => (error: unknown) =>
  error instanceof HolonError && error.code === expected

/** "1>2" for every pair whose packets pass, as the filters say. */
function passing(record: LabRecord): readonly string[] {
  return record.machines.flatMap((to) => {
    const filter = filterOf(record, to)
    return record.machines
      .filter((from) => from !== to)
      .filter((from) => !filter.dropAll && !filter.dropFrom.includes(macOf(record, from)))
      .map((from) => `${from}>${to}`)
  })
}

test('cutOff() and cutOneWay() cut those links and no others', () => {
  const all = passing(lab)
  assert.equal(all.length, 20)
  const left = (record: LabRecord) => all.filter((link) => !passing(record).includes(link))
  assert.deepEqual(left(cutOff(lab, 'n1', 'n3')).toSorted(), ['1>3', '3>1'])
  assert.deepEqual(left(cutOneWay(lab, { from: 'n1', to: 'n3' })), ['1>3'])
  assert.deepEqual(left(cutOneWay(lab, { from: 'n1' })), ['1>2', '1>3', '1>4', '1>5'])
  assert.deepEqual(
    left(cutOff(lab, 'n2')).toSorted(),
    all.filter((link) => link.includes('2')).toSorted(),
  )
  // A machine that comes later is nobody's exception.
  const grown = { ...cutOff(lab, 'n2'), machines: [1, 2, 3, 4, 5, 6] }
  assert.ok(!passing(grown).includes('6>2') && !passing(grown).includes('2>6'))
  assert.throws(() => cutOff(lab, 'n9'), code('not_found'))
  assert.throws(() => cutOff(lab, 'n1', 'n1'), code('invalid_argument'))
  assert.throws(() => cutOneWay(lab, {}), code('invalid_argument'))
})

test('partition() lets packets pass within groups only, and heal() ends every fault', () => {
  const names = lab.machines.map(machineName)
  const groupings = fc
    .array(fc.integer({ min: 0, max: 2 }), { minLength: 5, maxLength: 5 })
    .filter((groups) => new Set(groups).size > 1)
  fc.assert(
    fc.property(groupings, (groups) => {
      const sides = [...new Set(groups)].map((g) => names.filter((_, i) => groups[i] === g))
      const split = partition(lab, sides)
      const expected = passing(lab).filter((link) => {
        const [from = 0, to = 0] = link.split('>').map(Number)
        return groups[from - 1] === groups[to - 1]
      })
      assert.deepEqual(passing(split), expected)
      assert.deepEqual(partition(split, sides), split)
      assert.deepEqual(heal(setLoss(split, 'n1', 10)), lab)
      const healed = names.reduce((record, name) => heal(record, name), split)
      assert.deepEqual(healed, lab)
    }),
  )
  assert.throws(() => partition(lab, [['n1', 'n2']]), code('invalid_argument'))
  assert.throws(() => partition(lab, [['n1'], []]), code('invalid_argument'))
  assert.throws(() => partition(lab, [['n1'], ['n1', 'n2']]), code('invalid_argument'))
})

test('parseGroups() takes any spacing', () => {
  const expected = [
    ['n1', 'n2'],
    ['n3', 'n4'],
  ]
  for (const line of ['n1,n2 / n3,n4', 'n1,n2/n3,n4', 'n1 n2 / n3 n4', 'n1, n2 /n3,n4']) {
    assert.deepEqual(parseGroups(line.split(' ')), expected)
    assert.deepEqual(parseGroups([line]), expected)
  }
})

test('parsePercent() takes whole percent and nothing else', () => {
  assert.deepEqual(['0%', '20', '100%'].map(parsePercent), [0, 20, 100])
  for (const text of ['', '%', '-1', '101', '0.5', '20 %', 'x']) {
    assert.throws(() => parsePercent(text), code('invalid_argument'))
  }
})

test('filterOf() loses both what a lossy machine gets and what the others get from it', () => {
  const lossy = setLoss(lab, 'n3', 20)
  assert.deepEqual(filterOf(lossy, 3), { dropAll: false, dropFrom: [], loseAll: 20, loseFrom: [] })
  assert.deepEqual(filterOf(lossy, 1).loseFrom, [{ mac: '02:77:00:00:03:03', percent: 20 }])
  assert.ok(isEmpty(filterOf(lab, 1)))
  assert.ok(!isEmpty(filterOf(lossy, 1)))
})

test('nftScript() and iptablesScript() replace what was there, and say every rule', () => {
  const filter = filterOf(setLoss(cutOff(cutOff(lab, 'n1'), 'n2', 'n3'), 'n4', 7), 2)
  const mac = (number: number) => macOf(lab, number)
  const nft = nftScript(filter)
  assert.match(nft, /^table inet holon_lab\ndelete table inet holon_lab\n/)
  for (const number of [1, 3]) assert.ok(nft.includes(`ether saddr ${mac(number)} drop`))
  assert.ok(nft.includes(`ether saddr ${mac(4)} numgen random mod 100 < 7 drop`))
  assert.equal(nftScript(filterOf(lab, 1)).trim().split('\n').length, 2)
  const iptables = iptablesScript(filter)
  assert.match(iptables, /^\*mangle\n-F PREROUTING\n(.+\n)*COMMIT\n$/)
  assert.ok(
    iptables.includes(`--mac-source ${mac(4)} -m statistic --mode random --probability 0.07`),
  )
  const all = iptablesScript(filterOf(cutOff(lab, 'n2'), 2))
  assert.ok(all.includes('-A PREROUTING -i eth0 -j DROP\n'))
})

test('parseRecord() reads back what is written, and refuses the rest', () => {
  assert.deepEqual(parseRecord(JSON.stringify(lab), 'f'), lab)
  for (const other of ['', '{', 'null', '[]', JSON.stringify({ ...lab, schema: 2 })]) {
    assert.throws(() => parseRecord(other, 'f'), code('unsupported'))
  }
})
