/** A full disk and a read-only one: a clear answer, reading goes on, writing comes back. Needs root. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { HolonError } from '../../src/base/errors.ts'
import { realRandom } from '../../src/io/random.ts'
import { listBackups, writeBackup } from '../../src/state/backup.ts'
import { newOperationId } from '../../src/state/commit.ts'
import { openEmbedded } from '../../src/state/open.ts'
import type { State, Txn, TxnResult } from '../../src/state/port.ts'
import { cannotMount, Mount, makeExt4 } from './disk.ts'

const skip = cannotMount()
const { signal } = new AbortController()

async function withDir(body: (dir: string) => Promise<void>): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'holon-disk-'))
  try {
    await body(dir)
  } finally {
    rmSync(dir, { recursive: true })
  }
}

function putTxn(key: string, value: unknown): Txn {
  const operationId = newOperationId(realRandom)
  return { if: [], then: [{ kind: 'put', key, value, schema: 1 }], operationId, writer: 'test' }
}

function put(state: State, key: string, value: unknown): Promise<TxnResult> {
  return state.txn(putTxn(key, value), { signal })
}

const full = (error: unknown) =>
  error instanceof HolonError && error.code === 'exhausted' && error.outcome === 'none'

/** Puts until it is refused; answers how many were done. */
async function fill(state: State): Promise<number> {
  for (let n = 0; ; n++) {
    try {
      assert.equal((await put(state, `k/${n}`, 'x'.repeat(20_000))).kind, 'done')
    } catch (error) {
      assert.ok(full(error), String(error))
      assert.match(String(error), /no room on the disk/)
      return n
    }
  }
}

async function fullDiskTest(mount: Mount): Promise<void> {
  const path = join(mount.at, 'state/state.db')
  const backupDir = join(mount.at, 'backup')
  const ballast = join(mount.at, 'ballast')
  writeFileSync(ballast, 'x'.repeat(300_000))
  const state = await openEmbedded({ path })
  await put(state, 'first', 1)
  await writeBackup(state, backupDir, { signal })
  const done = await fill(state)
  assert.ok(done > 3)
  assert.equal(state.mode.kind, 'read-only')
  assert.equal((await state.list('k/', { signal })).entries.length, done)
  await assert.rejects(writeBackup(state, backupDir, { signal }), full)
  assert.equal(listBackups(backupDir).length, 1, 'the old backup is kept')
  await state.close()

  // An agent starts on a full disk.
  const again = await openEmbedded({ path })
  assert.equal((await again.list('k/', { signal })).entries.length, done)
  await assert.rejects(
    fill(again).then(() => put(again, 'big', 'x'.repeat(200_000))),
    full,
  )
  rmSync(ballast)
  assert.equal((await put(again, 'after', 'room')).kind, 'done')
  assert.equal(again.mode.kind, 'read-write')
  await again.close()
  const last = await openEmbedded({ path })
  assert.equal((await last.get('after', { signal }))?.value, 'room')
  assert.equal((await last.get('first', { signal }))?.value, 1)
  await last.close()
}

test('a full tmpfs refuses txns until there is room', { skip }, () =>
  withDir(async (dir) => {
    await using mount = await Mount.memory(1024 * 1024, join(dir, 'at'))
    await fullDiskTest(mount)
  }),
)

test('a full ext4 refuses txns until there is room', { skip }, () =>
  withDir(async (dir) => {
    await makeExt4(join(dir, 'image'), '4M')
    await using mount = await Mount.image(join(dir, 'image'), join(dir, 'at'))
    await fullDiskTest(mount)
  }),
)

test(
  'openEmbedded() on a disk without any room is exhausted, and leaves no half store',
  { skip },
  () =>
    withDir(async (dir) => {
      await using mount = await Mount.memory(64 * 1024, join(dir, 'at'))
      const ballast = join(mount.at, 'ballast')
      writeFileSync(ballast, 'x'.repeat(60 * 1024))
      const path = join(mount.at, 'state.db')
      await assert.rejects(openEmbedded({ path }), full)
      rmSync(ballast)
      await using state = await openEmbedded({ path })
      assert.deepEqual((await state.list('', { signal })).entries, [])
    }),
)

test('a read-only file system is read, and every txn says why not', { skip }, () =>
  withDir(async (dir) => {
    await makeExt4(join(dir, 'image'), '4M')
    await using mount = await Mount.image(join(dir, 'image'), join(dir, 'at'))
    const path = join(mount.at, 'state.db')
    const state = await openEmbedded({ path })
    await put(state, 'a', 1)
    await state.close()
    await mount.remount('ro')
    const reader = await openEmbedded({ path })
    assert.equal((await reader.get('a', { signal }))?.value, 1)
    const { mode } = reader
    assert.ok(mode.kind === 'read-only' && /read-only file system; mount it/.test(mode.why))
    const refused = await put(reader, 'a', 2)
    assert.ok(refused.kind === 'unavailable' && refused.why === mode.why)
    await reader.close()
    await assert.rejects(openEmbedded({ path: join(mount.at, 'new.db') }), { code: 'unavailable' })
    await mount.remount('rw')
    await using again = await openEmbedded({ path })
    assert.equal((await put(again, 'a', 2)).kind, 'done')
  }),
)
