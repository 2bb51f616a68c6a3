/**
 * Units of the fleet on real machines: placed, kept up while machines die, freeze and are cut off,
 * brought out, and never twice where they must not be.
 *
 * What must not run twice writes its generation, machine and pid into a file that all machines of
 * the lab share, many times a second: two at once would show there, whatever anybody believes.
 */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Lab, labName, noLab } from './harness.ts'

const skip = noLab
const machines = ['n1', 'n2', 'n3', 'n4', 'n5'] as const
let lab: Lab
let shared: string
/** Somebody who is not part of what is broken. */
let asked = 'n1'

before(async () => {
  if (noLab !== false) return
  shared = mkdtempSync('/opt/holon-fleet-units-')
  lab = await Lab.up(machines.length, { name: labName('fleet-units') })
  await lab.untilVoters(3)
})
after(async () => {
  await lab?.[Symbol.asyncDispose]()
  if (shared !== undefined) rmSync(shared, { recursive: true, force: true })
})

function unitFile(name: string, service: string, holon: string): string {
  const path = join(shared, name)
  writeFileSync(path, `[Service]\n${service}\nRestart=always\n[X-Holon]\n${holon}\n`)
  return path
}

/** As one machine tells it; that others do not answer is no failure. */
async function status(unit: string): Promise<UnitStatus> {
  const { stdout, stderr } = await lab.machine(asked).holon(['list-units', '--json'])
  const units = JSON.parse(stdout === '' ? '[]' : stdout) as readonly UnitStatus[]
  const found = units.find(({ name }) => name === unit)
  assert.ok(found !== undefined, `no unit ${unit}: ${stdout}${stderr}`)
  return found
}

/** Where instances are up, by number: "n3". */
async function places(unit: string): Promise<ReadonlyMap<number, string>> {
  const { instances } = await status(unit)
  const up = instances.filter(({ active }) => active === 'active')
  return new Map(up.map(({ number, machine }) => [number, machine]))
}

/** Processes with that word in their command line, on each machine. */
async function running(word: string, on: readonly string[] = machines): Promise<readonly string[]> {
  const found = await Promise.all(
    on.map(async (machine) => {
      const { stdout } = await lab.machine(machine).exec(['pgrep', '-f', '--', word])
      return stdout.split('\n').flatMap((pid) => (pid === '' ? [] : [`${machine}:${pid}`]))
    }),
  )
  return found.flat()
}

function isUp(unit: string, count: number, but: readonly string[] = []): () => Promise<boolean> {
  return async () => {
    const where = [...(await places(unit)).values()]
    return where.length === count && where.every((machine) => !but.includes(machine))
  }
}

test('enable --now anywhere places instances; a dead machine’s are elsewhere', {
  skip,
}, async () => {
  const file = unitFile('web.service', 'ExecStart=/bin/sleep 1000001', 'Instances=3')
  await lab.machine('n2').ok(['enable', '--now', file])
  const first = await places('web.service')
  assert.equal(new Set(first.values()).size, 3, 'three machines')
  const victim = [...first.values()].find((machine) => machine !== 'n1') ?? 'n2'
  await lab.kill(victim)
  await lab.until('three are up elsewhere', isUp('web.service', 3, [victim]), 20_000)
  await lab.restart(victim)
  await lab.until('three run, no more', async () => (await running('sleep 1000001')).length === 3)
})

test('why of a machine says what waits in the fleet, whichever machine is asked', {
  skip,
}, async () => {
  const file = unitFile('huge.service', 'ExecStart=/bin/sleep 1000009', 'Require=cpus>=100000')
  await lab.machine('n2').holon(['start', file])
  for (const machine of machines) {
    const why = await lab.machine(machine).ok(['why', 'n1'])
    assert.match(why, /What waits:\n {2}huge\.service\/1: /, machine)
  }
  await lab.machine('n2').ok(['unload', '--now', 'huge'])
})

test('an agent that is killed costs nothing; with etcd gone nothing stops', { skip }, async () => {
  const before = (await running('sleep 1000001')).toSorted()
  for (const machine of machines) {
    await lab.machine(machine).shell('kill -KILL $(pgrep -xo holon-agent)')
    await lab.machine(machine).ok(['up'])
  }
  await lab.until('all agents answer again', async () => {
    const listing = await lab.machine('n1').holon(['machines', '--json'])
    return listing.status === 0
  })
  const etcd = async (signal: string) => {
    for (const machine of machines) await lab.machine(machine).exec(['pkill', signal, '-x', 'etcd'])
  }
  await etcd('-STOP')
  // Beyond every lease and every patience of a leader.
  const untilMs = performance.now() + 20_000
  await lab.until('the state was away for long', async () => performance.now() > untilMs, 30_000)
  const meanwhile = (await running('sleep 1000001')).toSorted()
  await etcd('-CONT')
  assert.deepEqual(meanwhile, before)
  await lab.until('the fleet answers again', isUp('web.service', 3), 30_000)
  assert.deepEqual((await running('sleep 1000001')).toSorted(), before)
})

test('what must not run twice does not, and moves on', { skip }, async () => {
  const log = join(shared, 'once.log')
  writeFileSync(log, '')
  const loop = `while :; do echo $$HOLON_FENCE $$(hostname) $$$$ >>${log}; sleep 0.05; done`
  const file = unitFile('once.service', `ExecStart=/bin/sh -c '${loop}'`, 'Partition=at-most')
  await lab.machine('n1').ok(['enable', '--now', file])
  const where = async () => (await places('once.service')).get(1)
  for (const fault of ['freeze', 'cut', 'kill'] as const) {
    await lab.until('it is up', async () => (await where()) !== undefined, 30_000)
    const victim = (await where()) ?? ''
    asked = machines.find((machine) => machine !== victim) ?? 'n1'
    await lab[fault](victim)
    const isMoved = async () => {
      const now = await where()
      return now !== undefined && now !== victim
    }
    await lab.until(`it is elsewhere after ${fault} of ${victim}`, isMoved, 40_000)
    if (fault === 'freeze') await lab.thaw(victim)
    else if (fault === 'cut') await lab.heal()
    else await lab.restart(victim)
    await lab.until('one runs', async () => (await running('once.log')).length === 1, 30_000)
  }
  const lines = readFileSync(log, 'utf8').trimEnd().split('\n')
  const fences = lines.map((line) => Number(line.split(' ')[0]))
  assert.deepEqual(
    fences,
    fences.toSorted((a, b) => a - b),
    'generations never fall',
  )
  const owners = new Map(lines.map((line) => [line.split(' ')[0], line]))
  for (const line of lines) assert.equal(owners.get(line.split(' ')[0]), line, 'one each')
  assert.ok(new Set(fences).size >= 4, `${new Set(fences).size} generations`)
  await lab.machine(asked).ok(['stop', 'once'])
  assert.deepEqual(await running('once.log'), [])
})

test('a change is brought out one by one, a bad one is taken back', { skip }, async () => {
  const file = unitFile('web.service', 'ExecStart=/bin/sleep 1000002', 'Instances=3')
  await lab.machine(asked).ok(['restart', file])
  assert.equal((await running('sleep 1000002')).length, 3)
  assert.deepEqual(await running('sleep 1000001'), [])
  unitFile('web.service', 'ExecStart=/bin/false', 'Instances=3')
  await lab.machine(asked).holon(['start', file], { timeoutMs: 120_000 })
  await lab.until(
    'the bad text is taken back',
    async () => {
      const { fleet } = await status('web.service')
      return fleet?.rollout?.status === 'failed' && (await running('sleep 1000002')).length === 3
    },
    90_000,
  )
})

test('stop stops all of it, unload forgets it, and fences go on all the same', {
  skip,
}, async () => {
  const machine = lab.machine(asked)
  await machine.ok(['stop', 'web'])
  assert.deepEqual(await running('sleep 100000'), [])
  await machine.ok(['unload', 'web', 'once'])
  assert.deepEqual(await machine.json(['list-units', '--json']), [])
  const log = join(shared, 'once.log')
  const last = () => Number(readFileSync(log, 'utf8').trimEnd().split('\n').at(-1)?.split(' ')[0])
  const before = last()
  writeFileSync(log, '')
  await machine.ok(['start', join(shared, 'once.service')])
  await lab.until('it runs again', async () => readFileSync(log, 'utf8') !== '', 30_000)
  assert.ok(last() > before, `${last()} after ${before}`)
  await machine.ok(['unload', '--now', 'once'])
})
