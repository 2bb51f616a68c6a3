/**
 * A mixed load of `run`, `ps`, `kill` and `logs` from several members while machines and links fail.
 * Every operation ends in time and says what became of it: done, not done, or not known; what it
 * says is held against the machines' disks afterwards.
 */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { timed, untilAllUp } from './fleet-support.ts'
import { Lab, labName, noLab } from './harness.ts'

const skip = noLab
const name = labName('fleet-load')
const all = ['n1', 'n2', 'n3', 'n4', 'n5']
/** Where the load comes from; the faults are with the others, and with n3. */
const callers = ['n1', 'n2', 'n3']
/** Long enough for a link to be given up in it. */
const loadMs = 9_000
const shortLoadMs = 5_000
/** After a lost link: its silence, and a second. What starts on a busy host takes another. */
const lostMs = 12_000
const tableMs = 4_500
let lab: Lab

before(async () => {
  if (noLab !== false) return
  lab = await Lab.up(5, { name })
  await untilAllUp(lab, all)
})
after(() => lab?.[Symbol.asyncDispose]())

type Outcome = 'done' | 'not done' | 'unknown'

interface Operation {
  readonly what: string
  readonly outcome: Outcome
  readonly tookMs: number
  readonly deadlineMs: number
  readonly said: string
  /** Of a run: what it writes, and where. */
  readonly mark?: string
  readonly machine?: string
}

let serial = 0

/** A program that leaves a mark on its machine's disk, the moment it starts. */
async function runOnce(from: string, to: string): Promise<Operation> {
  const mark = `mark-${++serial}`
  const script = `echo ${mark} >>/var/lib/holon/marks; echo ran`
  const result = await timed(lab.machine(from), ['run', '-m', to, 'sh', '-c', script])
  const { status, stdout, stderr, tookMs } = result
  const outcome =
    status === 0 ? 'done' : status === 125 && !/not known|may/.test(stderr) ? 'not done' : 'unknown'
  if (status === 0) assert.equal(stdout, 'ran\n')
  else assert.ok([123, 125].includes(status), `run: ${JSON.stringify(result)}`)
  const what = `${from}: run -m ${to} (${mark})`
  return { what, outcome, tookMs, deadlineMs: lostMs, said: stderr, mark, machine: to }
}

async function table(from: string): Promise<Operation> {
  const result = await timed(lab.machine(from), ['ps', '-A'])
  const { status, stdout, stderr, tookMs } = result
  const base = { what: `${from}: ps -A`, tookMs, deadlineMs: tableMs, said: stderr }
  // Only while its own agent is away.
  if (status !== 0 && status !== 4) return { ...base, outcome: 'not done' }
  const there = all.filter((machine) => new RegExp(`^${machine} `, 'm').test(stdout))
  const missing = all.filter((machine) =>
    new RegExp(`\\b${machine} (unreach|silent|fail)`).test(stderr),
  )
  const accounted = [...there, ...missing].sort()
  assert.deepEqual(accounted, all, `each machine is there or named: ${JSON.stringify(result)}`)
  assert.equal(status, missing.length === 0 ? 0 : 4)
  return { ...base, outcome: 'done' }
}

async function startAndKill(from: string, to: string): Promise<readonly Operation[]> {
  const mark = `mark-${++serial}`
  const script = `echo ${mark} >>/var/lib/holon/marks; echo said; exec sleep 600`
  const machine = lab.machine(from)
  const begun = await timed(machine, ['run', '-d', '-m', to, 'sh', '-c', script])
  const id = begun.stdout.trim()
  const maybe = /not known|may|unknown/.test(begun.stderr)
  const outcome = begun.status === 0 ? 'done' : maybe ? 'unknown' : 'not done'
  const base = { deadlineMs: lostMs, said: begun.stderr, tookMs: begun.tookMs }
  const what = `${from}: run -d -m ${to} (${mark})`
  const operations: Operation[] = [{ ...base, what, outcome, mark, machine: to }]
  if (begun.status !== 0) return operations
  for (const args of [
    ['logs', `run/${id}`],
    ['kill', `run/${id}`],
  ]) {
    const { status, stderr, tookMs } = await timed(machine, args)
    operations.push({
      what: `${from}: ${args.join(' ')} on ${to}`,
      outcome: status === 0 ? 'done' : 'unknown',
      deadlineMs: lostMs,
      said: stderr,
      tookMs,
    })
    if (status !== 0) assert.notEqual(stderr, '', `${args[0]} fails without a word`)
  }
  return operations
}

/** Until the time is over, from each caller at the same time. */
async function load(fault: () => Promise<void>, ms: number): Promise<readonly Operation[]> {
  const operations: Operation[] = []
  const untilMs = performance.now() + ms
  const loops = callers.flatMap((from) => [
    (async () => {
      for (let i = 0; performance.now() < untilMs; i++) {
        operations.push(await runOnce(from, all[i % all.length] ?? 'n1'))
      }
    })(),
    (async () => {
      for (let i = 0; performance.now() < untilMs; i++) {
        operations.push(await table(from))
        operations.push(...(await startAndKill(from, all[(i + 2) % all.length] ?? 'n1')))
      }
    })(),
  ])
  const inflicted = (async () => {
    await lab.until('the load is under way', () => operations.length > 10)
    await fault()
  })()
  await Promise.all([...loops, inflicted])
  return operations
}

/** Holds what was said against what is on the disks. */
function check(operations: readonly Operation[]): void {
  const marks = new Map(
    all.map((machine) => {
      const path = join(lab.record().disksDir, machine, 'state/marks')
      return [machine, existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : []]
    }),
  )
  const lines = operations.map(
    (each) => `${each.outcome} ${each.tookMs.toFixed(0)} ms ${each.what}: ${each.said}`,
  )
  for (const { what, outcome, mark, machine = '', tookMs, deadlineMs, said } of operations) {
    assert.ok(tookMs < deadlineMs, `${what} took ${tookMs.toFixed(0)} ms\n${lines.join('\n')}`)
    if (outcome !== 'done') assert.notEqual(said, '', `${what} failed without a word`)
    if (mark === undefined) continue
    const times = marks.get(machine)?.filter((each) => each === mark).length ?? 0
    if (outcome === 'done') assert.equal(times, 1, `${what} was done`)
    else if (outcome === 'not done') assert.equal(times, 0, `${what} was not done: ${said}`)
    else assert.ok(times <= 1, `${what} was done ${times} times`)
    const elsewhere = all.filter((each) => each !== machine && marks.get(each)?.includes(mark))
    assert.deepEqual(elsewhere, [], `${what} happened elsewhere`)
  }
}

const count = (operations: readonly Operation[], outcome: Outcome) =>
  operations.filter((each) => each.outcome === outcome).length

const killAgent = 'kill -KILL $(pgrep -xo holon-agent)'

interface Fault {
  readonly what: string
  readonly inflict: () => Promise<void>
  readonly undo: () => Promise<void>
  readonly ms: number
}

const faults: readonly Fault[] = [
  { what: 'kill', inflict: () => lab.kill('n4'), undo: () => lab.restart('n4'), ms: loadMs },
  { what: 'freeze', inflict: () => lab.freeze('n5'), undo: () => lab.thaw('n5'), ms: loadMs },
  { what: 'cut', inflict: () => lab.cut('n3'), undo: () => lab.heal(), ms: loadMs },
  {
    what: 'one-way cut',
    inflict: () => lab.cutOneWay('n4', 'n1'),
    undo: () => lab.heal(),
    ms: loadMs,
  },
  {
    what: 'partition',
    inflict: () => lab.partition('n1,n2,n4 / n3,n5'),
    undo: () => lab.heal(),
    ms: loadMs,
  },
  {
    what: 'loss',
    inflict: () => lab.loss('n4', 20),
    undo: () => lab.loss('n4', 0),
    ms: shortLoadMs,
  },
  {
    what: 'agent kill -9',
    inflict: async () => void (await lab.machine('n3').shell(killAgent)),
    undo: async () => void (await lab.machine('n3').holon(['up'])),
    ms: shortLoadMs,
  },
]

for (const { what, inflict, undo, ms } of faults) {
  test(`mixed load under ${what}: every operation ends in time and tells the truth`, {
    skip,
  }, async (t) => {
    const operations = await load(inflict, ms).finally(undo)
    const done = count(operations, 'done')
    t.diagnostic(
      `${done} done, ${count(operations, 'not done')} not done, ${count(operations, 'unknown')} unknown`,
    )
    check(operations)
    assert.ok(done > 10, `only ${done} of ${operations.length} done`)
    await untilAllUp(lab, all)
  })
}
