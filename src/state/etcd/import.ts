/**
 * Import, all or nothing, although etcd's txns are small: everything is written below a new root,
 * which nobody reads, and one txn makes it the root that counts, if the store is still empty and
 * all of what was written is still there. What an import leaves behind that did not come so far is
 * taken away by the next one; then the first key is missing, so the former cannot come to an end.
 */
import { asHolonError, HolonError } from '../../base/errors.ts'
import { newId } from '../../base/ids.ts'
import type { Random } from '../../base/random.ts'
import type { SignalOptions } from '../port.ts'
import type { StoredEntry } from '../stored.ts'
import { asInteger, asObject, toBase64 } from './client.ts'
import { entryText, headText, only, prefixRange } from './layout.ts'
import { type EtcdStore, type Request, responses } from './store.ts'

/** Well below etcd's default bounds: 128 operations, 1.5 MiB. */
const batchOperationsMax = 100
const batchBytesMax = 256 * 1024

export async function importEntries(
  store: EtcdStore,
  random: Random,
  entries: readonly StoredEntry[],
  options: SignalOptions,
): Promise<number> {
  const root = newId(random, 8)
  let first: FirstKey | undefined
  try {
    const { revision } = await wipe(store, options)
    first = await stage(store, root, entries, options)
    if (first === undefined) return revision
  } catch (error) {
    // Whatever happened: nobody reads below this root.
    const { code, message, retryable, details } = asHolonError(error)
    throw new HolonError(code, message, { outcome: 'none', retryable, details, cause: error })
  }
  return turn(store, root, first, options)
}

interface FirstKey {
  readonly key: string
  readonly revision: number
}

async function stage(
  store: EtcdStore,
  root: string,
  entries: readonly StoredEntry[],
  options: SignalOptions,
): Promise<FirstKey | undefined> {
  let first: FirstKey | undefined
  for (const { firstKey, requests } of batches(store.layout.entries(root), entries)) {
    const answer = await store.client.post('kv/txn', { success: requests }, options)
    first ??= { key: firstKey, revision: asInteger(asObject(answer['header'])['revision']) }
  }
  return first
}

async function readEmpty(store: EtcdStore, options: SignalOptions) {
  const read = await store.read(
    (head) => [{ ...prefixRange(store.layout.entries(head.root)), limit: '1', keys_only: true }],
    options,
  )
  if (asInteger(read.ranges[0]?.['count']) > 0) throw notEmpty()
  return read
}

function notEmpty(): HolonError {
  return new HolonError('already_exists', 'import into the state: it is not empty')
}

/** Takes away what lies below other roots: left by imports that did not come to an end. */
async function wipe(store: EtcdStore, options: SignalOptions) {
  const all = prefixRange(store.layout.roots)
  while (true) {
    const read = await readEmpty(store, options)
    const kept = prefixRange(store.layout.entries(read.head.root))
    const before = { key: all.key, range_end: kept.key }
    const after = { key: kept.range_end, range_end: all.range_end }
    const body = {
      compare: [store.unchanged(read.head)],
      success: [{ request_delete_range: before }, { request_delete_range: after }],
    }
    const answer = await store.client.post('kv/txn', body, options)
    if (answer['succeeded'] === true) return read
  }
}

/** Makes `root` the one that counts. */
async function turn(
  store: EtcdStore,
  root: string,
  first: FirstKey,
  options: SignalOptions,
): Promise<number> {
  const headKey = toBase64(store.layout.head)
  while (true) {
    const { head } = await readEmpty(store, options)
    const untouched: readonly Request[] = [
      store.unchanged(head),
      {
        ...prefixRange(store.layout.entries(head.root)),
        target: 'VERSION',
        result: 'EQUAL',
        version: '0',
      },
      { key: first.key, target: 'MOD', result: 'EQUAL', mod_revision: String(first.revision) },
    ]
    const value = toBase64(headText({ ...head, root }))
    const body = {
      compare: untouched,
      success: [{ request_put: { key: headKey, value } }],
      failure: [{ request_range: { key: headKey } }, { request_range: { key: first.key } }],
    }
    const answer = await store.client.post('kv/txn', body, options)
    if (answer['succeeded'] === true) {
      await store.revision(options)
      return asInteger(asObject(answer['header'])['revision'])
    }
    const [, staged = {}] = responses(answer)
    if (only(staged) === undefined) {
      throw new HolonError('already_exists', 'import into the state: another import came first')
    }
  }
}

function* batches(
  prefix: string,
  entries: readonly StoredEntry[],
): Generator<{ readonly firstKey: string; readonly requests: readonly Request[] }> {
  let requests: Request[] = []
  let bytes = 0
  let firstKey = ''
  for (const entry of entries) {
    const key = toBase64(prefix + entry.key)
    const value = toBase64(entryText(entry))
    const full = requests.length >= batchOperationsMax || bytes + value.length > batchBytesMax
    if (full && requests.length > 0) {
      yield { firstKey, requests }
      requests = []
      bytes = 0
    }
    if (requests.length === 0) firstKey = key
    requests.push({ request_put: { key, value } })
    bytes += value.length
  }
  if (requests.length > 0) yield { firstKey, requests }
}
