/**
 * Damaged files: whatever bit is flipped and wherever a file is cut, opening gives exactly what was
 * acknowledged or says that the state is damaged, leaves the files as they are, and a restore works.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { seededRandom } from '../base/random.ts'
import { realRandom } from '../io/random.ts'
import { namesIn } from '../io/state-files.ts'
import { restoreState, writeBackup } from './backup.ts'
import { newOperationId } from './commit.ts'
import { isDamageError } from './damage.ts'
import { openEmbedded } from './open.ts'
import type { State, StateDump } from './port.ts'

const random = seededRandom(7)
const { signal } = new AbortController()

async function write(state: State, count: number): Promise<void> {
  for (let i = 0; i < count; i++) {
    const key = `units/u${i % 40}.service`
    const value = { i, text: 'x'.repeat((i * 37) % 900) }
    const change =
      i % 11 === 10
        ? ({ kind: 'delete', key } as const)
        : ({ kind: 'put', key, value, schema: 1 } as const)
    const txn = { if: [], then: [change], operationId: newOperationId(realRandom), writer: 'test' }
    const result = await state.txn(txn, { signal })
    assert.equal(result.kind, 'done', JSON.stringify(result))
  }
}

/** Makes a store in `dir` and dies without closing it, so that its log is left. */
async function makeAndDie(dir: string): Promise<void> {
  const path = join(dir, 'state.db')
  const state = await openEmbedded({ path })
  await write(state, 400)
  await writeBackup(state, join(dir, 'backup'), { signal })
  // Folds the log, so that the database has pages of its own beside those in the log.
  await state.close()
  const again = await openEmbedded({ path })
  await write(again, 150)
  writeFileSync(join(dir, 'expected.json'), JSON.stringify(await again.export({ signal })))
  process.kill(process.pid, 'SIGKILL')
}

if (process.argv[2] === 'make-and-die') await makeAndDie(process.argv[3] ?? '')
else tests()

function tests(): void {
  let root = ''
  let crashed = ''
  let closed = ''
  let expected: StateDump

  before(async () => {
    root = mkdtempSync(join(tmpdir(), 'holon-corruption-'))
    crashed = join(root, 'crashed')
    mkdirSync(crashed)
    const made = spawnSync(process.execPath, [
      fileURLToPath(import.meta.url),
      'make-and-die',
      crashed,
    ])
    assert.equal(made.signal, 'SIGKILL', String(made.stderr))
    expected = JSON.parse(readFileSync(join(crashed, 'expected.json'), 'utf8')) as StateDump
    closed = join(root, 'closed')
    cpSync(crashed, closed, { recursive: true })
    await (await openEmbedded({ path: join(closed, 'state.db') })).close()
  })
  after(() => rmSync(root, { recursive: true, force: true }))

  interface Outcome {
    exact: number
    damaged: number
  }

  /** Opens a copy of `from` after `harm`; asserts that the answer is exact or an honest error. */
  async function tryHarm(
    from: string,
    harm: (dir: string) => void,
    outcome: Outcome,
    what: string,
  ) {
    const dir = mkdtempSync(join(root, 'try-'))
    for (const name of ['state.db', 'state.db-wal', 'state.db-acked']) {
      if (namesIn(from).includes(name)) copyFileSync(join(from, name), join(dir, name))
    }
    harm(dir)
    const path = join(dir, 'state.db')
    const files = () => namesIn(dir).filter((n) => n !== 'state.db-lock')
    const bytesBefore = files().map((n) => readFileSync(join(dir, n)))
    const namesBefore = files()
    try {
      const state = await openEmbedded({ path, backupDir: join(from, 'backup') })
      const dump = await state.export({ signal })
      assert.deepEqual(dump, expected, `${what}: opened with something else than was written`)
      await write(state, 3)
      await state.close()
      const again = await openEmbedded({ path })
      await again.close()
      outcome.exact += 1
    } catch (error) {
      assert.ok(isDamageError(error), `${what}: ${error instanceof Error ? error.stack : error}`)
      outcome.damaged += 1
      assert.match(error.message, /holon state restore/)
      assert.equal(error.details['path'], path)
      assert.deepEqual(files(), namesBefore, `${what}: no file comes or goes`)
      assert.ok(
        files().every((n, i) => readFileSync(join(dir, n)).equals(bytesBefore[i] ?? Buffer.of())),
        `${what}: no byte changes`,
      )
    }
    rmSync(dir, { recursive: true })
  }

  const flip = (name: string, at: number, bit: number) => (dir: string) => {
    const bytes = readFileSync(join(dir, name))
    bytes[at] = (bytes[at] ?? 0) ^ (1 << bit)
    writeFileSync(join(dir, name), bytes)
  }
  const cut = (name: string, length: number) => (dir: string) => {
    writeFileSync(join(dir, name), readFileSync(join(dir, name)).subarray(0, length))
  }

  describe('a damaged state', () => {
    for (const from of ['crashed', 'closed'] as const) {
      const source = () => (from === 'crashed' ? crashed : closed)
      const names =
        from === 'crashed'
          ? ['state.db', 'state.db-wal', 'state.db-acked']
          : ['state.db', 'state.db-acked']

      for (const name of names) {
        test(`${name} of a ${from} agent with a flipped bit is exact or refused`, async () => {
          const size = readFileSync(join(source(), name)).length
          const outcome = { exact: 0, damaged: 0 }
          const places = Math.min(size, 150)
          for (let i = 0; i < places; i++) {
            // The first bytes one by one, for they are the header; the rest at random.
            const at = i < 64 ? i : 64 + Math.floor(random.next() * (size - 64))
            const bit = Math.floor(random.next() * 8)
            await tryHarm(
              source(),
              flip(name, at, bit),
              outcome,
              `${name}: bit ${bit} of byte ${at}`,
            )
          }
          assert.ok(outcome.damaged > 0, JSON.stringify(outcome))
        })

        test(`${name} of a ${from} agent cut off anywhere is exact or refused`, async () => {
          const size = readFileSync(join(source(), name)).length
          const outcome = { exact: 0, damaged: 0 }
          for (let i = 0; i < 40; i++) {
            const pages = Math.floor((random.next() * size) / 4096) * 4096
            const length = i === 0 ? 0 : i % 2 === 0 ? pages : Math.floor(random.next() * size)
            await tryHarm(source(), cut(name, length), outcome, `${name}: cut at ${length}`)
          }
          // A cut may take only what the log has too.
          assert.ok(outcome.damaged > 20, JSON.stringify(outcome))
        })
      }

      for (const name of names) {
        test(`${name} of a ${from} agent gone is refused`, async () => {
          const outcome = { exact: 0, damaged: 0 }
          await tryHarm(source(), (dir) => rmSync(join(dir, name)), outcome, `${name} gone`)
          assert.equal(outcome.damaged, 1)
        })
      }
    }

    test('a page overwritten with an older one or with another page is exact or refused', async () => {
      const outcome = { exact: 0, damaged: 0 }
      const older = readFileSync(join(crashed, 'state.db'))
      const pages = Math.min(older.length, readFileSync(join(closed, 'state.db')).length) / 4096
      for (let i = 0; i < 60; i++) {
        const to = Math.floor(random.next() * pages) * 4096
        const from = i % 2 === 0 ? to : Math.floor(random.next() * pages) * 4096
        const harm = (dir: string) => {
          const bytes = readFileSync(join(dir, 'state.db'))
          older.copy(bytes, to, from, from + 4096)
          writeFileSync(join(dir, 'state.db'), bytes)
        }
        await tryHarm(closed, harm, outcome, `page ${from / 4096} at ${to / 4096}`)
      }
      assert.ok(outcome.damaged > 0)
    })

    test('a stale -shm file changes nothing', async () => {
      const outcome = { exact: 0, damaged: 0 }
      const harm = (dir: string) => writeFileSync(join(dir, 'state.db-shm'), random.bytes(32768))
      await tryHarm(crashed, harm, outcome, 'random -shm')
      assert.equal(outcome.exact, 1)
    })
  })
}

describe('restoreState()', () => {
  async function damagedStore(
    harm: (path: string) => void,
  ): Promise<{ dir: string; path: string }> {
    const dir = mkdtempSync(join(tmpdir(), 'holon-restore-'))
    const path = join(dir, 'state.db')
    const state = await openEmbedded({ path })
    await write(state, 30)
    await writeBackup(state, join(dir, 'backup'), { signal })
    await write(state, 9)
    await state.close()
    harm(path)
    return { dir, path }
  }
  const overwrite = (path: string) => {
    const bytes = readFileSync(path)
    // The end of the last page, where its rows are.
    bytes.fill(0xff, bytes.length - 300)
    writeFileSync(path, bytes)
  }

  test('restoreState() goes back to the newest whole backup, keeping the damaged files', async () => {
    const { dir, path } = await damagedStore(overwrite)
    const backupDir = join(dir, 'backup')
    await assert.rejects(openEmbedded({ path, backupDir }), isDamageError)
    const bytes = readFileSync(path)
    writeFileSync(join(backupDir, 'state-0000000000000999.jsonl'), 'not whole\n')
    const restored = restoreState({ path, backupDir })
    assert.match(restored.source, /state-0000000000000030\.jsonl$/)
    assert.equal(restored.notes.length, 1)
    assert.deepEqual(readFileSync(`${path}.damaged-1`), bytes)
    assert.ok(restored.aside.includes(`${path}.damaged-1`))
    await using state = await openEmbedded({ path, backupDir })
    const { entries, revision } = await state.list('', { signal })
    assert.equal(entries.length, restored.entries)
    assert.equal(revision, restored.revision)
    assert.ok(revision > 1_000_000)
    await write(state, 2)
    rmSync(dir, { recursive: true })
  })

  test("restoreState({from: 'database'}) keeps what can still be read", async () => {
    const { dir, path } = await damagedStore((p) => rmSync(`${p}-acked`))
    const backupDir = join(dir, 'backup')
    await assert.rejects(openEmbedded({ path, backupDir }), isDamageError)
    const restored = restoreState({ path, backupDir, from: 'database' })
    await using state = await openEmbedded({ path, backupDir })
    const { entries } = await state.list('', { signal })
    assert.equal(entries.length, restored.entries)
    assert.ok(entries.some((e) => (e.value as { i: number }).i === 8))
    rmSync(dir, { recursive: true })
  })

  test('restoreState() without any backup is not_found and changes nothing', async () => {
    const { dir, path } = await damagedStore(overwrite)
    const options = { path, backupDir: join(dir, 'nowhere') }
    assert.throws(() => restoreState(options), { code: 'not_found' })
    await assert.rejects(openEmbedded({ path }), isDamageError)
    rmSync(dir, { recursive: true })
  })

  test('restoreState() refuses while an agent has the state', async () => {
    const { dir, path } = await damagedStore(() => undefined)
    await using _state = await openEmbedded({ path })
    assert.throws(() => restoreState({ path, backupDir: join(dir, 'backup') }), {
      code: 'unavailable',
    })
    rmSync(dir, { recursive: true })
  })

  test('a restore that stopped half-way leaves a state that says it is damaged', async () => {
    const { dir, path } = await damagedStore(overwrite)
    const backupDir = join(dir, 'backup')
    // As after the files were moved and before the new database took its place.
    rmSync(path)
    await assert.rejects(openEmbedded({ path }), isDamageError)
    await assert.rejects(openEmbedded({ path, backupDir }), isDamageError)
    restoreState({ path, backupDir })
    await (await openEmbedded({ path, backupDir })).close()
    rmSync(dir, { recursive: true })
  })
})
