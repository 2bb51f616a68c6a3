/** A full disk under the only etcd: changes are refused, reading goes on, all comes back. Needs root. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { deadline } from '../../src/base/clock.ts'
import { HolonError } from '../../src/base/errors.ts'
import { realClock } from '../../src/io/clock.ts'
import { freeBytes } from '../../src/io/files.ts'
import { realRandom } from '../../src/io/random.ts'
import { newOperationId } from '../../src/state/commit.ts'
import { openEtcd } from '../../src/state/etcd/etcd-state.ts'
import type { State, Txn } from '../../src/state/port.ts'
import { EtcdMember, etcdMissing } from '../support/etcd.ts'
import { cannotMount, Mount } from './disk.ts'

const skip = etcdMissing ?? cannotMount()
const mib = 1024 * 1024
const deps = { clock: realClock, random: realRandom }
/** Of the ports of tests, no other file's. */
const peerPort = 23_310

function txn(change: Txn['then'][number]): Txn {
  return { if: [], then: [change], operationId: newOperationId(realRandom), writer: 'test' }
}

const put = (key: string, value: unknown) => txn({ kind: 'put', key, value, schema: 1 })

/** Fills the disk until so much is free. */
function fill(mount: Mount, leaveBytes: number): string {
  const ballast = join(mount.at, `ballast-${leaveBytes}`)
  const bytes = (freeBytes(mount.at) ?? 0) - leaveBytes
  writeFileSync(ballast, Buffer.alloc(Math.max(0, bytes)))
  return ballast
}

async function withEtcd(
  body: (member: EtcdMember, mount: Mount, open: (guarded: boolean) => State) => Promise<void>,
): Promise<void> {
  const dir = mkdtempSync(join(tmpdir(), 'holon-disk-'))
  try {
    await using mount = await Mount.memory(320 * mib, join(dir, 'at'))
    await using states = new AsyncDisposableStack()
    await using member = new EtcdMember({ peerPort, flags: [`--data-dir=${mount.at}/data`] })
    member.start()
    await member.ready()
    await body(member, mount, (guarded) => {
      const guard = guarded ? { diskFreeBytes: () => freeBytes(mount.at) } : {}
      return states.use(openEtcd(deps, { endpoints: [member.endpoint], ...guard }))
    })
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

test(
  'openEtcd() refuses changes while the disk is full, reads and lives; then goes on',
  {
    skip,
    timeout: 60_000,
  },
  () =>
    withEtcd(async (member, mount, open) => {
      using limit = deadline(realClock, 40_000)
      const state = open(true)
      assert.equal((await state.txn(put('first', 1), limit)).kind, 'done')
      const { revision } = await state.list('', limit)
      const pid = member.pid
      const refused = (error: unknown) =>
        error instanceof HolonError &&
        error.code === 'exhausted' &&
        error.outcome === 'none' &&
        /its etcd has \d+ MiB free.*make room/.test(error.message)
      const ballasts: string[] = []
      for (const leaveBytes of [60 * mib, 0]) {
        ballasts.push(fill(mount, leaveBytes))
        await assert.rejects(state.txn(put('second', 'x'.repeat(500_000)), limit), refused)
        await assert.rejects(state.txn(txn({ kind: 'delete', key: 'first' }), limit), refused)
        assert.equal(state.mode.kind, 'read-only')
        assert.equal((await state.get('first', limit))?.value, 1)
        assert.equal((await state.list('', limit)).entries.length, 1)
        for await (const { kind } of state.watch('', revision, limit)) {
          assert.equal(kind, 'synced')
          break
        }
      }
      for (const ballast of ballasts) rmSync(ballast)
      assert.equal((await state.txn(put('second', 2), limit)).kind, 'done')
      assert.equal(state.mode.kind, 'read-write')
      assert.equal(member.pid, pid)
      process.kill(pid, 0)
    }),
)

test(
  'an etcd that died of a full disk has every acknowledged change when there is room',
  {
    skip,
    timeout: 60_000,
  },
  () =>
    withEtcd(async (member, mount, open) => {
      using limit = deadline(realClock, 40_000)
      const state = open(false)
      await state.txn(put('first', 1), limit)
      const ballast = fill(mount, 0)
      let done = 0
      // As another member would fill it: by what the leader accepts.
      while (done < 200) {
        using soon = deadline(realClock, 2_000, limit.signal)
        const result = await state
          .txn(put(`k/${done}`, 'x'.repeat(200_000)), soon)
          .catch(() => undefined)
        if (result?.kind !== 'done') break
        done += 1
      }
      assert.ok(done < 200, 'the disk was never full')
      rmSync(ballast)
      await member.kill()
      member.start()
      await member.ready()
      const { entries } = await state.list('k/', limit)
      assert.ok(entries.length >= done, `${entries.length} of ${done}`)
      assert.equal((await state.txn(put('after', 'room'), limit)).kind, 'done')
    }),
)
