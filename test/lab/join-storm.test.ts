/** Joining, with real agents: many at once, races, every way to be refused. Needs root. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { Lab, labName, noLab } from './harness.ts'
import {
  faketime,
  invite,
  joinBy,
  joined,
  refused,
  untilKeepers,
  untilSeen,
  withClock,
} from './join-support.ts'

const name = labName('join-storm')
const skip = noLab

const names = (count: number) => Array.from({ length: count }, (_, i) => `n${i + 1}`)

test('10 machines join at once with one invitation; all see all; five keep the state', {
  skip,
}, async () => {
  await Lab.with(10, { name, join: false }, async (lab) => {
    const all = names(10)
    const pass = await invite(lab.machine('n1'), '--uses', '9')
    const newcomers = all.slice(1).map((each) => lab.machine(each))
    await Promise.all(newcomers.map((machine) => joined(machine, pass)))
    await untilSeen(lab, all, all, 10_000)
    const keepers = await untilKeepers(lab, 'n10', 5)
    // No machine is the only one to know: each can run something on each.
    const { status, stdout } = await lab.machine('n7').holon(['run', '--each', 'hostname'])
    assert.equal(status, 0)
    for (const each of all) assert.match(stdout, new RegExp(`\\b${each}\\b`))
    const eleventh = await lab.machine('n10').ok(['invite', '--json'])
    const { address } = JSON.parse(eleventh) as { address: string }
    const addresses = keepers.map((each) => `${lab.machine(each).address}:4656`)
    assert.ok(addresses.includes(address), `${address} keeps the state: ${addresses}`)
  })
})

test('two machines race for one use: one has joined, the other is told who was first', {
  skip,
}, async () => {
  await Lab.with(3, { name, join: false }, async (lab) => {
    const [n1, n2, n3] = [lab.machine('n1'), lab.machine('n2'), lab.machine('n3')]
    const pass = await invite(n1)
    const results = await Promise.all([joinBy(n2, pass), joinBy(n3, pass)])
    const statuses = results.map(({ status }) => status)
    assert.deepEqual([...statuses].sort(), [0, 77], JSON.stringify(results))
    const [winner, loser] = statuses[0] === 0 ? [n2, n3] : [n3, n2]
    const told = results.find(({ status }) => status !== 0)?.stderr ?? ''
    assert.match(told, new RegExp(`the token is used up: by "${winner.name}" at `))
    await untilSeen(lab, ['n1', winner.name])
    assert.equal((await loser.holon(['machines'])).stdout.split('\n').length, 3)
    await joined(loser, await invite(winner))
    await untilSeen(lab, ['n1', 'n2', 'n3'])
  })
})

test('each refusal says what is wrong and leaves the machine able to join', { skip }, async () => {
  await Lab.with(3, { name, join: false }, async (lab) => {
    const [n1, n2, n3] = [lab.machine('n1'), lab.machine('n2'), lab.machine('n3')]
    const used = await invite(n1)
    const short = await invite(n1, '--ttl', '1s')
    // A fleet of its own, for a token that is somebody else's.
    const foreign = await invite(n3)
    await refused(
      n2,
      { ...used, address: foreign.address },
      /is not the fleet that made this token/,
    )
    await refused(n2, { ...used, address: `${n1.address}:4657` }, /join|speak|connect/)
    const typo = used.token.replace(/^../, (two) => (two === 'aa' ? 'bb' : 'aa'))
    await refused(n2, { ...used, token: typo }, /token/)
    await refused(n2, { ...used, token: used.token.slice(0, -1) }, /token/)
    await refused(n2, used, /there is a machine "n1" in the fleet/, ['--name', 'n1'])
    await refused(n2, used, /no name for a machine/, ['--name', 'No_Name'])
    await sleep(1_000)
    await refused(n2, short, /the token has expired at .*holon invite/)

    await joined(n2, used, ['--zone', 'eu/paris', '--label', 'disk=ssd'])
    await refused(n2, await invite(n1), /in a fleet already.*holon leave/)
    await refused(n3, used, /in a fleet already/)
    await n3.ok(['leave', '--yes'])
    await refused(n3, used, /the token is used up: by "n2"/)
    await joined(n3, await invite(n2))
    await untilSeen(lab, ['n1', 'n2', 'n3'])
    const second = (
      await n3.json<{ name: string; zone: string; labels: object }[]>(['machines', '--json'])
    ).find((row) => row.name === 'n2')
    assert.deepEqual([second?.zone, second?.labels], ['eu/paris', { disk: 'ssd' }])
  })
})

test('a clock that is wrong by an hour is told, either way, and the token stays good', {
  skip: skip || (faketime === undefined && 'needs faketime'),
}, async () => {
  await Lab.with(2, { name, join: false }, async (lab) => {
    const [n1, n2] = [lab.machine('n1'), lab.machine('n2')]
    const pass = await invite(n1)
    await withClock(n2, '+1h')
    await refused(n2, pass, /clock is 60 min ahead of the fleet's/)
    await withClock(n2, '-1h')
    await refused(n2, pass, /this machine's clock is behind, or that one's is ahead/)
    // Within the grace.
    await withClock(n2, '+4m')
    await joined(n2, pass)
    await untilSeen(lab, ['n1', 'n2'])
    await withClock(n2, undefined)
    await untilSeen(lab, ['n1', 'n2'])
  })
})
