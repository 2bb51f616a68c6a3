/** A machine gets another address, another host name, or both, and comes back by itself. Needs root. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Lab, labName, noLab } from './harness.ts'
import { keepersOf, machinesOf, untilKeepers, untilReached, untilSeen } from './join-support.ts'

const name = labName('links-moving')

const addressIn = (lab: Lab, host: number) => `10.77.${lab.record().network}.${host}`

/** The machine has that address and no other one of the lab's network. */
async function move(lab: Lab, machine: string, host: number): Promise<void> {
  const address = addressIn(lab, host)
  const line =
    'old=$(ip -o -4 address show dev eth0 | tr -s " " | cut -d " " -f 4) && ' +
    `for each in $old; do ip address del $each dev eth0; done && ip address add ${address}/24 dev eth0 && ` +
    'ip -o -4 address show dev eth0'
  const { status, stdout, stderr } = await lab.machine(machine).shell(line)
  assert.equal(status, 0, stderr)
  assert.match(stdout, new RegExp(`^[^\\n]*${address.replaceAll('.', '\\.')}/24[^\\n]*\\n$`))
}

async function untilAt(lab: Lab, lookers: readonly string[], machine: string, host: number) {
  const address = `${addressIn(lab, host)}:4656`
  for (const looker of lookers) {
    await lab.until(`${looker} knows that ${machine} is at ${address}`, async () => {
      const rows = await machinesOf(lab.machine(looker))
      return rows?.find((row) => row.name === machine)?.addresses.join() === address
    })
  }
}

test('a machine moves, is renamed, and both while its agent is down: the same machine, reached by all', {
  skip: noLab,
}, async () => {
  await Lab.with(5, { name }, async (lab) => {
    const all = ['n1', 'n2', 'n3', 'n4', 'n5']
    await untilKeepers(lab, 'n1', 3)
    const keepers = await keepersOf(lab.machine('n1'))
    const moving = all.find((each) => !keepers.includes(each)) ?? ''
    const others = all.filter((each) => each !== moving)
    const idOf = async () => {
      const rows = await machinesOf(lab.machine('n1'))
      return rows?.find((row) => row.name === moving)?.id
    }
    const id = await idOf()

    await move(lab, moving, 101)
    const startMs = performance.now()
    await untilReached(lab, others, [moving], 15_000)
    await untilReached(lab, [moving], others, 15_000)
    assert.ok(performance.now() - startMs < 20_000)
    await untilAt(lab, others, moving, 101)

    await lab.machine(moving).shell('hostname elsewhere')
    await lab.machine(moving).ok(['down'])
    await move(lab, moving, 102)
    await lab.machine(moving).ok(['up'])
    await untilReached(lab, others, [moving], 15_000)
    await untilReached(lab, [moving], others, 15_000)
    await untilSeen(lab, all)
    await untilAt(lab, others, moving, 102)
    assert.equal(await idOf(), id)
    const { stdout } = await lab.machine('n1').holon(['run', '-m', moving, 'hostname'])
    assert.equal(stdout, 'elsewhere\n')
  })
})

test('a machine that keeps the state moves: its etcd is a member at the new address', {
  skip: noLab,
}, async () => {
  await Lab.with(3, { name }, async (lab) => {
    const all = ['n1', 'n2', 'n3']
    await untilKeepers(lab, 'n1', 3)
    await move(lab, 'n2', 103)
    await untilReached(lab, ['n1', 'n3'], ['n2'], 15_000)
    await untilReached(lab, ['n2'], ['n1', 'n3'], 15_000)
    const peerUrl = `https://${addressIn(lab, 103)}:4657`
    await lab.until(
      'the etcd of n2 is told to be at the new address',
      async () => {
        const { stdout } = await lab.machine('n2').shell('cat /var/lib/holon/engine.json')
        return (JSON.parse(stdout) as { peerUrl?: string }).peerUrl === peerUrl
      },
      30_000,
    )
    // With it alone there is a majority.
    await lab.kill('n3')
    await lab.until(
      'the state can be changed with n1 and n2',
      async () => {
        return (
          (await lab.machine('n1').holon(['machines', 'label', 'n2', 'moved=yes'])).status === 0
        )
      },
      30_000,
    )
    await lab.restart('n3')
    await untilSeen(lab, all, all, 30_000)
    const second = (await machinesOf(lab.machine('n3')))?.find((row) => row.name === 'n2')
    assert.deepEqual(second?.labels, { moved: 'yes' })
  })
})
