/**
 * A counter behind its fence, asked from every machine while machines die, freeze and are cut off at
 * random: no number is given twice, none that was given is lost, and none comes before one that was
 * given earlier. `HOLON_COUNTER_SECONDS=600` for a long run.
 */
import assert from 'node:assert/strict'
import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { seededRandom } from '../../src/base/random.ts'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Lab, labName, noLab } from './harness.ts'

const machines = ['n1', 'n2', 'n3', 'n4', 'n5'] as const
const seconds = Number(process.env['HOLON_COUNTER_SECONDS'] ?? 60)
const seed = Number(process.env['HOLON_COUNTER_SEED'] ?? Math.floor(Math.random() * 1e9))
const program = join(import.meta.dirname, 'programs/counter.ts')
const port = 9_000

interface Given {
  readonly value: number
  readonly beganMs: number
  readonly endedMs: number
}

test('a counter behind its fence never loses a number nor gives one twice', {
  skip: noLab,
}, async (t) => {
  // Below /opt: every machine has a /tmp of its own.
  const dir = mkdtempSync('/opt/holon-counter-')
  t.after(() => rmSync(dir, { recursive: true, force: true }))
  t.diagnostic(`HOLON_COUNTER_SEED=${seed}`)
  await Lab.with(machines.length, { name: labName('counter') }, async (lab) => {
    await lab.untilVoters(3)
    const database = join(dir, 'database')
    using store = new DatabaseSync(database, { timeout: 60_000 })
    store.exec('CREATE TABLE counter (value INTEGER, fence INTEGER)')
    store.exec('INSERT INTO counter VALUES (0, 0)')
    const service = `ExecStart=${process.execPath} ${program} serve ${database} ${port}`
    const unit = join(dir, 'counter.service')
    writeFileSync(unit, `[Service]\n${service}\nRestart=always\n[X-Holon]\nPartition=at-most\n`)
    await lab.machine('n1').ok(['enable', '--now', unit])
    const beganMs = performance.now()
    const tell = (what: string) => {
      t.diagnostic(`${((performance.now() - beganMs) / 1_000).toFixed(1)} s: ${what}`)
    }
    const log = (name: string) => join(dir, `${name}.log`)
    for (const name of machines) {
      writeFileSync(log(name), '')
      ask(lab, name, log(name), tell)
    }
    const reader = () => machines.flatMap((name) => readFileSync(log(name), 'utf8').split('\n'))
    await lab.until('numbers are given', () => given(reader()).length > 100, 30_000)
    await faults(lab, tell, (name) => {
      // What asked has died with its machine, perhaps with a question under way.
      appendFileSync(log(name), 'unknown\n')
      ask(lab, name, log(name), tell)
    })
    tell('no more faults')
    const before = given(reader()).length
    const goesOn = () => given(reader()).length > before + 100
    try {
      await lab.until('numbers are given again', goesOn, 60_000)
    } catch (error) {
      tell(`${given(reader()).length - before} more, after ${before}`)
      tell((await lab.machine('n1').holon(['why', 'counter'])).stdout)
      throw error
    }
    tell('it goes on')
    await lab.machine('n1').ok(['stop', 'counter'])
    const row = store.prepare('SELECT value, fence FROM counter').get()
    const told = verdict(reader(), Number(row?.['value']))
    t.diagnostic(`${told}, fence ${row?.['fence']}`)
    assert.ok(Number(row?.['fence']) >= 2, 'it never moved')
  })
})

const kinds = ['kill', 'freeze', 'cut', 'cut one way', 'kill the agent of'] as const

/** One after the other; each is over for some seconds before the next. */
async function faults(
  lab: Lab,
  tell: (what: string) => void,
  restarted: (machine: string) => void,
): Promise<void> {
  const random = seededRandom(seed)
  const between = (least: number, most: number) => least + random.next() * (most - least)
  const untilMs = performance.now() + seconds * 1_000
  while (performance.now() < untilMs) {
    const any = machines[Math.floor(random.next() * machines.length)] ?? 'n1'
    // Every second time the one that counts.
    const name = random.next() < 0.5 ? any : ((await placeOf(lab)) ?? any)
    const holdMs = between(1_000, 15_000)
    const kind = Math.floor(random.next() * 5)
    tell(`${kinds[kind]} ${name} for ${(holdMs / 1_000).toFixed(1)} s`)
    switch (kind) {
      case 0:
        await lab.kill(name)
        await sleep(holdMs)
        await lab.restart(name)
        restarted(name)
        break
      case 1:
        await lab.freeze(name)
        await sleep(holdMs)
        await lab.thaw(name)
        break
      case 2:
        await lab.cut(name)
        await sleep(holdMs)
        await lab.heal()
        break
      case 3:
        await lab.cutOneWay(name, machines.find((other) => other !== name) ?? 'n1')
        await sleep(holdMs)
        await lab.heal()
        break
      default:
        await lab.machine(name).shell('kill -KILL $(pgrep -xo holon-agent)')
        await sleep(holdMs / 4)
        await lab.machine(name).ok(['up'])
    }
    await sleep(between(1_000, 6_000))
  }
}

async function placeOf(lab: Lab): Promise<string | undefined> {
  const { stdout } = await lab.machine('n1').holon(['list-units', '--json'])
  const [unit] = JSON.parse(stdout === '' ? '[]' : stdout) as readonly UnitStatus[]
  return unit?.instances[0]?.machine
}

/** Starts what asks for numbers on a machine, and writes them down in `log`. */
function ask(lab: Lab, name: string, log: string, tell: (what: string) => void): void {
  const addresses = machines.map((each) => lab.machine(each).address)
  const argv = [process.execPath, program, 'ask', log, String(port), ...addresses]
  const child = lab.machine(name).startCommand(argv)
  child.stderr?.on('data', (text) => tell(`what asks on ${name} says ${text}`))
}

function given(lines: readonly string[]): readonly Given[] {
  return lines.flatMap((line) => {
    const [kind, value, beganMs, endedMs] = line.split(' ')
    if (kind !== 'done' || endedMs === undefined) return []
    return [{ value: Number(value), beganMs: Number(beganMs), endedMs: Number(endedMs) }]
  })
}

/** Throws when what was given does not fit to one counter that ends at `last`. */
function verdict(lines: readonly string[], last: number): string {
  const numbers = given(lines).toSorted((a, b) => a.value - b.value)
  const unknown = lines.filter((line) => line === 'unknown').length
  for (const [i, number] of numbers.entries()) {
    assert.notEqual(number.value, numbers[i - 1]?.value, `${number.value} was given twice`)
  }
  let earliestMs = Number.POSITIVE_INFINITY
  for (const { value, beganMs, endedMs } of numbers.toReversed()) {
    // Of the higher numbers none had been given before this one was asked for.
    assert.ok(earliestMs >= beganMs, `${value} was given after a higher one`)
    earliestMs = Math.min(earliestMs, endedMs)
  }
  assert.ok((numbers.at(-1)?.value ?? 0) <= last, 'a number that was given is lost')
  assert.ok(numbers.length <= last, `${numbers.length} were given, the count is ${last}`)
  assert.ok(last <= numbers.length + unknown, `${last} counted, ${unknown} unknown`)
  return `${numbers.length} numbers given, ${unknown} unknown, the count is ${last}`
}
