/**
 * All entries with a prefix at one revision, in pages: the first with the store's head, the others
 * at etcd's revision of the first.
 */
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import type { Listing, SignalOptions } from '../port.ts'
import { toEntry } from '../stored.ts'
import { asList, type JsonObject, toBase64 } from './client.ts'
import { isCompacted } from './faults.ts'
import { keyValue, parseEntry, prefixRange } from './layout.ts'
import type { EtcdStore } from './store.ts'

/** Small, since a value may have a MiB; the next pages are as large as the values allow. */
const firstPage = 32
const pageMax = 2000
const attempts = 5

/** Begins again when the history was compacted before the last page was read. */
export async function listEntries(
  store: EtcdStore,
  prefix: string,
  options: SignalOptions,
): Promise<Listing> {
  for (let left = attempts; ; left--) {
    try {
      return await listOnce(store, prefix, options)
    } catch (error) {
      if (!isCompacted(error)) throw error
      if (left <= 1) throw new HolonError('unavailable', 'list the state: it changes too fast')
    }
  }
}

async function listOnce(
  store: EtcdStore,
  prefix: string,
  { signal }: SignalOptions,
): Promise<Listing> {
  const first = await store.read(
    (head) => [
      { ...prefixRange(store.layout.entries(head.root) + prefix), limit: String(firstPage) },
    ],
    { signal },
  )
  const base = store.layout.entries(first.head.root)
  const { range_end } = prefixRange(base + prefix)
  const revision = String(first.etcdRevision)
  const found: JsonObject[] = []
  let page = first.ranges[0] ?? {}
  let bytes = 0
  while (true) {
    const kvs = asList(page['kvs']) as readonly JsonObject[]
    found.push(...kvs)
    bytes += kvs.reduce((sum, { value }) => sum + String(value ?? '').length, 0)
    const last = kvs.at(-1)
    if (page['more'] !== true || last === undefined) break
    const each = Math.max(1, bytes / found.length)
    const limit = Math.max(1, Math.min(pageMax, Math.floor(limits.statePageBytesMax / each)))
    const key = toBase64(`${keyValue(last).key}\0`)
    const request = { key, range_end, revision, limit: String(limit) }
    page = await store.retry(signal, (attempt) =>
      store.client.post('kv/range', request, { signal: attempt }),
    )
  }
  const entries = found.map((json) => {
    const kv = keyValue(json)
    return toEntry(parseEntry(kv.key.slice(base.length), kv))
  })
  return { entries, revision: first.revision }
}
