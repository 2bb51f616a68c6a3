/** The checker accepts good histories and finds each planted fault. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import {
  checkHistory,
  type HistoryRecord,
  type ReadRecord,
  type TxnRecord,
  type WatchRecord,
} from './history-checker.ts'

type When = readonly [number, number]

function write(
  id: string,
  [invokedAt, returnedAt]: When,
  expected: number,
  result: TxnRecord['result'],
  change: TxnRecord['then'][number] = { key: 'k', value: id },
): TxnRecord {
  return {
    kind: 'txn',
    client: 'c',
    operationId: id,
    if: [{ key: 'k', revision: expected }],
    then: [change],
    invokedAt,
    returnedAt,
    result,
  }
}

const done = (revision: number) => ({ kind: 'done', revision }) as const
const conflict = { kind: 'conflict' } as const
const unknown = { kind: 'unknown' } as const

function read(
  [invokedAt, returnedAt]: When,
  revision: number,
  operationId = '',
  value: unknown = operationId,
): ReadRecord {
  const base = { kind: 'read', client: 'r', key: 'k', invokedAt, returnedAt } as const
  return revision === 0 ? base : { ...base, entry: { revision, value, operationId } }
}

const base = [write('a', [0, 1], 0, done(2)), write('b', [2, 3], 2, done(4))]

function watch(events: WatchRecord['events'], synced: number): WatchRecord {
  const times = { invokedAt: 0, returnedAt: 9 }
  return { kind: 'watch', client: 'w', prefix: '', from: 1, synced, events, ...times }
}

const good: Record<string, readonly HistoryRecord[]> = {
  'one after the other': [...base, read([4, 5], 4, 'b')],
  'a read under way may see either': [...base, read([2.1, 2.5], 2, 'a'), read([2.1, 9], 4, 'b')],
  'unknown that did not happen': [...base, write('c', [4, 5], 4, unknown), read([6, 7], 4, 'b')],
  'unknown that happened late': [
    ...base,
    write('c', [4, 5], 4, unknown),
    read([6, 7], 4, 'b'),
    read([8, 9], 6, 'c'),
  ],
  'a conflict with a cause': [...base, write('c', [4, 5], 2, conflict)],
  'a conflict with an unknown cause': [
    ...base,
    write('c', [4, 5], 4, unknown),
    write('d', [6, 7], 4, conflict),
  ],
  'a delete and a new beginning': [
    ...base,
    write('c', [4, 5], 4, done(6), { key: 'k' }),
    read([6, 7], 0),
    write('d', [8, 9], 0, done(7)),
  ],
  'a watch with everything': [
    ...base,
    watch(
      [
        { key: 'k', revision: 2, operationId: 'a' },
        { key: 'k', revision: 4, operationId: 'b' },
      ],
      4,
    ),
  ],
}

const bad: Record<string, readonly [RegExp, readonly HistoryRecord[]]> = {
  'a lost write': [/is stale: 4 was known/, [...base, read([5, 6], 2, 'a')]],
  'a lost key': [/finds nothing: 4 was known/, [...base, read([5, 6], 0)]],
  'a stale read after another read': [
    /is stale: 6 was known/,
    [...base, write('c', [4, 90], 4, unknown), read([5, 6], 6, 'c'), read([7, 8], 4, 'b')],
  ],
  'two winners': [/where "k" was 4, not 2/, [...base, write('c', [2, 5], 2, done(6))]],
  'two creators': [/where "k" was 2, not 0/, [...base, write('c', [0, 5], 0, done(3))]],
  'a conflict that happened': [
    /was answered conflict, but it happened/,
    [...base, write('c', [4, 5], 4, conflict), read([6, 7], 6, 'c')],
  ],
  'a refused one that happened': [
    /was answered none, but it happened/,
    [...base, write('c', [4, 5], 4, { kind: 'none' }), read([6, 7], 6, 'c')],
  ],
  'a conflict without a cause': [
    /its conditions held all the time/,
    [...base, write('c', [4, 5], 4, conflict)],
  ],
  'done twice': [
    /happened at 6 and at 8/,
    [...base, write('c', [4, 5], 4, done(6)), read([6, 7], 8, 'c')],
  ],
  'a value that nobody wrote': [/"b" wrote "b"/, [...base, read([5, 6], 4, 'b', 'x')]],
  'an operation that nobody made': [/nobody made "z"/, [...base, read([5, 6], 9, 'z')]],
  'a read from the future': [/before it was begun/, [...base, read([0.5, 1.5], 4, 'b')]],
  'a revision that goes back': [
    /when 4 was known already/,
    [...base, { ...write('c', [5, 6], 0, done(3)), if: [] }],
  ],
  'one revision for two': [
    /has the revision 4 of "b"/,
    [...base, { ...write('c', [2, 3], 0, done(4)), if: [] }],
  ],
  'a watch with a gap': [
    /misses "k" at 2/,
    [...base, watch([{ key: 'k', revision: 4, operationId: 'b' }], 4)],
  ],
  'a watch that goes back': [
    /goes back to 2/,
    [
      ...base,
      watch(
        [
          { key: 'k', revision: 4, operationId: 'b' },
          { key: 'k', revision: 2, operationId: 'a' },
        ],
        4,
      ),
    ],
  ],
}

for (const [name, records] of Object.entries(good)) {
  test(`checkHistory() accepts ${name}`, () => assert.deepEqual(checkHistory(records), []))
}

for (const [name, [pattern, records]] of Object.entries(bad)) {
  test(`checkHistory() finds ${name}`, () => {
    assert.match(checkHistory(records).join('\n'), pattern)
  })
}
