import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolonError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { seededRandom } from '../base/random.ts'
import { realClock } from '../io/clock.ts'
import { keepBackups, listBackups, writeBackup } from './backup.ts'
import { newOperationId } from './commit.ts'
import { isDamageError } from './damage.ts'
import { openEmbedded } from './open.ts'
import type { State, Txn } from './port.ts'

const { signal } = new AbortController()
const random = seededRandom(11)

async function withDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'holon-embedded-'))
  try {
    await body(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function putTxn(key: string, value: unknown): Txn {
  const operationId = newOperationId(random)
  return { if: [], then: [{ kind: 'put', key, value, schema: 1 }], operationId, writer: 'test' }
}

async function put(state: State, key: string, value: unknown): Promise<void> {
  const result = await state.txn(putTxn(key, value), { signal })
  assert.equal(result.kind, 'done', JSON.stringify(result))
}

function isCode(code: string): (error: unknown) => boolean {
  return (error) => error instanceof HolonError && error.code === code
}

test('openEmbedded() refuses a second agent, in this process or another, and says what to do', () =>
  withDir(async (dir) => {
    const path = join(dir, 'state.db')
    await using state = await openEmbedded({ path })
    await put(state, 'a', 1)
    const inUse = (error: unknown) =>
      isCode('unavailable')(error) && /in use by another agent.*"holon down"/.test(String(error))
    await assert.rejects(openEmbedded({ path }), inUse)
    const script = `
      import { openEmbedded } from ${JSON.stringify(new URL('open.ts', import.meta.url).href)}
      await openEmbedded({ path: ${JSON.stringify(path)} }).catch((e) => console.log(e.message))`
    const other = spawnSync(process.execPath, ['--input-type=module', '-e', script])
    assert.match(String(other.stdout), /in use by another agent/, String(other.stderr))
    await put(state, 'a', 2)
    await state.close()
    await using again = await openEmbedded({ path })
    assert.equal((await again.get('a', { signal }))?.value, 2)
  }))

test('openEmbedded() makes its directory, for the owner only', () =>
  withDir(async (dir) => {
    const path = join(dir, 'deep/er/state.db')
    await using _state = await openEmbedded({ path })
    assert.equal(statSync(join(dir, 'deep/er')).mode & 0o777, 0o700)
  }))

test('openEmbedded() treats a missing database as a loss when there are backups', () =>
  withDir(async (dir) => {
    const path = join(dir, 'state.db')
    const backupDir = join(dir, 'backup')
    const state = await openEmbedded({ path })
    await put(state, 'a', 1)
    await writeBackup(state, backupDir, { signal })
    await state.close()
    for (const name of readdirSync(dir)) if (name.startsWith('state.db')) rmSync(join(dir, name))
    await assert.rejects(openEmbedded({ path, backupDir }), isDamageError)
  }))

test('txn() commits those of one turn together, each with its own answer', () =>
  withDir(async (dir) => {
    await using state = await openEmbedded({ path: join(dir, 'state.db') })
    await put(state, 'k', 0)
    const { revision } = await state.list('', { signal })
    const racers = Array.from({ length: 50 }, (_, i) => {
      const txn = { ...putTxn('k', i), if: [{ key: 'k', revision }] }
      return state.txn(txn, { signal })
    })
    const others = Array.from({ length: 50 }, (_, i) => state.txn(putTxn(`o/${i}`, i), { signal }))
    const answers = await Promise.all([...racers, ...others])
    const kinds = answers.map(({ kind }) => kind)
    assert.deepEqual(kinds.slice(0, 50), ['done', ...Array(49).fill('conflict')])
    assert.deepEqual(kinds.slice(50), Array(50).fill('done'))
    const revisions = answers.flatMap((a) => (a.kind === 'done' ? [a.revision] : []))
    assert.deepEqual(
      revisions,
      Array.from({ length: 51 }, (_, i) => revision + 1 + i),
    )
  }))

test('txn() conflict tells what an earlier txn of the same turn wrote', () =>
  withDir(async (dir) => {
    await using state = await openEmbedded({ path: join(dir, 'state.db') })
    const first = state.txn(putTxn('k', 'first'), { signal })
    const second = state.txn({ ...putTxn('k', 'x'), if: [{ key: 'k', revision: 0 }] }, { signal })
    await first
    const answer = await second
    assert.ok(answer.kind === 'conflict' && answer.current[0]?.entry?.value === 'first')
  }))

test('txn() over the queue bound is exhausted, the others are done', () =>
  withDir(async (dir) => {
    await using state = await openEmbedded({ path: join(dir, 'state.db') })
    const count = limits.stateQueueMax + 5
    const txns = Array.from({ length: count }, (_, i) => state.txn(putTxn(`k/${i}`, i), { signal }))
    const settled = await Promise.allSettled(txns)
    const refused = settled.filter((s) => s.status === 'rejected')
    assert.equal(refused.length, 5)
    assert.ok(refused.every(({ reason }) => isCode('exhausted')(reason)))
    assert.equal((await state.list('', { signal })).entries.length, limits.stateQueueMax)
  }))

test('txn() whose signal aborts while it waits did not happen', () =>
  withDir(async (dir) => {
    await using state = await openEmbedded({ path: join(dir, 'state.db') })
    const controller = new AbortController()
    const txn = state.txn(putTxn('a', 1), { signal: controller.signal })
    controller.abort(new HolonError('cancelled', 'enough'))
    await assert.rejects(txn, (e) => isCode('cancelled')(e) && (e as HolonError).outcome === 'none')
    assert.equal(await state.get('a', { signal }), undefined)
  }))

test('at the quota puts are exhausted, reads and deletes go on and make room', () =>
  withDir(async (dir) => {
    const path = join(dir, 'state.db')
    const bytesMax = 10_000
    await using state = await openEmbedded({ path, bytesMax })
    let count = 0
    let refused: unknown
    while (refused === undefined) {
      await put(state, `k/${count}`, 'x'.repeat(500)).then(
        () => count++,
        (error: unknown) => {
          refused = error
        },
      )
    }
    assert.ok(isCode('exhausted')(refused))
    assert.match(String(refused), /delete what is not needed/)
    assert.ok(count > 10 && count < 20)
    assert.equal((await state.list('', { signal })).entries.length, count)
    // A smaller value in place of a larger one makes room too.
    await put(state, 'k/0', 'x')
    const txn: Txn = { ...putTxn('k/1', 1), then: [{ kind: 'delete', key: 'k/1' }] }
    assert.equal((await state.txn(txn, { signal })).kind, 'done')
    await put(state, 'new', 'x'.repeat(500))
    await state.close()
    await using again = await openEmbedded({ path, bytesMax })
    await assert.rejects(put(again, 'more', 'x'.repeat(5000)), isCode('exhausted'))
  }))

test('get() of a row that changed on disk while open is damage, and writing ends', () =>
  withDir(async (dir) => {
    const path = join(dir, 'state.db')
    const writer = await openEmbedded({ path })
    // More than SQLite keeps in memory, so that reading goes to the disk.
    for (let i = 0; i < 64; i++) await put(writer, `k/${i}`, 'v'.repeat(100_000))
    await writer.close()
    await using state = await openEmbedded({ path })
    const fd = openSync(path, 'r+')
    for (let at = 50_000; at < statSync(path).size - 4096; at += 4096) writeSync(fd, '#', at + 2000)
    closeSync(fd)
    let damage: unknown
    for (let i = 0; i < 64 && damage === undefined; i++) {
      await state.get(`k/${i}`, { signal }).catch((error: unknown) => {
        damage = error
      })
    }
    assert.ok(isDamageError(damage), String(damage))
    assert.equal(state.mode.kind, 'read-only')
    const answer = await state.txn(putTxn('a', 1), { signal })
    assert.ok(answer.kind === 'unavailable' && /damaged.*holon state restore/.test(answer.why))
  }))

test('operations are remembered up to the bound, over many reopenings, and the store stays sound', () =>
  withDir(async (dir) => {
    const path = join(dir, 'state.db')
    const first = putTxn('first', 1)
    let last = first
    for (let round = 0; round < 3; round++) {
      await using state = await openEmbedded({ path })
      if (round === 0) await state.txn(first, { signal })
      for (let i = 0; i < limits.stateOperationsMax / 2; i += 500) {
        const txns = Array.from({ length: 500 }, (_, n) => putTxn(`k/${n}`, i))
        last = txns.at(-1) ?? last
        await Promise.all(txns.map((txn) => state.txn(txn, { signal })))
      }
    }
    await using state = await openEmbedded({ path })
    const { revision } = await state.list('', { signal })
    assert.deepEqual(await state.txn(last, { signal }), { kind: 'done', revision })
    // The first one is forgotten: this is a new operation now.
    assert.deepEqual(await state.txn(first, { signal }), { kind: 'done', revision: revision + 1 })
  }))

test('writeBackup() keeps the newest few; keepBackups() writes one after changes', () =>
  withDir(async (dir) => {
    const backupDir = join(dir, 'backup')
    await using state = await openEmbedded({ path: join(dir, 'state.db') })
    for (let i = 0; i < limits.stateBackupsMax + 2; i++) {
      await put(state, 'a', i)
      await writeBackup(state, backupDir, { signal })
      await writeBackup(state, backupDir, { signal })
    }
    const kept = listBackups(backupDir).map(({ revision }) => revision)
    assert.deepEqual(kept, [5, 4, 3])
    const stop = new AbortController()
    const onError = (error: unknown) => assert.fail(String(error))
    const options = { dir: backupDir, intervalMs: 1, signal: stop.signal, onError }
    const keeping = keepBackups(realClock, state, options)
    await put(state, 'a', 'last')
    const endMs = realClock.nowMs() + 5000
    while (listBackups(backupDir)[0]?.revision !== 6 && realClock.nowMs() < endMs) {
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    assert.equal(listBackups(backupDir)[0]?.revision, 6)
    stop.abort()
    await keeping
  }))
