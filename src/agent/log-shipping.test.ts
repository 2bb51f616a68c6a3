/** Logs copied from one directory to another as between two machines, with all that may go wrong. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { KeptAt, LogKeeping, LogPiece } from '../cluster/logs-kept/kept-log.ts'
import { realClock } from '../io/clock.ts'
import type { LogEntry, LogQuery } from '../kernel/log-types.ts'
import { LogCopies } from './log-copies.ts'
import { LogShipping } from './log-shipping.ts'
import { Logs } from './logs.ts'

const root = mkdtempSync(join(tmpdir(), 'holon-log-shipping-'))
after(() => rmSync(root, { recursive: true, force: true }))
const logs = new Logs({ clock: realClock }, { machine: 'n2', dir: root })
const members = { byId: (id: string) => ({ name: `name of ${id}` }) }
const unit = 'web.service'

type Members = (id: string) => { readonly name: string } | undefined

/** A machine whose logs are copied to `keeper`, and what went over the wire. */
class World implements LogKeeping {
  readonly dir = mkdtempSync(join(root, 'world-'))
  readonly pieces: LogPiece[] = []
  readonly reports: string[] = []
  keeper = 'k1'
  failing: HolonError | undefined
  #lines = 0

  copies(keeper = this.keeper): LogCopies {
    return new LogCopies(realClock, { dir: join(this.dir, keeper), reserveBytes: 0 })
  }

  logDir(number = 1): string {
    const dir = join(this.dir, 'unit', unit, String(number))
    mkdirSync(dir, { recursive: true })
    return dir
  }

  /** Numbered lines; their times grow by a millisecond. */
  write(count: number, number = 1, text = ''): void {
    const lines = Array.from({ length: count }, () => {
      const time = new Date(Date.UTC(2026, 10, 22) + ++this.#lines).toISOString().slice(0, -1)
      return `${time}000000Z stdout F line ${this.#lines}${text}\n`
    })
    appendFileSync(join(this.logDir(number), 'log'), lines.join(''))
  }

  ship(): LogShipping {
    const report = (message: string) => this.reports.push(message)
    const dir = join(this.dir, 'unit')
    const shipping = new LogShipping({ clock: realClock, keeping: this, report }, dir)
    shipping.start()
    return shipping
  }

  async keep(pieces: readonly LogPiece[]): Promise<KeptAt> {
    if (this.failing !== undefined) throw this.failing
    this.pieces.push(...pieces.filter(({ bytes }) => bytes !== ''))
    return { keeper: this.keeper, ends: this.copies().keep(pieces, 'm1', members) }
  }

  async read(query: LogQuery = {}): Promise<LogEntry[]> {
    using limit = deadline(realClock, 10_000)
    const entries: LogEntry[] = []
    for (let cursor = query.cursor; ; ) {
      const sources = this.copies().sources('m1', unit, query.instances)
      const at = cursor === undefined ? {} : { cursor }
      const page = await logs.read(sources, { ...query, ...at }, limit)
      entries.push(...page.entries)
      if (page.atEnd) return entries
      cursor = page.cursor
    }
  }

  async texts(query: LogQuery = {}): Promise<readonly string[]> {
    return (await this.read(query)).map(({ text }) => text)
  }

  /** Of several instances one may be copied before the other. */
  async untilCopied(last: string, count = 1): Promise<readonly string[]> {
    const endMs = performance.now() + 30_000
    for (;;) {
      const texts = await this.texts()
      if (texts.at(-1) === last && texts.length >= count) return texts
      if (performance.now() > endMs) {
        assert.fail(`no ${last} but ${texts.slice(-3)}; ${this.reports}`)
      }
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }
}

const numbered = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, index) => `line ${from + index}`)

test('LogShipping copies what is there and what is written, of all instances, once', async () => {
  const world = new World()
  world.write(3)
  await using _shipping = world.ship()
  await world.untilCopied('line 3')
  world.write(2, 2)
  await world.untilCopied('line 5')
  world.write(1)
  assert.deepEqual(await world.untilCopied('line 6', 6), numbered(1, 6))
  assert.deepEqual(await world.texts({ instances: [2] }), ['line 4', 'line 5'])
  const [first] = await world.read()
  assert.equal(first?.machine, 'name of m1')
  assert.equal(first?.instance, 'web.service/1')
  assert.deepEqual(await world.copies().list({ unit }), [
    { machineId: 'm1', machine: 'name of m1', endsAtMs: Date.UTC(2026, 10, 22) + 6 },
  ])
})

test('LogShipping sends nothing twice after its agent was replaced, rotations included', async () => {
  const world = new World()
  world.write(3)
  {
    await using _shipping = world.ship()
    await world.untilCopied('line 3')
  }
  world.write(1)
  renameSync(join(world.logDir(), 'log'), join(world.logDir(), 'log.1'))
  world.write(2)
  const before = world.pieces.length
  await using _shipping = world.ship()
  assert.deepEqual(await world.untilCopied('line 6'), numbered(1, 6))
  const sent = world.pieces
    .slice(before)
    .map(({ bytes }) => Buffer.from(bytes, 'base64').toString())
  assert.equal(sent.join('').match(/line/g)?.length, 3)
})

test('LogShipping gives another keeper the last part of every log', async () => {
  const world = new World()
  world.write(4)
  world.write(4, 2)
  await using _shipping = world.ship()
  await world.untilCopied('line 8', 8)
  world.keeper = 'k2'
  world.write(1)
  assert.deepEqual(await world.untilCopied('line 9', 9), numbered(1, 9))
})

test('LogShipping: a log cut off is copied on, and what is lost is told once it is known', async () => {
  const world = new World()
  world.write(3)
  await using _shipping = world.ship()
  await world.untilCopied('line 3')
  truncateSync(join(world.logDir(), 'log'))
  world.write(2)
  const texts = await world.untilCopied('line 5')
  assert.deepEqual(texts.slice(0, 3), numbered(1, 3))
  assert.match(texts[3] ?? '', /^holon: lines are missing here/)
  assert.deepEqual(texts.slice(4), numbered(4, 5))
})

test('LogShipping: of a flood the last 256 KiB at least are copied, and the gap is told', async () => {
  const world = new World()
  world.write(1)
  const shipping = world.ship()
  await using _ends = shipping
  await world.untilCopied('line 1')
  const text = ' '.repeat(1000)
  world.write(2000, 1, text)
  const texts = await world.untilCopied(`line 2001${text}`)
  const whole = texts.filter((each) => each.startsWith('line'))
  const gaps = texts.filter((each) => each.startsWith('holon: lines are missing here'))
  assert.ok(gaps.length <= 1)
  assert.ok((whole.length + 1) * 1050 > limits.keptLogBytes, `${whole.length} lines`)
  assert.ok(
    world.copies().usage().bytes <= limits.keptLogBytes + 2 * limits.keptLogSegmentBytes + 20,
  )
  const numbers = whole.map((each) => Number(each.split(' ')[1])).filter((each) => each > 1)
  assert.deepEqual(
    numbers,
    numbers.map((_, index) => 2001 - numbers.length + 1 + index),
  )
})

test('LogShipping goes on where the copy ends when answers were lost', async () => {
  const world = new World()
  world.write(2)
  await using _shipping = world.ship()
  await world.untilCopied('line 2')
  const keep = world.keep.bind(world)
  world.keep = async (pieces) => {
    await keep(pieces)
    world.keep = keep
    throw new HolonError('unavailable', 'the link broke')
  }
  world.write(2)
  await world.untilCopied('line 4')
  world.write(1)
  assert.deepEqual(await world.untilCopied('line 5'), numbered(1, 5))
})

test('a position in the log is the same in its copy: who reads on there misses and repeats nothing', async () => {
  const world = new World()
  world.write(5)
  await using _shipping = world.ship()
  await world.untilCopied('line 5')
  using limit = deadline(realClock, 10_000)
  const own = [{ instance: `${unit}/1`, dir: world.logDir() }]
  const page = await logs.read(own, { untilMs: Date.UTC(2026, 10, 22) + 3 }, limit)
  assert.deepEqual(
    page.entries.map(({ text }) => text),
    numbered(1, 3),
  )
  assert.deepEqual(await world.texts({ cursor: page.cursor }), numbered(4, 5))
  world.write(1)
  // The copy may be behind who read the log itself, also by a whole file.
  const whole = await logs.read(own, {}, limit)
  renameSync(join(world.logDir(), 'log'), join(world.logDir(), 'log.1'))
  world.write(1)
  const newer = await logs.read(own, { cursor: whole.cursor }, limit)
  const copies = world.copies().sources('m1', unit)
  const behind = await Promise.all(
    [whole, newer].map(({ cursor }) => logs.read(copies, { cursor }, limit)),
  )
  assert.deepEqual(
    behind.map(({ entries }) => entries),
    [[], []],
  )
  await world.untilCopied('line 7')
  const [afterSix = [], afterSeven] = await Promise.all(
    behind.map(({ cursor }) => world.texts({ cursor })),
  )
  assert.deepEqual([afterSix, afterSeven], [['line 7'], []])
  const copied = await logs.read(copies, { tail: 2 }, limit)
  assert.deepEqual(
    copied.entries.map(({ text }) => text),
    numbered(6, 7),
  )
  world.write(1)
  const back = await logs.read(own, { cursor: copied.cursor }, limit)
  assert.deepEqual(
    back.entries.map(({ text }) => text),
    ['line 8'],
  )
})

test('LogCopies.keep() takes only what follows, and only names that are some', () => {
  const world = new World()
  const copies = world.copies()
  const time = '2026-11-22T00:00:00.000000000Z'
  const bytes = Buffer.from(`${time} stdout F a\n`).toString('base64')
  const piece: LogPiece = { instance: 'a.service/1', after: null, at: [7, 0, time], bytes }
  const ends = [[7, 42, time]]
  assert.deepEqual(copies.keep([piece], 'm1', members), ends)
  const repeated = { ...piece, after: [7, 0, time] as const }
  assert.deepEqual(copies.keep([repeated], 'm1', members), ends)
  assert.deepEqual(copies.keep([{ ...piece, bytes: '' }], 'm1', members), ends)
  assert.deepEqual(copies.keep([{ ...piece, bytes: '' }], 'm2', members), [null])
  for (const instance of ['../a/1', 'a.service', 'a.service/1/2', 'a/../1', '.a/1', '/1', 'a/x']) {
    assert.throws(() => copies.keep([{ ...piece, instance }], 'm1', members), {
      code: 'invalid_argument',
    })
  }
  const odd: LogPiece = { ...piece, instance: 'b.service/1', at: [7, 0, '../../../../etc/passwd'] }
  assert.throws(() => copies.keep([odd], 'm1', members), { code: 'invalid_argument' })
  assert.deepEqual(readdirSync(join(world.dir, 'k1', 'm1')), ['a.service', 'name'])
})

test('LogCopies gives up what grew least recently, and after a week what nobody owns', () => {
  let nowMs = realClock.wallMs()
  const clock = { ...realClock, wallMs: () => nowMs, nowMs: () => nowMs }
  const dir = mkdtempSync(join(root, 'bounded-'))
  const time = '2026-11-22T00:00:00.000000000Z'
  const lines = Buffer.from(`${time} stdout F ${'x'.repeat(900)}\n`.repeat(60))
  const put = (copies: LogCopies, machineId: string, known: Members = members.byId) => {
    nowMs += 1000
    const bytes = lines.toString('base64')
    const piece: LogPiece = { instance: 'a.service/1', after: null, at: [7, 0, time], bytes }
    copies.keep([piece], machineId, { byId: known })
  }
  const options = { dir, bytesMax: 3 * lines.length, reserveBytes: 0 }
  const copies = new LogCopies(clock, options)
  for (const machineId of ['m1', 'm2', 'm3', 'm4']) put(copies, machineId)
  const has = (machineId: string) => copies.sources(machineId, 'a.service').length > 0
  assert.deepEqual(['m1', 'm2', 'm3', 'm4'].map(has), [false, true, true, true])
  nowMs += 8 * 24 * 3600_000
  put(new LogCopies(clock, options), 'm4', (id) => (id === 'm3' ? undefined : { name: id }))
  assert.deepEqual(['m2', 'm3', 'm4'].map(has), [true, false, true])
})

test('LogCopies refuses on a disk that is nearly full', () => {
  const dir = mkdtempSync(join(root, 'full-'))
  const copies = new LogCopies(realClock, { dir, reserveBytes: Number.MAX_SAFE_INTEGER })
  const at = [7, 0, '2026-11-22T00:00:00.000000000Z'] as const
  const piece: LogPiece = { instance: 'a.service/1', after: null, at, bytes: 'YQo=' }
  assert.throws(() => copies.keep([piece], 'm1', members), { code: 'exhausted' })
  assert.deepEqual(copies.keep([{ ...piece, bytes: '' }], 'm1', members), [null])
})
