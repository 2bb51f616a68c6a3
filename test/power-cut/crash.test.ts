/** `kill -9` at any moment: what was acknowledged is there, nothing is there in part. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import { openEmbedded } from '../../src/state/open.ts'
import { RunningWriter } from './running-writer.ts'
import { inFlightMax, lastIn } from './writer.ts'

test('an embedded state killed at any moment has every acknowledged txn, whole', async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-crash-'))
  const path = join(dir, 'state.db')
  const random = seededRandom(3)
  let last = 0
  try {
    for (let round = 0; round < 8; round++) {
      await using writer = new RunningWriter(path)
      await writer.acks(1 + randomBelow(random, round < 2 ? 3 : 500))
      await writer.kill()
      const state = await openEmbedded({ path })
      const found = await lastIn(state)
      await state.close()
      assert.ok(found >= writer.lastAcked, `txn ${writer.lastAcked} acknowledged, ${found} found`)
      assert.ok(found <= writer.lastAcked + inFlightMax, `${found} found, never written`)
      assert.ok(found > last)
      last = found
    }
  } finally {
    rmSync(dir, { recursive: true })
  }
})
