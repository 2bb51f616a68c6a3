/**
 * Power cuts at any moment: what was acknowledged is there, nothing is there in part. Needs root.
 * The same test with syncing turned off must find losses, or it would prove nothing.
 */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { randomBelow, seededRandom } from '../../src/base/random.ts'
import type { Durability } from '../../src/state/database.ts'
import { openEmbedded } from '../../src/state/open.ts'
import { cannotMount, FragileDisk } from './disk.ts'
import { RunningWriter } from './running-writer.ts'
import { inFlightMax, lastIn } from './writer.ts'

const random = seededRandom(5)

interface Cut {
  readonly acked: number
  /** The last txn found after the cut, or what opening said. */
  readonly found: number | string
}

/** One cut after about `acks` more acknowledgements, on a disk that goes on living. */
async function cutOnce(disk: FragileDisk, durability: Durability, acks: number): Promise<Cut> {
  await using writer = new RunningWriter(join(disk.at, 'state.db'), durability)
  await writer.acks(acks)
  let acked = 0
  await using mount = await disk.cut(() => {
    acked = writer.lastAcked
  })
  await writer.kill()
  try {
    const state = await openEmbedded({ path: join(mount.at, 'state.db') })
    try {
      return { acked, found: await lastIn(state) }
    } finally {
      await state.close()
    }
  } catch (error) {
    return { acked, found: error instanceof Error ? error.message : String(error) }
  }
}

const skip = cannotMount()

test('a power cut at any moment loses no acknowledged txn', { skip }, async () => {
  await using disk = await FragileDisk.make()
  const cuts: Cut[] = []
  // The first ones right after the store was made.
  for (const acksMax of [1, 3, 40, 300, 600, 600, 900]) {
    cuts.push(await cutOnce(disk, 'full', 1 + randomBelow(random, acksMax)))
  }
  for (const { acked, found } of cuts) {
    assert.ok(typeof found === 'number', `${found}\n${JSON.stringify(cuts)}`)
    assert.ok(found >= acked && found <= acked + inFlightMax, JSON.stringify(cuts))
  }
})

test('the same test finds what a store without syncing loses', { skip }, async () => {
  await using disk = await FragileDisk.make()
  const cuts: Cut[] = []
  for (const acks of [50, 300, 300]) cuts.push(await cutOnce(disk, 'none', acks))
  const losses = cuts.filter(({ acked, found }) => typeof found !== 'number' || found < acked)
  assert.ok(losses.length > 0, `no loss seen: ${JSON.stringify(cuts)}`)
})
