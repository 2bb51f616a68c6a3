/**
 * Machines that die, stand still or cannot be reached, as those see it who use the others: a run is
 * lost and says so, a table names who is missing, and with the state's engine away all but changes
 * to the fleet goes on.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  assertStatus,
  hasProcess,
  type Started,
  start,
  timed,
  untilAllUp,
  untilNoProcess,
  untilProcess,
} from './fleet-support.ts'
import { Lab, labName, noLab } from './harness.ts'

const skip = noLab
const name = labName('fleet-faults')
const all = ['n1', 'n2', 'n3', 'n4', 'n5']
/** A question to all has two seconds; the way there and a busy host another. */
const answerMs = 3_300
let lab: Lab

before(async () => {
  if (noLab !== false) return
  lab = await Lab.up(5, { name })
  await untilAllUp(lab, all)
  await lab.until(
    'enough machines keep the state',
    async () => (await keepers()).length >= 3,
    40_000,
  )
})
after(() => lab?.[Symbol.asyncDispose]())

async function keepers(): Promise<readonly string[]> {
  const machines = await lab
    .machine('n1')
    .json<readonly { name: string; keepsState: boolean }[]>(['machines', '--json'])
  return machines.filter(({ keepsState }) => keepsState).map((machine) => machine.name)
}

/** Heals everything; the fleet must be whole again by itself. */
async function recover(...dead: readonly string[]): Promise<void> {
  await lab.heal()
  if (dead.length > 0) await lab.restart(...dead)
  await untilAllUp(lab, all)
}

/** A run is lost: its own status and a message, in time. */
async function assertLost(
  run: Started,
  machine: string,
  what: string,
  status = 123,
): Promise<void> {
  const ended = await run.endsWithin(12_000, what)
  assertStatus(ended, status, what)
  assert.match(ended.stderr, new RegExp(`${machine}.*not known`), what)
}

const faults: readonly {
  readonly what: string
  readonly machine: string
  readonly inflict: (machine: string) => Promise<void>
}[] = [
  { what: 'cut off', machine: 'n2', inflict: (machine) => lab.cut(machine) },
  { what: 'not heard', machine: 'n3', inflict: (machine) => lab.cutOneWay(machine, 'n1') },
  { what: 'not hearing', machine: 'n4', inflict: (machine) => lab.cutOneWay('n1', machine) },
  { what: 'frozen', machine: 'n5', inflict: (machine) => lab.freeze(machine) },
]

test('a run on a lost machine ends with status 123 and a message; so does wait', {
  skip,
}, async () => {
  const n1 = lab.machine('n1')
  const chatter = 'while :; do echo x; sleep 0.01; done'
  const begun = await Promise.all(
    faults.map(async ({ what, machine, inflict }) => {
      const attached = start(n1, ['run', '-m', machine, 'sleep', '5001'])
      const writing = start(n1, ['run', '-m', machine, 'sh', '-c', chatter])
      const id = (await n1.ok(['run', '-d', '-m', machine, 'sleep', '5002'])).trim()
      const waiting = start(n1, ['wait', id])
      await untilProcess(lab, machine, 'sleep 5001')
      await lab.until('output comes', () => writing.stdout.length > 100)
      return { what, machine, inflict, attached, writing, waiting, id }
    }),
  )
  for (const { machine, inflict } of begun) await inflict(machine)
  await Promise.all(
    begun.flatMap(({ what, machine, attached, writing, waiting }) => [
      assertLost(attached, machine, `${what}: attached`),
      assertLost(writing, machine, `${what}: attached, with output`),
      assertLost(waiting, machine, `${what}: wait`, 69),
    ]),
  )
  await lab.thaw('n5')
  await lab.heal()
  await untilAllUp(lab, all)
  for (const { machine, id } of begun) {
    await untilNoProcess(lab, machine, 'sleep 5001', 20_000)
    assert.ok(await hasProcess(lab, machine, 'sleep 5002'), 'the detached one goes on')
    await n1.ok(['runs', '--stop', id])
  }
})

test('a machine that stands still for 3 s loses no run', { skip }, async () => {
  const running = start(lab.machine('n1'), [
    'run',
    '-m',
    'n2',
    'sh',
    '-c',
    'echo begun; sleep 4; exit 6',
  ])
  await lab.until('it has begun', () => running.stdout === 'begun\n')
  await lab.freeze('n2')
  await sleep(3_000)
  await lab.thaw('n2')
  assertStatus(await running.endsWithin(10_000, 'the run'), 6, 'the run')
})

const unitFile = '[Service]\nExecStart=/bin/sleep 5003\n'

const questions: readonly (readonly string[])[] = [
  ['ps', '-A'],
  ['pgrep', '-x', 'holon-agent'],
  ['runs'],
  ['list-units'],
  ['logs', 'lab-test'],
  ['machines'],
]
const gone = ['n3', 'n4', 'n5']

/** The answer comes in time, has what there is, and names who is missing. */
async function assertHonest(from: string, args: readonly string[], round: number): Promise<void> {
  const what = `${from}: ${args.join(' ')} (${round})`
  const { status, stdout, stderr, tookMs } = await timed(lab.machine(from), args)
  assert.ok(tookMs < answerMs, `${what} took ${tookMs.toFixed(0)} ms`)
  if (args[0] === 'machines') {
    // Who has just fallen silent is not suspected at once.
    if (round === 1) return
    assert.equal(status, 4, `${what}: ${stdout}${stderr}`)
    for (const each of gone) assert.match(stdout, new RegExp(`^${each} +(suspect|down)`, 'm'))
    return
  }
  assert.equal(status, 4, `${what}: ${stdout}${stderr}`)
  for (const each of gone) {
    const seen = '\\(last seen \\d\\d:\\d\\d:\\d\\d, [^)]+ ago\\)'
    assert.match(stderr, new RegExp(`${each} (unreachable|silent) ${seen}`), what)
  }
  if (args[0] === 'ps')
    for (const each of ['n1', 'n2']) assert.match(stdout, new RegExp(`^${each} `, 'm'))
}

test('with one machine dead, one frozen, one cut off: the rest, in time, and who is missing', {
  skip,
}, async () => {
  const n1 = lab.machine('n1')
  for (const machine of ['n1', 'n2']) {
    await lab.machine(machine).shell('cat >/tmp/lab-test.service', { input: unitFile })
    await lab.machine(machine).ok(['-m', machine, 'start', '/tmp/lab-test.service'])
  }
  const lost = start(n1, ['run', '-m', 'n3', 'sleep', '5006'])
  await untilProcess(lab, 'n3', 'sleep 5006')
  await Promise.all([lab.kill('n3'), lab.freeze('n4'), lab.cut('n5')])
  const killed = assertLost(lost, 'n3', 'killed')
  for (const round of [1, 2]) {
    for (const args of questions) {
      await Promise.all(['n1', 'n2'].map((from) => assertHonest(from, args, round)))
    }
  }
  await killed
  const each = await timed(n1, ['run', '--each', 'hostname'])
  assertStatus(each, 4, '--each')
  // The silent are known by now, and get the time that a question to all has, not that of a run.
  assert.ok(each.tookMs < 8_000, `--each took ${each.tookMs.toFixed(0)} ms`)
  assert.deepEqual(each.stdout.trim().split('\n').sort(), ['n1 | n1', 'n2 | n2'])
  assert.match(each.stderr, /2 of 5 machines: exit 0; n3 \w+ \(last seen .*; n4 .*; n5 /)
  await lab.heal()
  await lab.thaw('n4')
  await lab.restart('n3')
  const healedMs = performance.now()
  for (const machine of ['n1', 'n2']) {
    await lab.until(
      `${machine} sees all again`,
      async () => (await lab.machine(machine).holon(['ps', '-A'])).status === 0,
    )
  }
  assert.ok(performance.now() - healedMs < 6_000, `after ${performance.now() - healedMs} ms`)
  await untilAllUp(lab, all)
  for (const machine of ['n1', 'n2'])
    await lab.machine(machine).ok(['-m', machine, 'stop', 'lab-test'])
})

test('with the engine of the state stopped everywhere, processes, runs, logs and units work', {
  skip,
}, async () => {
  const n1 = lab.machine('n1')
  const id = (
    await n1.ok(['run', '-d', '-m', 'n2', 'sh', '-c', 'echo kept; exec sleep 5004'])
  ).trim()
  await untilProcess(lab, 'n2', 'sleep 5004')
  await n1.shell('cat >/tmp/lab-test.service', { input: unitFile })
  const engines = async (signal: string) => {
    for (const machine of all)
      await lab.machine(machine).exec(['pkill', `-${signal}`, '-x', 'etcd'])
  }
  await engines('STOP')
  try {
    await lab.until(
      'machines says so',
      async () =>
        /the state .* is unavailable since \d\d:\d\d:\d\d/.test(
          (await n1.holon(['machines'])).stderr,
        ),
      20_000,
    )
    for (const machine of ['n1', 'n5']) {
      const from = lab.machine(machine)
      for (const [args, wanted] of [
        [['ps', '-A'], 0],
        [['run', '-m', 'n4', 'true'], 0],
        [['run', 'true'], 0],
        [['run', '--each', 'true'], 0],
        [['logs', `run/${id}`], 0],
        [['runs'], 0],
        [['status'], 0],
        [['list-units'], 4],
        [['kill', '-0', `run/${id}`], 0],
        [['machines'], 0],
      ] as const) {
        const result = await timed(from, args)
        assertStatus(result, wanted, `${machine}: ${args.join(' ')}`)
        assert.ok(
          result.tookMs < answerMs,
          `${machine}: ${args.join(' ')} took ${result.tookMs.toFixed(0)} ms`,
        )
      }
      const victim = start(from, ['run', '-m', 'n3', 'sleep', '5005'])
      await untilProcess(lab, 'n3', 'sleep 5005')
      const [pid = ''] = (await from.ok(['pgrep', '-fx', 'sleep 5005'])).trim().split('\n')
      await from.ok(['kill', pid])
      assertStatus(await victim.endsWithin(5_000, 'the killed'), 143, 'the killed')
    }
    await n1.ok(['-m', 'n1', 'start', '/tmp/lab-test.service'])
    await untilProcess(lab, 'n1', '/bin/sleep 5003')
    await n1.ok(['-m', 'n1', 'stop', 'lab-test'])
    const refused = await timed(n1, ['machines', 'label', 'n2', 'disk=ssd'])
    assertStatus(refused, 69, 'label without State')
    assert.ok(refused.tookMs < answerMs, `label took ${refused.tookMs.toFixed(0)} ms`)
    assert.ok(await hasProcess(lab, 'n2', 'sleep 5004'), 'what runs goes on')
  } finally {
    await engines('CONT')
  }
  await lab.until('state is back', async () => {
    const { status, stderr } = await n1.holon(['machines'])
    return status === 0 && !stderr.includes('unavailable')
  })
  await n1.ok(['machines', 'label', 'n2', 'disk=ssd'])
  await n1.ok(['runs', '--stop', id])
})

test('with most keepers of the state dead, the others work on', { skip }, async () => {
  const keeping = await keepers()
  const dead = keeping.slice(0, Math.ceil(keeping.length / 2))
  const [a = '', b = ''] = all.filter((machine) => !dead.includes(machine))
  await lab.kill(...dead)
  const from = lab.machine(a)
  for (const round of [1, 2]) {
    const where = await timed(from, ['run', '-m', b, 'hostname'])
    assert.equal(where.stdout, `${b}\n`)
    assert.ok(where.tookMs < 2_000, `run took ${where.tookMs} ms (${round})`)
    const table = await timed(from, ['ps', '-A'])
    assertStatus(table, 4, 'ps -A')
    assert.ok(table.tookMs < answerMs, `ps -A took ${table.tookMs} ms (${round})`)
    const anywhere = await timed(from, ['run', 'true'])
    assertStatus(anywhere, 0, 'run anywhere')
    assert.ok(anywhere.tookMs < 5_000, `run took ${anywhere.tookMs} ms (${round})`)
  }
  await lab.until(
    'machines says that state is unavailable',
    async () => (await from.holon(['machines'])).stderr.includes('is unavailable since'),
    20_000,
  )
  await recover(...dead)
  await lab.until(
    'state is back',
    async () => (await from.holon(['machines', 'label', b, 'disk=hdd'])).status === 0,
    30_000,
  )
})
