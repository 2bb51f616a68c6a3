/** What the simulation has found, each as the shortest script that showed it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { simulate } from '../../src/sim/index.ts'

const unit = (...lines: readonly string[]) =>
  ['[Service]', 'ExecStart=/usr/bin/program', '[X-Holon]', ...lines, ''].join('\n')

test('an instance bound to its machine that failed is tried again there', async () => {
  const fleet = await simulate({ machines: 3 })
  await fleet.start('each.service', unit('Global=yes'))
  await fleet.settled()
  fleet.exit('each.service', 2, true)
  assert.equal(fleet.where('each.service')[1]?.phase, 'failed')
  assert.ok((await fleet.settled()) > 5_000, 'not at once')
})

test('a failed instance is tried again where it is when no other machine fits', async () => {
  const fleet = await simulate({ machines: 3 })
  await fleet.start('pair.service', unit('Instances=3', 'PerNode=1'))
  await fleet.start('db.service', unit('Partition=at-most', 'Instances=3', 'PerNode=1'))
  await fleet.settled()
  fleet.exit('pair.service', 1, true)
  fleet.exit('db.service', 2, true)
  await fleet.settled()
})

test('two machines drained at once leave what MinInstances= asks for', async () => {
  const fleet = await simulate({ machines: 4 })
  await fleet.start(
    'db.service',
    unit('Partition=at-most', 'Instances=2', 'PerNode=1', '[X-Sim]', 'StopSec=1s'),
  )
  await fleet.settled()
  const [one, two] = fleet.where('db.service')
  const ready = () => fleet.where('db.service').filter(({ phase }) => phase === 'ready').length
  let fewest = 2
  for (let i = 0; i < 1_000; i++) {
    fleet.at(fleet.nowMs + 10 * i, () => {
      fewest = Math.min(fewest, ready())
    })
  }
  await Promise.all([fleet.drain(one?.machine ?? ''), fleet.drain(two?.machine ?? '')])
  await fleet.settled()
  assert.equal(fewest, 1)
})

test('the first of many machines that are silent at once is not believed dead either', async () => {
  const machines = Array.from({ length: 20 }, (_, i) => ({ name: `m${i}`, zone: `z${i % 2}` }))
  const fleet = await simulate({ machines })
  await fleet.start('web.service', unit('Instances=20', 'PerNode=1'))
  await fleet.settled()
  const before = fleet.where('web.service')
  const silent = ['m7', 'm9', 'm11', 'm13', 'm15']
  fleet.partition(silent)
  await fleet.run(20_000)
  assert.deepEqual(
    fleet.where('web.service').map(({ machine }) => machine),
    before.map(({ machine }) => machine),
  )
  assert.match([...fleet.waiting('web.service').values()].join(), /that is a network fault/)
})

test('a leader whose disk is full goes on', async () => {
  const fleet = await simulate({ machines: 3 })
  fleet.disk(fleet.leader ?? '', 'full')
  await fleet.start('web.service', unit('Instances=3', 'PerNode=1'))
  await fleet.settled()
})
