/**
 * Writes txns to a state for ever and prints the number of each one that was acknowledged: a program
 * to be killed. Usage: writer.ts PATH DURABILITY. Goes on where the state ends.
 *
 * Txn n puts n under `pair/a`, `pair/b` and `log/(n mod 100)`, so that from `pair/a` alone follows
 * what all other keys must be (`expectedAt`).
 */
import assert from 'node:assert/strict'
import { writeSync } from 'node:fs'
import { realRandom } from '../../src/io/random.ts'
import { newOperationId } from '../../src/state/commit.ts'
import type { Durability } from '../../src/state/database.ts'
import { openEmbedded } from '../../src/state/open.ts'
import type { Put, State, Txn } from '../../src/state/port.ts'

const logKeys = 100
/** Txns given to the state at once, sharing a sync. */
export const inFlightMax = 3

function writtenBy(n: number): unknown {
  return { n, text: 'x'.repeat((n * 7919) % 3000) }
}

function txnOf(n: number): Txn {
  const keys = ['pair/a', 'pair/b', `log/${n % logKeys}`]
  const puts = keys.map((key): Put => ({ kind: 'put', key, value: writtenBy(n), schema: 1 }))
  return { if: [], then: puts, operationId: newOperationId(realRandom), writer: 'writer' }
}

/** All keys and values after txn `last`. */
export function expectedAt(last: number): Record<string, unknown> {
  const expected: Record<string, unknown> = {}
  for (let n = Math.max(1, last - logKeys + 1); n <= last; n++) {
    for (const key of ['pair/a', 'pair/b', `log/${n % logKeys}`]) expected[key] = writtenBy(n)
  }
  return expected
}

/** The number of the last txn in `state`; throws when a txn is there in part. */
export async function lastIn(state: State): Promise<number> {
  const { signal } = new AbortController()
  const { entries } = await state.list('', { signal })
  const actual = Object.fromEntries(entries.map(({ key, value }) => [key, value]))
  const last = (actual['pair/a'] as { n: number } | undefined)?.n ?? 0
  assert.deepEqual(actual, expectedAt(last), 'a txn is there in part')
  return last
}

async function main(path: string, durability: Durability): Promise<void> {
  const state = await openEmbedded({ path, durability })
  const { signal } = new AbortController()
  const first = (await lastIn(state)) + 1
  const one = async (n: number) => {
    const result = await state.txn(txnOf(n), { signal })
    if (result.kind !== 'done') throw new Error(JSON.stringify(result))
    writeSync(1, `${n}\n`)
  }
  for (let n = first; ; n += inFlightMax) {
    await Promise.all(Array.from({ length: inFlightMax }, (_, i) => one(n + i)))
  }
}

if (import.meta.main) await main(process.argv[2] ?? '', (process.argv[3] ?? 'full') as Durability)
