/** Logs of instances whose machine is gone, read from the copies that a peer has of them. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { LogEntry } from '../../src/kernel/log-types.ts'
import type { UnitStatus } from '../../src/kernel/types.ts'
import { Lab, labName, noLab } from './harness.ts'

const skip = noLab
let lab: Lab
let shared: string

before(async () => {
  if (noLab !== false) return
  shared = mkdtempSync('/opt/holon-logs-of-the-dead-')
  lab = await Lab.up(4, { name: labName('logs-of-the-dead') })
  await lab.untilVoters(3)
})
after(async () => {
  await lab?.[Symbol.asyncDispose]()
  if (shared !== undefined) rmSync(shared, { recursive: true, force: true })
})

const loop = 'i=0; while :; do i=$$((i+1)); echo "of $$HOLON_FENCE line $$i"; sleep 0.1; done'

function parse(stdout: string): readonly LogEntry[] {
  return stdout.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line)]))
}

/** A machine's lines, each with the generation of the instance and its number, as they came. */
function lines(entries: readonly LogEntry[], machine: string) {
  const of = entries.filter((entry) => entry.machine === machine)
  return of.flatMap(({ text }) => {
    const [, fence, number] = /^of (\d+) line (\d+)$/.exec(text) ?? []
    return number === undefined ? [] : [{ fence: Number(fence), number: Number(number) }]
  })
}

/** The numbers of those of the first generation there. */
function numbers(entries: readonly LogEntry[], machine: string): readonly number[] {
  const all = lines(entries, machine)
  const first = Math.min(...all.map(({ fence }) => fence))
  return all.flatMap(({ fence, number }) => (fence === first ? [number] : []))
}

const upTo = (last: number) => Array.from({ length: last }, (_, index) => index + 1)

test('`holon logs` has the lines of a machine that was killed, each once, and says whence', {
  skip,
}, async () => {
  const file = join(shared, 'web.service')
  const service = `ExecStart=/bin/sh -c '${loop}'\nRestart=always`
  writeFileSync(file, `[Service]\n${service}\n[X-Holon]\nInstances=2\n`)
  const n1 = lab.machine('n1')
  await n1.ok(['enable', '--now', file])
  const units = await n1.json<readonly UnitStatus[]>(['list-units', '--json'])
  const places = units.flatMap(({ instances }) => instances.map(({ machine }) => machine))
  assert.equal(new Set(places).size, 2, `two machines: ${places}`)
  const victim = places.find((machine) => machine !== 'n1') ?? ''
  const other = places.find((machine) => machine !== victim) ?? ''
  const logs = async (...options: readonly string[]) => {
    const result = await n1.holon(['logs', '-o', 'json', ...options, 'web'])
    return { ...result, entries: parse(result.stdout) }
  }
  await lab.until('something was written', async () => {
    const { entries } = await logs()
    return [victim, other].every((machine) => numbers(entries, machine).length > 20)
  })
  const following = n1.start(['logs', '-f', '-n', '0', '-o', 'json', 'web'])
  let followed = ''
  following.stdout?.on('data', (chunk) => {
    followed += String(chunk)
  })
  await lab.until('it follows', async () => numbers(parseWhole(followed), victim).length > 5)
  await lab.kill(victim)
  const dead = await logs()
  assert.equal(dead.status, 0, dead.stderr)
  assert.match(
    dead.stderr,
    new RegExp(`^holon: lines of ${victim} come from a copy that ends at \\d{4}-.*\n$`),
  )
  const copied = numbers(dead.entries, victim)
  const lost = lines(dead.entries, victim)[0]?.fence ?? 0
  assert.deepEqual(copied, upTo(copied.length), 'all from the first, each once')
  const own = numbers(dead.entries, other)
  assert.deepEqual(own, upTo(own.length))
  const sorted = dead.entries.map(({ atMs }) => atMs)
  assert.deepEqual(
    sorted,
    sorted.toSorted((a, b) => a - b),
  )
  await lab.until('it was started elsewhere, and its lines are there, too', async () => {
    const { entries } = await logs()
    const elsewhere = ['n1', 'n2', 'n3', 'n4'].filter((each) => each !== victim)
    return elsewhere.some((each) => lines(entries, each).some(({ fence }) => fence === lost + 1))
  })
  // From the disk of the machine itself: what it wrote that its peer had not got.
  await lab.restart(victim)
  const { stdout } = await lab
    .machine(victim)
    .shell(`cat /var/lib/holon/log/unit/web.service/*/log | grep "of ${lost} line" | tail -n 1`)
  const written = Number(/line (\d+)/.exec(stdout)?.[1])
  const lacking = written - copied.length
  assert.ok(lacking >= 0 && lacking <= 30, `${copied.length} of ${written} lines were copied`)
  const seen = numbers(parseWhole(followed), victim)
  const [first = 0] = seen
  const whole = upTo(seen.at(-1) ?? 0).slice(first - 1)
  assert.deepEqual(seen, whole, 'followed into the copy, nothing left out, nothing twice')
  lab.machine('n1').signal(following, 'SIGINT')
})

/** The last line may not be whole yet. */
function parseWhole(text: string): readonly LogEntry[] {
  return parse(text.slice(0, text.lastIndexOf('\n') + 1))
}

test('an ordinary user reads no copies; the log of a machine that left is there', {
  skip,
}, async () => {
  const n1 = lab.machine('n1')
  const refused = await n1.shell('setpriv --reuid 65534 --clear-groups holon logs web')
  assert.notEqual(refused.status, 0)
  assert.equal(refused.stdout, '')
  await lab.until('all answer', async () => (await n1.holon(['list-units'])).status === 0)
  const places = (await n1.json<readonly UnitStatus[]>(['list-units', '--json'])).flatMap(
    ({ instances }) => instances.map(({ machine }) => machine),
  )
  const victim = places.find((machine) => machine !== 'n1') ?? ''
  const before = parse((await n1.holon(['logs', '-o', 'json', 'web'])).stdout)
  await lab.kill(victim)
  await lab.until('the state answers again, and it is removed', async () => {
    await n1.holon(['machines', 'remove', victim, '--yes'])
    const { status, stdout } = await n1.holon(['machines', '--no-headers'])
    return status === 0 && !stdout.includes(victim)
  })
  const { stdout, stderr } = await n1.holon(['logs', '-o', 'json', 'web'])
  const countOf = (entries: readonly LogEntry[]) =>
    entries.filter((e) => e.machine === victim).length
  assert.ok(countOf(parse(stdout)) > 0 && countOf(before) > 0, stdout.slice(0, 2000))
  assert.match(stderr, new RegExp(`lines of ${victim} come from a copy`))
})

test('what an instance wrote where it failed is there when it is tried elsewhere', {
  skip,
}, async () => {
  const file = join(shared, 'bad.service')
  const fails = `echo "fails on $$(hostname)"; sleep 1; exit 7`
  writeFileSync(file, `[Service]\nExecStart=/bin/sh -c '${fails}'\n`)
  const n1 = lab.machine('n1')
  await n1.holon(['enable', '--now', file])
  const logs = async () => n1.ok(['logs', 'bad'])
  const from = async () =>
    new Set([...(await logs()).matchAll(/fails on (\S+)/g)].map(([, on]) => on))
  await lab.until('it has failed on two machines', async () => (await from()).size === 2, 60_000)
  assert.match(await n1.ok(['why', 'bad']), /it failed on n\d: result exit-code/)
  await n1.ok(['stop', 'bad'])
  assert.equal((await from()).size >= 2, true, 'stopped, it is all there')
  const one = [...(await from())][0] ?? ''
  const there = await n1.ok(['logs', '-m', one, 'bad'])
  assert.deepEqual([...new Set(there.match(/fails on \S+/g))], [`fails on ${one}`])
})
