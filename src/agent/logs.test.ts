import assert from 'node:assert/strict'
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { deadline } from '../base/clock.ts'
import { seededRandom } from '../base/random.ts'
import { realClock } from '../io/clock.ts'
import type { LogEntry, LogPage, LogQuery } from '../kernel/log-types.ts'
import { Logs } from './logs.ts'

const root = mkdtempSync(join(tmpdir(), 'holon-logs-'))
after(() => rmSync(root, { recursive: true, force: true }))
const logs = new Logs({ clock: realClock }, { machine: 'n1', dir: root })

let count = 0
function newDir(): string {
  const dir = join(root, `unit${++count}`, '1')
  mkdirSync(dir, { recursive: true })
  return dir
}

const epochMs = Date.UTC(2026, 10, 22, 17, 0, 0)
function line(atMs: number, text: string | Buffer, stream = 'stdout', flag = 'F'): Buffer {
  const time = `${new Date(epochMs + atMs).toISOString().slice(0, -1)}000000Z`
  return Buffer.concat([Buffer.from(`${time} ${stream} ${flag} `), Buffer.from(text), nl])
}
const nl = Buffer.from('\n')

async function read(dirs: readonly string[], query: LogQuery, ms = 10_000): Promise<LogPage> {
  using limit = deadline(realClock, ms)
  const sources = dirs.map((dir, index) => ({ instance: `web.service/${index + 1}`, dir }))
  return await logs.read(sources, query, limit)
}

async function readAll(dirs: readonly string[], query: LogQuery): Promise<LogEntry[]> {
  const entries: LogEntry[] = []
  let page = await read(dirs, query)
  entries.push(...page.entries)
  while (!page.atEnd) {
    page = await read(dirs, { ...query, cursor: page.cursor })
    entries.push(...page.entries)
  }
  return entries
}

const textsOf = (entries: readonly LogEntry[]) => entries.map((entry) => entry.text)

function rotate(dir: string, files: number): void {
  for (let n = files - 1; n > 0; n--) {
    const from = n === 1 ? 'log' : `log.${n - 1}`
    try {
      renameSync(join(dir, from), join(dir, `log.${n}`))
    } catch {
      // Not that many yet.
    }
  }
}

test('read() gives every line of rotated files, oldest first, with all it has', async () => {
  const dir = newDir()
  writeFileSync(join(dir, 'log.1'), Buffer.concat([line(0, 'one'), line(1000, 'two', 'stderr')]))
  writeFileSync(join(dir, 'log'), line(2000.5, ' three '))
  writeFileSync(join(dir, 'other'), 'not a log')
  const page = await read([dir], {})
  assert.deepEqual(page.entries, [
    entry(0, 'stdout', 'one'),
    entry(1000, 'stderr', 'two'),
    entry(2000, 'stdout', ' three '),
  ])
  assert.equal(page.atEnd, true)
  assert.deepEqual(textsOf((await read([dir], { stream: 'stderr' })).entries), ['two'])
  function entry(atMs: number, stream: string, text: string) {
    const instance = 'web.service/1'
    return { atMs: epochMs + atMs, machine: 'n1', instance, stream, text, complete: true }
  }
})

test('read() of a log that is not there is empty', async () => {
  const page = await read([join(root, 'nothing')], { tail: 5 })
  assert.deepEqual([page.entries, page.atEnd], [[], true])
})

test('read() merges instances by time', async () => {
  const dirs = [newDir(), newDir(), newDir()]
  for (let i = 0; i < 300; i++) {
    appendFileSync(join(dirs[i % 3] ?? '', 'log'), line(i * 10, `line ${i}`))
  }
  const expected = Array.from({ length: 300 }, (_, i) => `line ${i}`)
  assert.deepEqual(textsOf(await readAll(dirs, {})), expected)
  for (const tail of [0, 1, 7, 299, 300, 1000]) {
    const wanted = tail === 0 ? [] : expected.slice(-tail)
    assert.deepEqual(textsOf(await readAll(dirs, { tail })), wanted, `tail ${tail}`)
  }
})

test('tail, since and until agree with a plain filter, on random logs', async () => {
  for (let seed = 1; seed <= 12; seed++) {
    const random = seededRandom(seed)
    const below = (bound: number) => Math.floor(random.next() * bound)
    const dir = newDir()
    const lines: { atMs: number; text: string; stream: string }[] = []
    let atMs = 0
    const files = 1 + below(4)
    for (let file = files - 1; file >= 0; file--) {
      const parts: Buffer[] = []
      for (let i = below(1500); i > 0; i--) {
        atMs += below(50)
        const text = `${lines.length} ${'x'.repeat(below(20) === 0 ? below(9000) : below(90))}`
        const stream = below(3) === 0 ? 'stderr' : 'stdout'
        lines.push({ atMs, text, stream })
        parts.push(line(atMs, text, stream))
      }
      writeFileSync(join(dir, file === 0 ? 'log' : `log.${file}`), Buffer.concat(parts))
    }
    for (let round = 0; round < 8; round++) {
      const since = below(atMs + 100)
      const until = below(atMs + 100)
      const tail = below(lines.length + 10)
      const stream = below(2) === 0 ? 'stderr' : undefined
      const expected = lines
        .filter((l) => l.atMs >= since && l.atMs <= until)
        .filter((l) => stream === undefined || l.stream === stream)
        .map((l) => l.text)
      const query = {
        sinceMs: epochMs + since,
        untilMs: epochMs + until,
        ...(stream === undefined ? {} : { stream: 'stderr' as const }),
      }
      const what = `seed ${seed} round ${round}: ${JSON.stringify({ since, until, tail, stream })}`
      assert.deepEqual(textsOf(await readAll([dir], query)), expected, what)
      const last = tail === 0 ? [] : expected.slice(-tail)
      assert.deepEqual(textsOf(await readAll([dir], { ...query, tail })), last, `${what}, tail`)
    }
  }
})

test('read() pages are bounded and go on exactly where they ended', async () => {
  const dir = newDir()
  const texts = Array.from({ length: 4000 }, (_, i) => `${i} ${'y'.repeat(1000)}`)
  writeFileSync(join(dir, 'log'), Buffer.concat(texts.map((text, i) => line(i, text))))
  const page = await read([dir], {})
  assert.equal(page.atEnd, false)
  assert.ok(page.entries.length > 500 && page.entries.length < 1200, `${page.entries.length}`)
  assert.deepEqual(textsOf(await readAll([dir], {})), texts)
})

test('a cursor survives rotations, and starts at the oldest when its file is gone', async () => {
  const dir = newDir()
  const add = (text: string) => appendFileSync(join(dir, 'log'), line(++count, text))
  add('a')
  add('b')
  const { cursor } = await read([dir], {})
  add('c')
  rotate(dir, 3)
  add('d')
  rotate(dir, 3)
  add('e')
  assert.deepEqual(textsOf((await read([dir], { cursor })).entries), ['c', 'd', 'e'])
  // Another agent, another process: a cursor is only text.
  const other = new Logs({ clock: realClock }, { machine: 'n1', dir: root })
  using limit = deadline(realClock, 5000)
  const again = await other.read([{ instance: 'web.service/1', dir }], { cursor }, limit)
  assert.deepEqual(textsOf(again.entries), ['c', 'd', 'e'])
  rotate(dir, 3)
  add('f')
  assert.deepEqual(textsOf((await read([dir], { cursor })).entries), ['d', 'e', 'f'])
})

test('a new file that got the inode of an old one is not taken for it', async () => {
  const dir = newDir()
  const path = join(dir, 'log')
  writeFileSync(path, line(0, 'old one'))
  const { cursor } = await read([dir], {})
  unlinkSync(path)
  writeFileSync(path, Buffer.concat([line(5, 'new one'), line(6, 'new two'), line(7, 'new three')]))
  const page = await read([dir], { cursor })
  assert.deepEqual(textsOf(page.entries), ['new one', 'new two', 'new three'])
})

test('a cursor that is none is refused', async () => {
  for (const cursor of ['', 'x', Buffer.from('{"a":[1,-1,""]}').toString('base64url')]) {
    await assert.rejects(read([newDir()], { cursor }), { code: 'invalid_argument' })
  }
})

test('parts of a line are joined, up to a bound; a last part is shown as it is', async () => {
  const dir = newDir()
  const long = 'z'.repeat(16 * 1024)
  const parts = Array.from({ length: 20 }, () => line(1, long, 'stdout', 'P'))
  writeFileSync(
    join(dir, 'log'),
    Buffer.concat([
      line(0, 'a', 'stdout', 'P'),
      line(0, 'b', 'stdout', 'P'),
      line(0, 'c'),
      ...parts,
      line(1, 'end'),
      line(2, 'prompt: ', 'stderr', 'P'),
    ]),
  )
  const { entries } = await read([dir], {})
  assert.deepEqual(entries[0]?.text, 'abc')
  const middle = entries.slice(1, -1)
  assert.ok(middle.every(({ text }) => text.length <= 256 * 1024))
  assert.equal(middle.map(({ text }) => text).join(''), `${long.repeat(20)}end`)
  assert.deepEqual(
    middle.map(({ complete }) => complete),
    middle.map((_, index) => index === middle.length - 1),
  )
  assert.deepEqual([entries.at(-1)?.text, entries.at(-1)?.complete], ['prompt: ', false])
  const joined = await read([dir], { tail: 3 })
  assert.equal(joined.entries[0]?.text, 'abc')
})

test('bytes that are no UTF-8 are exact in base64', async () => {
  const dir = newDir()
  const raw = Buffer.from([0xff, 0x00, 0x41, 0x0d, 0x1b, 0x80])
  writeFileSync(join(dir, 'log'), Buffer.concat([line(0, raw), line(1, 'zwölf')]))
  const [binary, text] = (await read([dir], {})).entries
  assert.deepEqual(Buffer.from(binary?.base64 ?? '', 'base64'), raw)
  assert.deepEqual([text?.text, text?.base64], ['zwölf', undefined])
})

test('damaged lines are skipped and told of; a line being written is left for later', async () => {
  const dir = newDir()
  const path = join(dir, 'log')
  const unfinished = line(9, 'unfinished')
  writeFileSync(
    path,
    Buffer.concat([
      line(0, 'good'),
      Buffer.from('garbage\n2026-99-22T17:00:00.000000000Z stdout F x\n\n'),
      Buffer.alloc(300_000, 'q'),
      nl,
      line(2, 'better'),
      unfinished.subarray(0, -1),
    ]),
  )
  const page = await read([dir], {})
  assert.equal(page.entries[0]?.text, 'good')
  assert.match(page.entries[1]?.text ?? '', /^holon: \d damaged lines of this log skipped$/)
  assert.equal(page.entries[2]?.text, 'better')
  assert.equal(page.entries.length, 3)
  assert.deepEqual(textsOf((await read([dir], { tail: 2 })).entries).at(-1), 'better')
  appendFileSync(path, nl)
  assert.deepEqual(textsOf((await read([dir], { cursor: page.cursor })).entries), ['unfinished'])
})

test('waitMs: an answer as soon as there is something, else an empty page', async () => {
  const dir = newDir()
  const path = join(dir, 'log')
  writeFileSync(path, line(0, 'before'))
  const { cursor } = await read([dir], { tail: 0 })
  const startedMs = realClock.nowMs()
  const waiting = read([dir], { cursor, waitMs: 30_000 }, 60_000)
  setTimeout(() => appendFileSync(path, line(1, 'after')), 50)
  const page = await waiting
  assert.deepEqual(textsOf(page.entries), ['after'])
  assert.ok(realClock.nowMs() - startedMs < 5_000, 'it did not wait for the whole time')
  const empty = await read([dir], { cursor: page.cursor, waitMs: 50 })
  assert.deepEqual([empty.entries, empty.atEnd], [[], true])
  // A log that is not there yet.
  const later = join(root, `later${++count}`)
  const first = read([later], { waitMs: 30_000 }, 60_000)
  mkdirSync(later)
  writeFileSync(join(later, 'log'), line(0, 'hello'))
  assert.deepEqual(textsOf((await first).entries), ['hello'])
})

test('waitMs ends with the signal', async () => {
  const ending = new AbortController()
  const sources = [{ instance: 'x', dir: newDir() }]
  const waiting = logs.read(sources, { waitMs: 60_000 }, { signal: ending.signal })
  ending.abort()
  await assert.rejects(waiting)
})

test('tail of a large log reads little of it', async () => {
  const dir = newDir()
  const block = Buffer.concat(Array.from({ length: 8000 }, (_, i) => line(i, 'x'.repeat(960))))
  for (const name of ['log.3', 'log.2', 'log.1', 'log']) writeFileSync(join(dir, name), block)
  const startedMs = realClock.nowMs()
  const { entries } = await read([dir], { tail: 10 })
  assert.equal(entries.length, 10)
  const tookMs = realClock.nowMs() - startedMs
  assert.ok(tookMs < 250, `it took ${tookMs} ms`)
})

test('usage() counts all logs below', () => {
  const dir = newDir()
  const before = logs.usage()
  writeFileSync(join(dir, 'log'), 'x'.repeat(100))
  writeFileSync(join(dir, 'log.1'), 'x'.repeat(50))
  const now = logs.usage()
  assert.deepEqual([now.bytes - before.bytes, now.files - before.files], [150, 2])
})
