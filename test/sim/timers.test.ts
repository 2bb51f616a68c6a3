/** Timers of a fleet and the rounds that they begin: each rule as a script that shows it. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Simulation, simulate } from '../../src/sim/index.ts'

const job = (...lines: readonly string[]) =>
  ['[Service]', 'Type=oneshot', 'ExecStart=/usr/bin/job', ...lines, ''].join('\n')
const timer = (...lines: readonly string[]) => ['[Timer]', ...lines, ''].join('\n')
const short = ['[X-Sim]', 'RunsSec=200ms']

async function started(service: string, ...lines: readonly string[]): Promise<Simulation> {
  const fleet = await simulate({ machines: 4 })
  await fleet.give('job.service', service)
  await fleet.start('job.timer', timer(...lines))
  return fleet
}

/** In what time there are `count` more rounds; more of them than that are found as well. */
async function roundsIn(fleet: Simulation, ms: number): Promise<number> {
  const before = fleet.rounds('job.service')
  await fleet.run(ms)
  return fleet.rounds('job.service') - before
}

test('a timer starts its unit at each moment, in one place', async () => {
  const fleet = await started(job(...short), 'OnCalendar=*:*:0/10')
  assert.equal(await roundsIn(fleet, 60_000), 6)
  assert.equal(fleet.where('job.service').length, 1)
  await fleet.stop('job.timer')
  assert.equal(await roundsIn(fleet, 30_000), 0)
})

test('what has ended is not run again when its machine is lost', async () => {
  const fleet = await simulate({ machines: 4 })
  await fleet.start('job.service', job(...short))
  await fleet.run(5_000)
  const [before] = fleet.where('job.service')
  fleet.crash(before?.machine ?? '')
  await fleet.run(20_000)
  fleet.boot(before?.machine ?? '')
  await fleet.run(20_000)
  assert.deepEqual(fleet.where('job.service'), [{ ...before, phase: 'absent' }])
})

test('a round that was under way on a lost machine goes on elsewhere', async () => {
  const fleet = await simulate({ machines: 4 })
  await fleet.start('job.service', job('[X-Sim]', 'RunsSec=20s'))
  await fleet.run(5_000)
  const [before] = fleet.where('job.service')
  fleet.crash(before?.machine ?? '')
  await fleet.settled()
  const [after] = fleet.where('job.service')
  assert.notEqual(after?.machine, before?.machine)
  assert.equal(fleet.rounds('job.service'), 1)
})

test('start runs what has ended again, and leaves alone what runs', async () => {
  const fleet = await simulate({ machines: 3 })
  await fleet.start('job.service', job('[X-Sim]', 'RunsSec=5s'))
  await fleet.start('job.service', job('[X-Sim]', 'RunsSec=5s'))
  assert.equal(fleet.rounds('job.service'), 1)
  await fleet.run(10_000)
  await fleet.start('job.service', job('[X-Sim]', 'RunsSec=5s'))
  await fleet.run(1_000)
  assert.equal(fleet.rounds('job.service'), 2)
  assert.equal(fleet.where('job.service')[0]?.phase, 'ready')
})

test('a job that fails is over, unless Restart= asks for more', async () => {
  const fleet = await started(job('[X-Sim]', 'Fails=yes'), 'OnCalendar=*:*:0/10')
  assert.equal(await roundsIn(fleet, 30_000), 3, 'each moment is one round')
  const stubborn = await started(
    job('Restart=on-failure', '[X-Sim]', 'Fails=yes'),
    'OnCalendar=*:*:0/10',
  )
  await stubborn.run(60_000)
  assert.equal(stubborn.rounds('job.service'), 1, 'the same round is tried on')
})

test('OnMissed= says what becomes of what nobody could act on', async () => {
  const lines = ['OnCalendar=*:*:0/10', 'AccuracySec=30s', '[X-Holon]']
  for (const [policy, least, most] of [
    ['skip', 4, 6],
    ['run-once', 3, 4],
    ['run-all', 14, 15],
  ] as const) {
    const fleet = await started(job(...short), ...lines, `OnMissed=${policy}`)
    await fleet.run(10_000)
    fleet.engine('down')
    await fleet.run(120_000)
    fleet.engine('up')
    const rounds = await roundsIn(fleet, 20_000)
    assert.ok(least <= rounds && rounds <= most, `${policy}: ${rounds}`)
  }
})

test('Overlap= says what becomes of moments while the unit runs', async () => {
  for (const [policy, rounds] of [
    ['skip', 3],
    ['queue', 4],
    ['allow', 6],
  ] as const) {
    const service = job('[X-Sim]', 'RunsSec=15s')
    const fleet = await started(service, 'OnCalendar=*:*:0/10', '[X-Holon]', `Overlap=${policy}`)
    assert.equal(await roundsIn(fleet, 60_000), rounds, policy)
    assert.deepEqual(fleet.violations, [])
  }
})

test('spans count from the last start and the last end, wherever that was', async () => {
  const fleet = await started(
    job('[X-Sim]', 'RunsSec=5s'),
    'OnActiveSec=1s',
    'OnUnitInactiveSec=5s',
  )
  const rounds = await roundsIn(fleet, 61_000)
  assert.ok(5 <= rounds && rounds <= 6, `${rounds} of about 11 s each`)
})
