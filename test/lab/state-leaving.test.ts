/** Machines that are removed, that leave, and that come back as new ones. Needs root. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { start, untilProcess } from './fleet-support.ts'
import { Lab, labName, noLab } from './harness.ts'
import {
  invite,
  joined,
  keepersOf,
  machinesOf,
  refused,
  untilKeepers,
  untilReached,
  untilSeen,
} from './join-support.ts'

const name = labName('state-leaving')

/** From one to another or back, by the port that one of them listens on. */
async function connections(lab: Lab, machine: string, other: string, port: number) {
  const filter = `dst ${lab.machine(other).address} and ( sport = :${port} or dport = :${port} )`
  const { stdout } = await lab.machine(machine).shell(`ss -tnH state established '${filter}'`)
  return stdout.split('\n').filter((line) => line !== '')
}

test('machines remove: its links and streams end within 5 s, its key is of no use, a new one is', {
  skip: noLab,
}, async () => {
  await Lab.with(5, { name }, async (lab) => {
    const all = ['n1', 'n2', 'n3', 'n4', 'n5']
    await untilKeepers(lab, 'n1', 3)
    const before = await machinesOf(lab.machine('n1'))
    const rest = ['n1', 'n2', 'n4', 'n5']
    // A stream to it and one from it, open in both directions.
    const there = start(lab.machine('n1'), ['run', '-m', 'n3', 'sh', '-c', 'sleep 4242 & cat'])
    const from = start(lab.machine('n3'), ['run', '-m', 'n2', 'sh', '-c', 'sleep 4243 & cat'])
    await untilProcess(lab, 'n3', 'sleep 4242')
    await untilProcess(lab, 'n2', 'sleep 4243')
    await lab.machine('n3').ok(['run', '-d', 'sleep', '4244'])
    await untilReached(lab, all, ['n3'])

    await lab.machine('n1').ok(['machines', 'remove', 'n3', '--yes'])
    const [atOnce, alsoThere] = await Promise.all([
      there.endsWithin(5_000, 'the run on n3 ends'),
      from.endsWithin(5_000, 'the run from n3 ends'),
    ])
    for (const { status, stderr } of [atOnce, alsoThere]) {
      assert.notEqual(status, 0, stderr)
      assert.match(stderr, /n2|n3|lost|removed/)
    }
    for (const each of rest) {
      await lab.until(
        `${each} has no n3`,
        async () => {
          const rows = (await machinesOf(lab.machine(each))) ?? []
          return rows.length === 4 && !rows.some((row) => row.name === 'n3')
        },
        5_000,
      )
      assert.deepEqual(await connections(lab, each, 'n3', 4656), [], each)
    }
    // The engine's own connections end when it is no member any more.
    await lab.until('nobody is connected with its etcd', async () => {
      const found = await Promise.all(rest.map((each) => connections(lab, each, 'n3', 4657)))
      return found.flat().length === 0
    })
    // What runs there goes on; from there nobody is reached, also not after a restart.
    await untilProcess(lab, 'n3', 'sleep 4244')
    assert.notEqual((await lab.machine('n3').holon(['run', '-m', 'n1', 'true'])).status, 0)
    await lab.restart('n3')
    const n3 = lab.machine('n3')
    assert.notEqual((await n3.holon(['run', '-m', 'n1', 'true'])).status, 0)
    await refused(n3, await invite(lab.machine('n1')), /in a fleet already.*leave/s)

    // As a new machine it may come.
    await n3.ok(['leave', '--yes'])
    assert.equal((await machinesOf(n3))?.length, 1)
    await joined(n3, await invite(lab.machine('n5')))
    await untilSeen(lab, all)
    const after = await machinesOf(lab.machine('n1'))
    const id = (rows: typeof after) => rows?.find((row) => row.name === 'n3')?.id
    assert.notEqual(id(after), id(before))
    await untilKeepers(lab, 'n1', 3)
  })
})

test('leave: units go on, the list shrinks, the state stays with as many', {
  skip: noLab,
}, async () => {
  await Lab.with(4, { name }, async (lab) => {
    const keepers = await untilKeepers(lab, 'n1', 3)
    const leaver = keepers.find((each) => each !== 'n1') ?? ''
    const rest = ['n1', 'n2', 'n3', 'n4'].filter((each) => each !== leaver)
    const gone = lab.machine(leaver)
    await gone.shell(`printf '[Service]\\nExecStart=/bin/sleep 4245\\n' >/root/stay.service`)
    await gone.ok(['-m', leaver, 'enable', '--now', '/root/stay.service'])
    await untilProcess(lab, leaver, '/bin/sleep 4245')
    const pid = (await gone.shell('pgrep -fx "/bin/sleep 4245"')).stdout
    await lab.machine('n1').ok(['machines', 'label', 'n1', 'kept=yes'])

    // With one of the others off, the state would stop without this one.
    const other = keepers.find((each) => each !== 'n1' && each !== leaver) ?? ''
    await lab.kill(other)
    await lab.until('it may not leave while too few of the others are up', async () => {
      const { stderr } = await gone.holon(['machines'])
      const down = (await machinesOf(gone))?.find((row) => row.name === other)?.status !== 'up'
      return down && !/unavailable/.test(stderr)
    })
    const { status, stderr } = await gone.holon(['leave', '--yes'])
    assert.notEqual(status, 0)
    assert.match(stderr, /2 must go on, and only 1 of the others/)
    await lab.restart(other)
    await untilSeen(lab, [leaver], ['n1', 'n2', 'n3', 'n4'], 30_000)

    await gone.ok(['leave', '--yes'])
    assert.equal((await gone.shell('pgrep -fx "/bin/sleep 4245"')).stdout, pid)
    assert.equal((await gone.holon(['is-active', 'stay'])).status, 0)
    assert.equal((await gone.shell('pgrep -x etcd')).stdout, '')
    await untilSeen(lab, rest, rest, 10_000)
    const now = await untilKeepers(lab, 'n1', 3, 40_000)
    assert.ok(!now.includes(leaver))
    assert.deepEqual(
      (await machinesOf(lab.machine('n1')))?.find((row) => row.name === 'n1')?.labels,
      {
        kept: 'yes',
      },
    )
    await joined(gone, await invite(lab.machine('n1')), ['--name', 'again'])
    await untilSeen(lab, [...rest, leaver], [...rest, 'again'])
    assert.equal((await gone.shell('pgrep -fx "/bin/sleep 4245"')).stdout, pid)
  })
})

test('leave of the only machine with the state is refused and says the way out', {
  skip: noLab,
}, async () => {
  await Lab.with(2, { name }, async (lab) => {
    const [n1, n2] = [lab.machine('n1'), lab.machine('n2')]
    const [keeper] = await keepersOf(n1)
    assert.equal(keeper, 'n1')
    const { status, stderr } = await n1.holon(['leave', '--yes'])
    assert.notEqual(status, 0)
    assert.match(stderr, /alone.*holon machines remove/s)
    await untilSeen(lab, ['n1', 'n2'])
    await n2.ok(['leave', '--yes'])
    await n1.ok(['leave', '--yes'])
    for (const machine of [n1, n2]) assert.equal((await machinesOf(machine))?.length, 1)
    // Both ways round.
    await joined(n1, await invite(n2))
    await untilSeen(lab, ['n1', 'n2'])
  })
})
