/** Machines that keep the state and fall silent, or have no room left on their disk. Needs root. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lab, labName, noLab } from './harness.ts'
import {
  invite,
  joined,
  keepersOf,
  machinesOf,
  untilKeepers,
  untilReached,
  untilSeen,
} from './join-support.ts'

const name = labName('state-silence')

test('another machine takes the place of a keeper that is silent for too long', {
  skip: noLab,
}, async () => {
  await Lab.with(4, { name }, async (lab) => {
    const all = ['n1', 'n2', 'n3', 'n4']
    const keepers = await untilKeepers(lab, 'n1', 3)
    for (const each of all) {
      await lab.machine(each).ok(['down'])
      await lab.machine(each).ok(['up', '--state-silence', '5s'])
    }
    await untilSeen(lab, all, all, 30_000)
    await lab.machine('n1').ok(['machines', 'label', 'n1', 'before=yes'])
    for (const dead of [keepers[2] ?? '', keepers[0] ?? '']) {
      const rest = all.filter((each) => each !== dead)
      const [looker = ''] = rest
      await lab.kill(dead)
      const replaced = async () => {
        const now = await keepersOf(lab.machine(looker))
        return now.length === 3 && !now.includes(dead)
      }
      await lab.until(`${dead} keeps the state no longer, another does`, replaced, 60_000)
      await lab.machine(looker).ok(['machines', 'label', dead, 'away=yes'])
      await lab.restart(dead)
      await untilReached(lab, [dead], rest, 30_000)
      await untilSeen(lab, all, all, 30_000)
      const rows = (await machinesOf(lab.machine(dead))) ?? []
      assert.deepEqual(rows.find((row) => row.name === dead)?.labels.away, 'yes')
      // It has found out by itself: nothing of the old membership runs.
      await lab.until(`${dead} runs no etcd`, async () => {
        return (await lab.machine(dead).shell('pgrep -x etcd')).stdout === ''
      })
    }
    const labels = (await machinesOf(lab.machine('n4')))?.find((row) => row.name === 'n1')?.labels
    assert.equal(labels?.before, 'yes')
  })
})

test('the only keeper of the state has a full disk: no changes, all else, and back', {
  skip: noLab,
}, async () => {
  await Lab.with(2, { name, join: false }, async (lab) => {
    const [n1, n2] = [lab.machine('n1'), lab.machine('n2')]
    const dir = '/var/lib/holon/etcd'
    const mounted = await n1.shell(
      `mkdir -p ${dir} && mount -t tmpfs -o size=400m,mode=0700 tmpfs ${dir}`,
    )
    assert.equal(mounted.status, 0, mounted.stderr)
    await joined(n2, await invite(n1))
    await untilSeen(lab, ['n1', 'n2'])
    await n2.ok(['machines', 'label', 'n2', 'before=yes'])
    const etcd = async () => (await n1.shell('pgrep -x etcd')).stdout
    const pid = await etcd()
    assert.match(pid, /^\d+\n$/)

    const fill = `head -c $(($(df --output=avail -B1 ${dir} | tail -1) - (10 << 20))) /dev/zero`
    await n1.shell(`${fill} >${dir}/ballast`)
    for (const machine of [n1, n2]) {
      const { status, stderr } = await machine.holon(['machines', 'label', 'n2', 'full=yes'])
      assert.notEqual(status, 0)
      assert.match(stderr, /the disk of its etcd has \d+ MiB free.*make room/)
      const rows = (await machinesOf(machine)) ?? []
      assert.deepEqual(rows.find((row) => row.name === 'n2')?.labels, { before: 'yes' })
      assert.equal((await machine.holon(['ps', '-A'])).status, 0)
      assert.equal((await machine.holon(['run', '--each', 'true'])).status, 0)
    }
    await n1.shell(`rm ${dir}/ballast`)
    await n2.ok(['machines', 'label', 'n2', 'after=yes'])
    assert.equal(await etcd(), pid)
  })
})
