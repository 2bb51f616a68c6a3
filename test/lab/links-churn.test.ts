/**
 * Links that break all the time: everything recovers, and nothing grows. Connections are cut by the
 * kernel (`ss -K`), at both ends at once. Needs root. HOLON_CHURN_MS: how long the random part lasts;
 * HOLON_SEED chooses whom it hits.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { timed } from './fleet-support.ts'
import { Lab, labName, type Machine, noLab } from './harness.ts'
import { type Footprint, footprint, untilKeepers, untilReached, untilSeen } from './join-support.ts'

const name = labName('links-churn')
const churnMs = Number(process.env['HOLON_CHURN_MS'] ?? 15_000)
const all = ['n1', 'n2', 'n3', 'n4', 'n5']
const agents = '( sport = :4656 or dport = :4656 )'

/** Ends the machine's connections that match; how many those were. */
async function cutConnections(machine: Machine, filter: string): Promise<number> {
  const { stdout } = await machine.shell(`ss -HtnK state established '${filter}'`)
  return stdout.split('\n').filter((line) => line.includes(':')).length
}

/** Again and again, on these machines at once, until so many connections were cut. */
async function reconnect(lab: Lab, machines: readonly string[], count: number): Promise<void> {
  const endMs = performance.now() + 120_000
  for (let cut = 0; cut < count; ) {
    assert.ok(performance.now() < endMs, `only ${cut} of ${count} connections came back to be cut`)
    const counts = await Promise.all(
      machines.map((each) => cutConnections(lab.machine(each), agents)),
    )
    cut += counts.reduce((sum, each) => sum + each, 0)
    await sleep(100)
  }
}

const footprints = (lab: Lab) => all.map((each) => footprint(lab, each))

async function untilAsBefore(lab: Lab, before: readonly Footprint[]): Promise<void> {
  const mib = 1024 * 1024
  let now: readonly Footprint[] = []
  const check = () => {
    now = footprints(lab)
    return now.every(({ pid, descriptors, rssBytes }, i) => {
      const was = before[i]
      assert.equal(pid, was?.pid, 'the same agent')
      const few = descriptors <= (was?.descriptors ?? 0) + 8
      return few && rssBytes <= (was?.rssBytes ?? 0) + 40 * mib
    })
  }
  await lab.until('descriptors and memory are as before', check, 30_000).catch((error: unknown) => {
    throw new Error(`${JSON.stringify(before)}\n${JSON.stringify(now)}\n${error}`)
  })
}

async function warm(lab: Lab): Promise<void> {
  await untilReached(lab, all, all, 60_000)
  await untilSeen(lab, all, all, 30_000)
}

test('1000 reconnects, then links cut at random under load: all recovers, nothing grows', {
  skip: noLab,
}, async (t) => {
  await Lab.with(all.length, { name }, async (lab) => {
    const keepers = await untilKeepers(lab, 'n1', 3)
    await warm(lab)
    if ((await cutConnections(lab.machine('n1'), agents)) === 0) {
      t.skip('this kernel cannot cut a connection (CONFIG_INET_DIAG_DESTROY)')
      return
    }
    await reconnect(lab, keepers, 150)
    await warm(lab)
    const before = footprints(lab)
    await reconnect(lab, keepers, 1000)
    await warm(lab)
    await untilAsBefore(lab, before)

    const seed = Number(process.env['HOLON_SEED'] ?? Date.now() % 1_000_000)
    await cutAtRandom(lab, seed)
    await warm(lab)
    await untilAsBefore(lab, before)
  })
})

/** One link after the other, while programs are run over them. */
async function cutAtRandom(lab: Lab, seed: number): Promise<void> {
  const endMs = performance.now() + churnMs
  let state = seed >>> 0
  const any = <T>(items: readonly T[], not?: T): T => {
    const rest = items.filter((item) => item !== not)
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return rest[Math.floor((state / 2 ** 32) * rest.length)] as T
  }
  let cut = 0
  const cutting = (async () => {
    while (performance.now() < endMs) {
      const one = any(all)
      const filter = `dst ${lab.machine(any(all, one)).address} and ${agents}`
      cut += await cutConnections(lab.machine(one), filter)
      await sleep(150)
    }
  })()
  const outcomes: string[] = []
  const load = all.slice(0, 2).map(async (from, i) => {
    while (performance.now() < endMs) {
      const to = any(all, from)
      const args = i === 0 ? ['run', '-m', to, 'hostname'] : ['ps', '-A']
      const { status, stdout, stderr, tookMs } = await timed(lab.machine(from), args)
      const what = `seed ${seed}: ${from}: holon ${args.join(' ')}: ${status} ${stderr}`
      outcomes.push(`${status}`)
      // Done, or said not to be; and in time.
      if (status === 0 && i === 0) assert.equal(stdout, `${to}\n`, what)
      if (status !== 0) assert.match(stderr, /^holon: /, what)
      assert.ok(tookMs < 15_000, `${what}: ${tookMs} ms`)
    }
  })
  await Promise.all([cutting, ...load])
  assert.ok(cut > churnMs / 2_000, `only ${cut} links were cut`)
  const done = outcomes.filter((status) => status === '0').length
  assert.ok(done > outcomes.length / 2, `of ${outcomes.length} few were done: ${outcomes}`)
}
