/** Logs of several machines, some of which do not answer, with copies that others have of them. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { realClock } from '../../io/clock.ts'
import type { Unit } from '../../kernel/kernel.ts'
import type { LogPage, LogQuery } from '../../kernel/log-types.ts'
import type { MachineRecord } from '../members.ts'
import { UnitOfMany } from '../unit-of-many.ts'
import { findKept, type KeptSource } from './find-kept.ts'
import type { KeptLog, KeptLogs } from './kept-log.ts'

const unit = 'web.service'

/** A log of lines at 1, 2, 3, …; its cursor is the number of lines read. */
class ToyLog {
  readonly machine: string
  /** Lines at these times. */
  readonly times: readonly number[]
  failure: HolonError | undefined
  reads = 0

  constructor(machine: string, times: readonly number[]) {
    this.machine = machine
    this.times = times
  }

  async page(query: LogQuery): Promise<LogPage> {
    this.reads++
    if (this.failure !== undefined) throw this.failure
    const from = Number(query.cursor ?? 0)
    const times = this.times.filter((atMs) => atMs > from && atMs <= (query.untilMs ?? Infinity))
    const entries = times.slice(0, 2).map((atMs) => ({
      atMs,
      machine: this.machine,
      instance: `${unit}/1`,
      stream: 'stdout' as const,
      text: `${this.machine} ${atMs}`,
      complete: true,
    }))
    const cursor = String(entries.at(-1)?.atMs ?? from)
    return { entries, cursor, atEnd: times.length <= 2, missing: [] }
  }
}

function machine(name: string): MachineRecord {
  const rest = { publicKey: '', addresses: [], zone: '', labels: {}, version: '', joinedAtMs: 0 }
  return { machineId: `id of ${name}`, name, ...rest }
}

/** n1 and n2 answer, n3 is in the fleet; what each keeps of others. */
class World {
  readonly machines = ['n1', 'n2', 'n3'].map(machine)
  readonly kept = new Map<string, readonly (KeptLog & { readonly log: ToyLog })[]>()
  readonly silent = new Set(['n3'])

  readonly source: KeptSource = {
    machines: () => this.machines,
    ask: async (ask, signal) => {
      const up = this.machines.filter(({ name }) => !this.silent.has(name))
      const answers = await Promise.all(
        up.map(async (each) => ({ machine: each, value: await ask(this.part(each), signal) })),
      )
      return { answers, missing: [] }
    },
    part: async (of) => this.part(of),
  }

  part({ name }: MachineRecord): KeptLogs {
    const kept = this.kept.get(name) ?? []
    return {
      keptLogs: async () => kept.map(({ log: _, ...rest }) => rest),
      keptLogPage: async ({ machineId }, query) => {
        const found = kept.find((each) => each.machineId === machineId)
        if (found === undefined) throw new HolonError('not_found', 'no such copy')
        return found.log.page(query)
      },
    }
  }

  keep(keeper: string, of: string, times: readonly number[]): ToyLog {
    const log = new ToyLog(of, times)
    const kept = { machineId: `id of ${of}`, machine: of, endsAtMs: times.at(-1) ?? 0, log }
    this.kept.set(keeper, [...(this.kept.get(keeper) ?? []), kept])
    return log
  }

  unit(holders: readonly ToyLog[], missing: readonly string[]): UnitOfMany {
    return new UnitOfMany(
      realClock,
      unit,
      holders.map((log) => ({
        machine: log.machine,
        unit: { logs: (query: LogQuery) => log.page(query) } as Partial<Unit> as Unit,
      })),
      missing.map((name) => ({ machine: name, code: 'unavailable' as const })),
      { kept: (query, signal) => findKept(this.source, unit, query, signal) },
    )
  }
}

async function readAll(of: Pick<Unit, 'logs'>, cursor?: string) {
  using limit = deadline(realClock, 10_000)
  const texts: string[] = []
  for (let at = cursor; ; ) {
    const page = await of.logs(at === undefined ? {} : { cursor: at }, limit)
    texts.push(...page.entries.map(({ text }) => text))
    if (page.atEnd) return { texts, page }
    at = page.cursor
  }
}

test('machines that do not answer are read from their copies, by time, and named', async () => {
  const world = new World()
  world.keep('n2', 'n3', [1, 3, 5, 7, 9])
  const n1 = new ToyLog('n1', [2, 4, 6, 8])
  const { texts, page } = await readAll(world.unit([n1], ['n3']))
  assert.deepEqual(
    texts,
    [1, 2, 3, 4, 5, 6, 7, 8, 9].map((atMs) => `${atMs % 2 === 0 ? 'n1' : 'n3'} ${atMs}`),
  )
  assert.deepEqual(page.missing, [])
  assert.deepEqual(page.copies, [{ machine: 'n3', endsAtMs: 9 }])
})

test('of several copies the one that ends last counts; without one the machine is missing', async () => {
  const world = new World()
  world.keep('n1', 'n3', [1, 2])
  world.keep('n2', 'n3', [1, 2, 3])
  const { texts } = await readAll(world.unit([], ['n3']))
  assert.deepEqual(texts, ['n3 1', 'n3 2', 'n3 3'])
  world.kept.clear()
  const n1 = new ToyLog('n1', [1])
  const { page } = await readAll(world.unit([n1], ['n3']))
  assert.deepEqual(page.missing, [{ machine: 'n3', code: 'unavailable' }])
  assert.equal(page.copies, undefined)
})

test('a machine that answers is read itself, its copy never; it goes on in the copy when it fails', async () => {
  const world = new World()
  const copy = world.keep('n2', 'n3', [1, 2, 3])
  const n1 = new ToyLog('n1', [1])
  const n3 = new ToyLog('n3', [1, 2, 3, 4])
  const of = world.unit([n1, n3], [])
  const first = await readAll(of)
  assert.deepEqual(first.texts, ['n1 1', 'n3 1', 'n3 2', 'n3 3', 'n3 4'])
  assert.equal(copy.reads, 0)
  using limit = deadline(realClock, 10_000)
  const begun = await of.logs({}, limit)
  assert.deepEqual(begun.entries.at(-1)?.text, 'n3 2')
  n3.failure = new HolonError('unavailable', 'n3 cannot be reached')
  const rest = await readAll(of, begun.cursor)
  assert.deepEqual(rest.texts, ['n3 3'])
  assert.deepEqual(rest.page.copies, [{ machine: 'n3', endsAtMs: 3 }])
  // And back.
  n3.failure = undefined
  assert.deepEqual((await readAll(of, rest.page.cursor)).texts, ['n3 4'])
})

test('a machine that has nothing of it any more tells what it had; one that has, only once', async () => {
  const world = new World()
  world.keep('n1', 'n2', [1, 2])
  world.kept.set('n2', [{ machine: 'n2', endsAtMs: 3, log: new ToyLog('n2', [1, 2, 3]) }])
  const n1 = new ToyLog('n1', [4])
  const { texts, page } = await readAll(world.unit([n1], []))
  assert.deepEqual(texts, ['n2 1', 'n2 2', 'n2 3', 'n1 4'])
  assert.equal(page.copies, undefined)
  const n2 = new ToyLog('n2', [1, 2, 3, 5])
  assert.deepEqual((await readAll(world.unit([n2], []))).texts.length, 4)
})

test('machines that left are there, also beside one that has their name now', async () => {
  const world = new World()
  world.keep('n2', 'gone', [1, 4])
  world.kept.set('n1', [
    { machineId: 'an old id', machine: 'n1', endsAtMs: 2, log: new ToyLog('n1', [2]) },
  ])
  const { texts, page } = await readAll(world.unit([new ToyLog('n1', [3])], []))
  assert.deepEqual(texts, ['gone 1', 'n1 2', 'n1 3', 'gone 4'])
  assert.deepEqual(page.copies?.map(({ machine: name }) => name).toSorted(), ['gone', 'n1'])
})

test('who refuses is not read behind its back', async () => {
  const world = new World()
  world.keep('n2', 'n3', [1])
  const refused = new UnitOfMany(
    realClock,
    unit,
    [],
    [{ machine: 'n3', code: 'permission_denied' }],
    { kept: (query, signal) => findKept(world.source, unit, query, signal) },
  )
  const { texts, page } = await readAll(refused)
  assert.deepEqual(texts, [])
  assert.deepEqual(page.missing, [{ machine: 'n3', code: 'permission_denied' }])
})

test('what one machine alone refuses is refused, copies or not', async () => {
  const world = new World()
  world.keep('n2', 'n1', [1])
  const n1 = new ToyLog('n1', [1])
  n1.failure = new HolonError('permission_denied', 'only root')
  await assert.rejects(readAll(world.unit([n1], [])), { code: 'permission_denied' })
})
