import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { setImmediate as turn } from 'node:timers/promises'
import { ManualClock } from '../../test/conformance/manual-clock.ts'
import { temporaryDirectory } from '../../test/support/rpc-toy.ts'
import { abortError, deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { realClock } from '../io/clock.ts'
import type { CallOptions, MissingMachine, Page } from '../kernel/types.ts'
import { connectRpc } from '../rpc/connect.ts'
import { listenRpc } from '../rpc/listen.ts'
import type { FanOutMachine } from './fan-out.ts'
import { FleetPages, type FleetPagesOptions } from './fleet-pages.ts'
import { type MachinePart, type PageWish, type Peer, peerInterface } from './peer.ts'
import { writeTextPage } from './text-page.ts'

interface Row {
  readonly machine: string
  readonly row: number
}

interface RowPage extends Page {
  readonly rows: readonly Row[]
  readonly missing: readonly MissingMachine[]
}

type Ask = FleetPagesOptions<FanOutMachine>['ask']

const never = new AbortController().signal

function machinesOf(count: number): readonly FanOutMachine[] {
  const names = Array.from({ length: count }, (_, i) => `n${String(i + 1).padStart(4, '0')}`)
  return names.map((name) => ({ machineId: `id-${name}`, name }))
}

/** Each machine has `count` rows of `rowBytes`, given as asked for. */
function tableOf(count: number, rowBytes = 100): Ask {
  return async ({ name }, { bytes, cursor = '0' }) => {
    const from = Number(cursor)
    const to = Math.min(count, from + Math.max(1, Math.ceil(bytes / rowBytes)))
    const rows = Array.from({ length: to - from }, (_, i) => {
      const row = JSON.stringify({ machine: name, row: from + i })
      return row + ' '.repeat(Math.max(0, rowBytes - row.length))
    })
    const lists = [rows.join(',')]
    return writeTextPage(to < count ? { lists, cursor: String(to) } : { lists })
  }
}

function pagesOf(clock: ManualClock, machines: readonly FanOutMachine[], ask: Ask) {
  const lastSeenAtMs = () => 7
  return new FleetPages<FanOutMachine, RowPage>(clock, machines, {
    lists: ['rows'],
    ask,
    lastSeenAtMs,
  })
}

async function readAll(pages: FleetPages<FanOutMachine, RowPage>) {
  const rows: Row[] = []
  for (;;) {
    const page = await pages.next({ signal: never })
    rows.push(...page.rows)
    if (page.last) return { rows, missing: page.missing }
    assert.deepEqual(page.missing, [])
  }
}

/** What never answers, and ends with its signal. */
function silent(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(abortError(signal)), { once: true })
  })
}

test('FleetPages.next() gives every row of every machine once, those of each in order', async () => {
  using pages = pagesOf(new ManualClock(), machinesOf(7), tableOf(5000))
  const { rows, missing } = await readAll(pages)
  assert.deepEqual(missing, [])
  assert.equal(rows.length, 35_000)
  const next = new Map<string, number>()
  for (const { machine, row } of rows) {
    assert.equal(row, next.get(machine) ?? 0)
    next.set(machine, row + 1)
  }
})

test('FleetPages.next() of no machines is an empty last page', async () => {
  using pages = pagesOf(new ManualClock(), [], tableOf(1))
  assert.deepEqual(await pages.next({ signal: never }), { rows: [], missing: [], last: true })
})

test('FleetPages asks nobody before next(), then one page each, however slowly it is read', async () => {
  const table = tableOf(1_000_000)
  const asked = new Map<string, number>()
  let bytesAsked = 0
  const ask: Ask = async (machine, page, signal) => {
    asked.set(machine.name, (asked.get(machine.name) ?? 0) + 1)
    bytesAsked += page.bytes
    return table(machine, page, signal)
  }
  using pages = pagesOf(new ManualClock(), machinesOf(200), ask)
  await turn()
  assert.equal(asked.size, 0)
  const { rows } = await pages.next({ signal: never })
  assert.ok(rows.length > 0)
  for (let i = 0; i < 20; i++) await turn()
  // Those whose page was passed on were asked again; nobody has two pages that wait here.
  const passedOn = new Map<string, number>()
  for (const { machine } of rows) passedOn.set(machine, 1)
  for (const [machine, times] of asked) {
    assert.ok(times <= 1 + (passedOn.get(machine) ?? 0), `${machine} was asked ${times} times`)
  }
  assert.equal(asked.size, 200)
  assert.ok(bytesAsked <= limits.fanOutBytes + 2 * limits.listingPageBytes, `${bytesAsked} bytes`)
})

test('FleetPages names machines that fail at once, in the middle, or by silence', async () => {
  const clock = new ManualClock()
  const table = tableOf(2000)
  const ask: Ask = async (machine, page, signal) => {
    if (machine.name === 'n0001') throw new HolonError('unavailable', 'it is off')
    if (machine.name === 'n0002' && page.cursor !== undefined) {
      throw new HolonError('unavailable', 'its link broke', { outcome: 'unknown' })
    }
    if (machine.name === 'n0003') return silent(signal)
    if (machine.name === 'n0004' && page.cursor !== undefined) return silent(signal)
    return table(machine, page, signal)
  }
  using pages = pagesOf(clock, machinesOf(5), ask)
  const { rows, missing } = await clock.drive(readAll(pages))
  assert.deepEqual(
    missing.map(({ machine, code, lastSeenAtMs }) => [machine, code, lastSeenAtMs]),
    [
      ['n0001', 'unavailable', 7],
      ['n0002', 'unavailable', 7],
      ['n0003', 'deadline_exceeded', 7],
      ['n0004', 'deadline_exceeded', 7],
    ],
  )
  const of = (name: string) => rows.filter(({ machine }) => machine === name).length
  assert.deepEqual([of('n0001'), of('n0003'), of('n0005')], [0, 0, 2000])
  // What they gave before stays.
  assert.ok(of('n0002') > 0 && of('n0002') < 2000 && of('n0004') > 0 && of('n0004') < 2000)
  assert.ok(clock.nowMs() <= 2 * limits.fanOutMs, `${clock.nowMs()} ms`)
})

test('FleetPages ends a machine\u2019s time before that of who asks', async () => {
  const clock = new ManualClock()
  const ask: Ask = (_, __, signal) => silent(signal)
  using pages = pagesOf(clock, machinesOf(1), ask)
  using limit = deadline(clock, 1000)
  const page = await clock.drive(pages.next(limit))
  assert.equal(page.missing[0]?.code, 'deadline_exceeded')
  assert.ok(clock.nowMs() < 1000)
})

test('FleetPages.next() throws what is wrong with the question, and asks on for nothing', async () => {
  let ended = 0
  const ask: Ask = async ({ name }, _, signal) => {
    if (name === 'n0001') throw new HolonError('invalid_argument', 'no such query')
    return silent(signal).finally(() => ended++)
  }
  using pages = pagesOf(new ManualClock(), machinesOf(3), ask)
  await assert.rejects(pages.next({ signal: never }), { code: 'invalid_argument' })
  await turn()
  assert.equal(ended, 2)
  await assert.rejects(pages.next({ signal: never }), { code: 'invalid_argument' })
})

test('FleetPages.next() ends by its own signal, and the listing can be asked on', async () => {
  const clock = new ManualClock()
  const answer = Promise.withResolvers<string>()
  using pages = pagesOf(clock, machinesOf(1), () => answer.promise)
  const impatient = new AbortController()
  const asked = pages.next({ signal: impatient.signal })
  impatient.abort(new HolonError('cancelled', 'enough'))
  await assert.rejects(asked, { code: 'cancelled' })
  answer.resolve(writeTextPage({ lists: ['{"machine":"n0001","row":0}'] }))
  assert.equal((await pages.next({ signal: never })).rows.length, 1)
})

test('FleetPages gives up, and all questions with it, when disposed of or not asked on', async () => {
  for (const how of ['disposed', 'idle'] as const) {
    const clock = new ManualClock()
    const table = tableOf(100_000)
    let underWay = 0
    const ask: Ask = async (machine, page, signal) => {
      if (page.cursor === undefined) return table(machine, page, signal)
      underWay++
      // Longer than the listing may be idle: only its end ends this.
      return silent(signal).finally(() => underWay--)
    }
    const pages = new FleetPages<FanOutMachine, RowPage>(clock, machinesOf(3), {
      lists: ['rows'],
      ask,
      timeoutMs: 10 * limits.listingIdleMs,
      lastSeenAtMs: () => undefined,
    })
    await pages.next({ signal: never })
    await turn()
    assert.ok(underWay > 0)
    if (how === 'disposed') pages[Symbol.dispose]()
    else clock.advance(limits.listingIdleMs)
    for (let i = 0; i < 5; i++) await turn()
    assert.equal(underWay, 0)
    const code = how === 'disposed' ? 'cancelled' : 'deadline_exceeded'
    await assert.rejects(pages.next({ signal: never }), { code })
    pages[Symbol.dispose]()
  }
})

test('FleetPages names a machine whose agent is lost between two pages', async () => {
  using directory = temporaryDirectory()
  const table = tableOf(2000)
  const serve = (machine: FanOutMachine) => {
    const part = {
      processPage: (_: unknown, page: PageWish, { signal }: CallOptions) =>
        table(machine, page, signal),
    } as unknown as MachinePart
    const peer = { part: async () => part } as unknown as Peer
    const path = join(directory.path, machine.name)
    return listenRpc(realClock, path, peerInterface, () => peer, options)
  }
  const options = { version: '1.2.3', onInternalError: (error: unknown) => assert.fail(`${error}`) }
  const machines = machinesOf(2)
  const [staying, lost] = await Promise.all(machines.map(serve))
  await using ends = new AsyncDisposableStack()
  ends.use(staying)
  const parts = new Map<string, MachinePart>()
  using limit = deadline(realClock, 20_000)
  for (const { name } of machines) {
    const path = join(directory.path, name)
    const link = ends.use(
      await connectRpc(realClock, path, peerInterface, { ...options, ...limit }),
    )
    parts.set(name, await link.main.part({}, limit))
  }
  using pages = new FleetPages<FanOutMachine, RowPage>(realClock, machines, {
    lists: ['rows'],
    ask: async ({ name }, page, signal) => {
      if (name === 'n0002' && page.cursor !== undefined) await lost?.[Symbol.asyncDispose]()
      const part = parts.get(name)
      assert.ok(part !== undefined)
      return part.processPage({}, page, { signal })
    },
    timeoutMs: 10_000,
    lastSeenAtMs: () => 7,
  })
  const { rows, missing } = await readAll(pages)
  assert.deepEqual(missing, [{ machine: 'n0002', code: 'unavailable', lastSeenAtMs: 7 }])
  assert.equal(rows.filter(({ machine }) => machine === 'n0001').length, 2000)
})
