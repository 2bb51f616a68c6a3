/** Most of the machines that keep the state are lost for good: the way back. Needs root. */
import assert from 'node:assert/strict'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { untilProcess } from './fleet-support.ts'
import { Lab, labName, noLab } from './harness.ts'
import { machinesOf, untilKeepers, untilReached, untilSeen } from './join-support.ts'

const name = labName('state-restore')

test('two of three machines with the state are gone with their disks: state restore --fleet', {
  skip: noLab,
}, async () => {
  await Lab.with(5, { name }, async (lab) => {
    const n1 = lab.machine('n1')
    await n1.ok(['machines', 'label', 'n5', 'early=yes'])
    const keepers = await untilKeepers(lab, 'n1', 3)
    assert.ok(keepers.includes('n1'))
    const lost = keepers.filter((each) => each !== 'n1')
    const rest = ['n1', 'n2', 'n3', 'n4', 'n5'].filter((each) => !lost.includes(each))
    const far = rest.at(-1) ?? ''
    await n1.ok(['run', '-d', '-m', far, 'sleep', '4260'])
    await untilProcess(lab, far, 'sleep 4260')

    await lab.kill(...lost)
    for (const each of lost) {
      rmSync(join(lab.record().disksDir, each, 'state'), { recursive: true })
    }
    await lab.until(
      'it is said that the state is unavailable',
      async () => {
        return /unavailable/.test((await lab.machine(far).holon(['machines'])).stderr)
      },
      30_000,
    )
    // What needs no state goes on.
    await untilReached(lab, rest, rest)
    const refused = await n1.holon(['machines', 'label', 'n1', 'late=yes'], { timeoutMs: 60_000 })
    assert.notEqual(refused.status, 0)

    await n1.ok(['down'])
    const restored = await n1.ok(['state', 'restore', '--fleet'])
    assert.match(restored, /fleet-/)
    await n1.ok(['up'])
    await lab.until(
      'the state can be changed',
      async () => {
        return (await n1.holon(['machines', 'label', 'n1', 'late=yes'])).status === 0
      },
      30_000,
    )
    for (const each of lost) await n1.ok(['machines', 'remove', each, '--yes'])
    for (const each of rest) {
      await lab.until(
        `${each} lists who is left`,
        async () => {
          return (await machinesOf(lab.machine(each)))?.length === rest.length
        },
        30_000,
      )
    }
    await untilSeen(lab, rest, rest, 30_000)
    assert.equal((await untilKeepers(lab, far, 3)).join(), rest.join())
    const rows = await machinesOf(lab.machine(far))
    assert.deepEqual(rows?.find((row) => row.name === 'n5')?.labels, { early: 'yes' })
    // Nothing that ran has noticed.
    await untilProcess(lab, far, 'sleep 4260')
  })
})
