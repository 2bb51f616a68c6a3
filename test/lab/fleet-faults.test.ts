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
import { Lab, noLab } from './harness.ts'

const skip = noLab
const name = 'test-fleet-faults'
const all = ['n1', 'n2', 'n3', 'n4', 'n5']
let lab: Lab

before(async () => {
  if (noLab !== false) return
  lab = await Lab.up(5, { name })
  await untilAllUp(lab, all)
})
after(() => lab?.[Symbol.asyncDispose]())

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
  readonly undo: (machine: string) => Promise<void>
  /** Whether the program there ends by itself, too. */
  readonly hungUp: boolean
}[] = [
  {
    what: 'cut off',
    machine: 'n2',
    inflict: (machine) => lab.cut(machine),
    undo: (machine) => lab.heal(machine),
    hungUp: true,
  },
  {
    what: 'that is not heard',
    machine: 'n3',
    inflict: (machine) => lab.cutOneWay(machine, 'n1'),
    undo: () => lab.heal(),
    hungUp: true,
  },
  {
    what: 'that does not hear',
    machine: 'n3',
    inflict: (machine) => lab.cutOneWay('n1', machine),
    undo: () => lab.heal(),
    hungUp: true,
  },
  {
    what: 'frozen',
    machine: 'n4',
    inflict: (machine) => lab.freeze(machine),
    undo: (machine) => lab.thaw(machine),
    hungUp: true,
  },
  {
    what: 'killed',
    machine: 'n5',
    inflict: (machine) => lab.kill(machine),
    undo: (machine) => lab.restart(machine),
    hungUp: false,
  },
]

for (const { what, machine, inflict, undo, hungUp } of faults) {
  test(`a run on a machine ${what} is lost with status 123 and a message`, { skip }, async () => {
    const n1 = lab.machine('n1')
    const attached = start(n1, ['run', '-m', machine, 'sleep', '5001'])
    const writing = start(n1, [
      'run',
      '-m',
      machine,
      'sh',
      '-c',
      'while :; do echo x; sleep 0.01; done',
    ])
    const id = (await n1.ok(['run', '-d', '-m', machine, 'sleep', '5002'])).trim()
    const waiting = start(n1, ['wait', id])
    await untilProcess(lab, machine, 'sleep 5001')
    await lab.until('output comes', () => writing.stdout.length > 100)
    try {
      await inflict(machine)
      await Promise.all([
        assertLost(attached, machine, 'attached'),
        assertLost(writing, machine, 'attached, with output'),
        assertLost(waiting, machine, 'wait', 69),
      ])
    } finally {
      await undo(machine)
    }
    if (hungUp) {
      await untilNoProcess(lab, machine, 'sleep 5001', 20_000)
      assert.ok(await hasProcess(lab, machine, 'sleep 5002'), 'the detached one goes on')
      await lab.until(
        'it can be stopped',
        async () => (await n1.holon(['runs', '--stop', id])).status === 0,
      )
    }
    await untilAllUp(lab, all)
  })
}

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

test('with one machine dead, one frozen, one cut off: the rest, in time, and who is missing', {
  skip,
}, async () => {
  for (const machine of ['n1', 'n2']) {
    const put = `mkdir -p /etc/holon/units; cat >/tmp/lab-test.service`
    await lab.machine(machine).shell(put, { input: unitFile })
    await lab.machine(machine).ok(['start', '/tmp/lab-test.service'])
  }
  await Promise.all([lab.kill('n3'), lab.freeze('n4'), lab.cut('n5')])
  const questions: readonly (readonly string[])[] = [
    ['ps', '-A'],
    ['pgrep', '-x', 'holon-agent'],
    ['runs'],
    ['list-units'],
    ['logs', 'lab-test'],
    ['machines'],
    ['run', '--each', '-m', 'n[1-2]', 'true'],
  ]
  for (const round of [1, 2]) {
    for (const machine of ['n1', 'n2']) {
      for (const args of questions) {
        const what = `${machine}: ${args.join(' ')} (${round})`
        const { status, stdout, stderr, tookMs } = await timed(lab.machine(machine), args)
        assert.ok(tookMs < 3_000, `${what} took ${tookMs.toFixed(0)} ms`)
        if (args[0] === 'run') {
          assert.equal(status, 0, `${what}: ${stderr}`)
          continue
        }
        if (args[0] === 'machines' && round === 1) continue
        assert.equal(status, 4, `${what}: ${stdout}${stderr}`)
        if (args[0] === 'machines') {
          for (const gone of ['n3', 'n4', 'n5'])
            assert.match(stdout, new RegExp(`^${gone} +(suspect|down)`, 'm'))
          continue
        }
        for (const gone of ['n3', 'n4', 'n5']) {
          const named = new RegExp(
            `${gone} (unreachable|silent) \\(last seen \\d\\d:\\d\\d:\\d\\d, [^)]+ ago\\)`,
          )
          assert.match(stderr, named, what)
        }
        if (args[0] === 'ps')
          for (const there of ['n1', 'n2']) assert.match(stdout, new RegExp(`^${there} `, 'm'))
      }
    }
  }
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

test('run --each names the dead machine, and runs on the others', { skip }, async () => {
  await lab.kill('n5')
  for (const round of [1, 2]) {
    const result = await timed(lab.machine('n1'), ['run', '--each', 'hostname'])
    assertStatus(result, 4, `--each (${round})`)
    assert.deepEqual(result.stdout.trim().split('\n').sort(), [
      'n1 | n1',
      'n2 | n2',
      'n3 | n3',
      'n4 | n4',
    ])
    assert.match(result.stderr, /4 of 5 machines: exit 0; n5 \w+ \(last seen/)
    await lab.until('n5 is known to be away', async () =>
      /^n5 +(suspect|down)/m.test((await lab.machine('n1').holon(['machines'])).stdout),
    )
  }
  await recover('n5')
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
        [['kill', '-0', `run/${id}`], 0],
        [['machines'], 0],
      ] as const) {
        const result = await timed(from, args)
        assertStatus(result, wanted, `${machine}: ${args.join(' ')}`)
        assert.ok(
          result.tookMs < 3_000,
          `${machine}: ${args.join(' ')} took ${result.tookMs.toFixed(0)} ms`,
        )
      }
      const victim = start(from, ['run', '-m', 'n3', 'sleep', '5005'])
      await untilProcess(lab, 'n3', 'sleep 5005')
      const [pid = ''] = (await from.ok(['pgrep', '-fx', 'sleep 5005'])).trim().split('\n')
      await from.ok(['kill', pid])
      assertStatus(await victim.endsWithin(5_000, 'the killed'), 143, 'the killed')
    }
    await n1.ok(['start', '/tmp/lab-test.service'])
    await untilProcess(lab, 'n1', '/bin/sleep 5003')
    await n1.ok(['-m', 'n1', 'stop', 'lab-test'])
    const refused = await timed(n1, ['machines', 'label', 'n2', 'disk=ssd'])
    assertStatus(refused, 69, 'label without State')
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
  const listing = await lab
    .machine('n1')
    .json<readonly { name: string; keepsState: boolean }[]>(['machines', '--json'])
  const keepers = listing.filter(({ keepsState }) => keepsState).map((machine) => machine.name)
  assert.ok(keepers.length >= 3, JSON.stringify(keepers))
  const dead = keepers.slice(0, Math.ceil(keepers.length / 2))
  const [a = '', b = ''] = all.filter((machine) => !dead.includes(machine))
  await lab.kill(...dead)
  const from = lab.machine(a)
  for (const round of [1, 2, 3]) {
    const where = await timed(from, ['run', '-m', b, 'hostname'])
    assert.equal(where.stdout, `${b}\n`)
    assert.ok(where.tookMs < 2_000, `run took ${where.tookMs} ms (${round})`)
    const table = await timed(from, ['ps', '-A'])
    assertStatus(table, 4, 'ps -A')
    assert.ok(table.tookMs < 3_000, `ps -A took ${table.tookMs} ms (${round})`)
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
