/**
 * What is particular to the engine on etcd, against a real one: attempts that arrive late, forgetting,
 * compaction, the quota, imports that break off, and etcd's death and sleep. The port's promises are
 * tested by test/conformance.
 */
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer, request, type Server } from 'node:http'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { EtcdMember, etcdMissing } from '../../../test/support/etcd.ts'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { realClock } from '../../io/clock.ts'
import { realRandom } from '../../io/random.ts'
import { commit, newOperationId } from '../commit.ts'
import type { Condition, State, Txn, WatchEvent } from '../port.ts'
import { EtcdClient } from './client.ts'
import { type EtcdOptions, openEtcd } from './etcd-state.ts'
import { prefixRange } from './layout.ts'

const deps = { clock: realClock, random: realRandom }
const writer = 'test'

type Pass = () => void
/** Decides about a request by its path: passes it on, now or later, or never. */
type Gate = (path: string, pass: Pass, drop: Pass) => void

/** Between a client and etcd: holds requests up, or loses them. */
class Relay implements AsyncDisposable {
  readonly #server: Server
  readonly socketPath: string
  gate: Gate = (_path, pass) => pass()

  constructor(member: EtcdMember, name: string) {
    this.socketPath = join(member.directory, name)
    const to = member.endpoint.socketPath ?? ''
    this.#server = createServer((incoming, answer) => {
      const chunks: Buffer[] = []
      incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
      incoming.on('end', () => {
        const { url: path = '', headers, method } = incoming
        const pass = () => {
          const options = { socketPath: to, path, headers, method }
          const outgoing = request(options, (back) => {
            answer.writeHead(back.statusCode ?? 500, back.headers)
            back.pipe(answer)
          })
          outgoing.on('error', () => incoming.socket.destroy())
          outgoing.end(Buffer.concat(chunks))
        }
        this.gate(path, pass, () => incoming.socket.destroy())
      })
    })
  }

  async listen(): Promise<this> {
    this.#server.listen(this.socketPath)
    await once(this.#server, 'listening')
    return this
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections()
    this.#server.close()
    await once(this.#server, 'close')
  }
}

function put(key: string, value: unknown): Txn['then'][number] {
  return { kind: 'put', key, value, schema: 1 }
}

function txnOf(id: string, conditions: readonly Condition[], ...then: Txn['then']): Txn {
  return { if: conditions, then, operationId: id, writer }
}

async function done(state: State, signal: AbortSignal, ...then: Txn['then']): Promise<number> {
  const txn = txnOf(newOperationId(realRandom), [], ...then)
  const result = await commit(deps, state, txn, { signal })
  return result.kind === 'done' ? result.revision : 0
}

async function until(reached: () => Promise<boolean>, state: () => unknown): Promise<void> {
  const endMs = Date.now() + 20_000
  while (!(await reached())) {
    if (Date.now() > endMs) throw new Error(`not reached: ${JSON.stringify(state())}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}

describe('openEtcd()', { skip: etcdMissing ?? false }, () => {
  let member: EtcdMember
  let prefixes = 0
  before(async () => {
    member = new EtcdMember({ peerPort: 23_110 })
    member.start()
    await member.ready()
  })
  after(() => member[Symbol.asyncDispose]())

  const fresh = () => `t${prefixes++}/`
  const open = (prefix: string, options: Partial<EtcdOptions> = {}) =>
    openEtcd(deps, { endpoints: [member.endpoint], prefix, ...options })
  const it = (title: string, body: (signal: AbortSignal) => Promise<void>) =>
    test(title, { timeout: 60_000 }, async () => {
      using limit = deadline(realClock, 40_000)
      await body(limit.signal)
    })
  const count = async (prefix: string, signal: AbortSignal) => {
    using client = new EtcdClient(deps, [member.endpoint])
    const body = { ...prefixRange(prefix), count_only: true }
    return Number((await client.post('kv/range', body, { signal }))['count'] ?? 0)
  }

  it('a late attempt does nothing once another one was answered conflict', async (signal) => {
    const prefix = fresh()
    await using proxy = await new Relay(member, 'late').listen()
    await using direct = open(prefix)
    await using slow = open(prefix, { endpoints: [{ socketPath: proxy.socketPath }] })
    await slow.get('k', { signal })
    const held = Promise.withResolvers<Pass>()
    proxy.gate = (path, pass) => (path === '/v3/kv/txn' ? held.resolve(pass) : pass())
    const wanted = txnOf('op', [{ key: 'k', revision: 0 }], put('k', 'wanted'))
    const late = slow.txn(wanted, { signal })
    const pass = await held.promise
    proxy.gate = (_path, go) => go()
    await done(direct, signal, put('k', 'other'))
    assert.equal((await direct.txn(wanted, { signal })).kind, 'conflict')
    await done(direct, signal, { kind: 'delete', key: 'k' })
    pass()
    assert.equal((await late).kind, 'conflict')
    assert.equal(await direct.get('k', { signal }), undefined)
    assert.equal((await direct.txn(wanted, { signal })).kind, 'conflict')
  })

  it('an attempt whose answer is lost is unknown, and answered when repeated', async (signal) => {
    const prefix = fresh()
    await using proxy = await new Relay(member, 'lost').listen()
    await using state = open(prefix, { endpoints: [{ socketPath: proxy.socketPath }] })
    await state.get('k', { signal })
    proxy.gate = (path, pass, drop) => {
      pass()
      if (path === '/v3/kv/txn') drop()
    }
    const txn = txnOf('op', [{ key: 'k', revision: 0 }], put('k', 1))
    assert.equal((await state.txn(txn, { signal })).kind, 'unknown')
    proxy.gate = (_path, pass) => pass()
    const revision = await commit(deps, state, txn, { signal })
    assert.deepEqual(revision, {
      kind: 'done',
      revision: (await state.get('k', { signal }))?.revision,
    })
  })

  it('a signal that aborts under way says unknown, before that none', async (signal) => {
    const prefix = fresh()
    await using proxy = await new Relay(member, 'abort').listen()
    await using state = open(prefix, { endpoints: [{ socketPath: proxy.socketPath }] })
    await state.get('k', { signal })
    const giveUp = new AbortController()
    const held = Promise.withResolvers<void>()
    proxy.gate = () => held.resolve()
    const txn = state.txn(txnOf('op', [], put('k', 1)), { signal: giveUp.signal })
    await held.promise
    giveUp.abort(new HolonError('cancelled', 'enough'))
    await assert.rejects(txn, (e) => e instanceof HolonError && e.outcome === 'unknown')
    proxy.gate = (_path, pass) => pass()
  })

  it('operations beyond the remembered ones are forgotten, the last ones not', async (signal) => {
    const prefix = fresh()
    await using state = open(prefix, { operationsMax: 100 })
    const ids = Array.from({ length: 300 }, (_, i) => `op-${i}`)
    const revisions: number[] = []
    for (const id of ids) {
      const result = await commit(deps, state, txnOf(id, [], put('k', id)), { signal })
      revisions.push(result.kind === 'done' ? result.revision : 0)
    }
    await until(
      async () => (await count(`${prefix}o/`, signal)) < 120,
      () => 'operations',
    )
    for (const i of [200, 250, 299]) {
      const again = await state.txn(txnOf(`op-${i}`, [], put('k', `op-${i}`)), { signal })
      assert.deepEqual(again, { kind: 'done', revision: revisions[i] })
    }
    assert.equal((await state.get('k', { signal }))?.value, 'op-299')
    assert.ok((await count(`${prefix}o/`, signal)) >= 100)
  })

  it('the history is compacted, and a watch from before it gets reset', async (signal) => {
    const prefix = fresh()
    await using state = open(prefix, { operationsMax: 100, historyChangesMax: 50 })
    const from = await done(state, signal, put('k', 0))
    for (let i = 0; i < 200; i++) await done(state, signal, put('k', i))
    await using other = open(prefix)
    const events: WatchEvent[] = []
    await until(
      async () => {
        events.length = 0
        await using reader = open(prefix)
        for await (const event of reader.watch('', from, { signal })) {
          events.push(event)
          if (event.kind === 'synced') break
        }
        return events[0]?.kind === 'reset'
      },
      () => events.length,
    )
    assert.equal((await other.get('k', { signal }))?.value, 199)
  })

  it('a watch goes on after etcd was killed, frozen, and asleep', async (signal) => {
    const prefix = fresh()
    await using state = open(prefix)
    const from = await done(state, signal, put('k', 0))
    const seen: unknown[] = []
    const stop = new AbortController()
    const watching = (async () => {
      for await (const event of state.watch('', from, { signal: stop.signal })) {
        if (event.kind === 'put') seen.push(event.entry.value)
      }
    })()
    await done(state, signal, put('k', 1))
    // One that never came about is its caller's to begin anew.
    await until(
      async () => seen.at(-1) === 1,
      () => seen,
    )
    await member.kill()
    // A kept connection that died with it may still take a request: of that one nobody can tell.
    const kinds: string[] = []
    await until(
      async () => {
        const txn = txnOf(`refused ${kinds.length}`, [], put('k', 'no'))
        kinds.push((await state.txn(txn, { signal })).kind)
        return kinds.at(-1) === 'unavailable'
      },
      () => kinds,
    )
    await assert.rejects(state.get('k', { signal }), (e) => {
      return e instanceof HolonError && e.code === 'unavailable' && e.outcome === 'none'
    })
    member.start()
    await member.ready()
    await done(state, signal, put('k', 2))
    member.signal('SIGSTOP')
    const frozen = state.txn(txnOf('frozen', [], put('k', 3)), { signal })
    const result = await frozen
    member.signal('SIGCONT')
    assert.equal(result.kind, 'unknown')
    await commit(deps, state, txnOf('frozen', [], put('k', 3)), { signal })
    await until(
      async () => seen.at(-1) === 3,
      () => seen,
    )
    assert.deepEqual([...new Set(seen)], [1, 2, 3])
    stop.abort(new HolonError('cancelled', 'enough'))
    await assert.rejects(watching)
  })

  it('an import that breaks off is not seen, and the next one comes through', async (signal) => {
    const prefix = fresh()
    await using proxy = await new Relay(member, 'import').listen()
    await using state = open(prefix, { endpoints: [{ socketPath: proxy.socketPath }] })
    await state.get('k', { signal })
    const entries = Array.from({ length: 500 }, (_, i) => ({
      key: `k/${i}`,
      value: 'x'.repeat(100),
      revision: 1,
      schema: 1,
      operationId: `op-${i}`,
      writer,
    }))
    const { revision } = await state.list('', { signal })
    for (const after of [3, 5, 7]) {
      let left = after
      proxy.gate = (_path, pass, drop) => (left-- > 0 ? pass() : drop())
      const work = state.import({ revision: 1, entries }, { signal })
      await assert.rejects(work, (e) => e instanceof HolonError && e.code === 'unavailable')
      proxy.gate = (_path, pass) => pass()
      assert.deepEqual(await state.list('', { signal }), { entries: [], revision })
    }
    await using other = open(prefix)
    const watching = other.watch('', revision, { signal })[Symbol.asyncIterator]()
    assert.deepEqual((await watching.next()).value, { kind: 'synced', revision })
    await state.import({ revision: 1, entries }, { signal })
    assert.deepEqual((await watching.next()).value, { kind: 'reset' })
    assert.equal((await other.list('', { signal })).entries.length, 500)
    assert.equal(await count(`${prefix}d/k/`, signal), 500)
    const result = await other.txn(txnOf('op', [{ key: 'k/7', revision: 0 }]), { signal })
    assert.equal(result.kind, 'conflict')
  })

  it('changed bytes are state_damaged, never an answer', async (signal) => {
    const prefix = fresh()
    await using state = open(prefix)
    await done(state, signal, put('k', { a: 1 }))
    using client = new EtcdClient(deps, [member.endpoint])
    const key = Buffer.from(`${prefix}d/k/0/k`).toString('base64')
    const { kvs } = await client.post('kv/range', { key }, { signal })
    const { value } = (kvs as readonly { readonly value: string }[])[0] ?? { value: '' }
    const text = Buffer.from(value, 'base64').toString().replace('{"a":1}', '{"a":2}')
    await client.post('kv/put', { key, value: Buffer.from(text).toString('base64') }, { signal })
    await assert.rejects(state.get('k', { signal }), (e) => {
      return e instanceof HolonError && e.details['kind'] === 'state_damaged'
    })
  })
})

describe('openEtcd() at its quota', { skip: etcdMissing ?? false }, () => {
  test('refuses puts; reads and deletes go on, and make room', { timeout: 60_000 }, async () => {
    await using member = new EtcdMember({ peerPort: 23_111 })
    member.start()
    await member.ready()
    using limit = deadline(realClock, 50_000)
    const { signal } = limit
    await using state = openEtcd(deps, { endpoints: [member.endpoint], bytesMax: 6 * 1024 * 1024 })
    const value = 'x'.repeat(500_000)
    const fill = async () => {
      for (let i = 0; i < 100; i++) await done(state, signal, put(`big/${i}`, value))
    }
    await assert.rejects(fill(), (e) => {
      return e instanceof HolonError && e.code === 'exhausted' && e.outcome === 'none'
    })
    assert.equal(state.mode.kind, 'read-only')
    const { entries } = await state.list('', { signal })
    assert.ok(entries.length >= 8, `${entries.length} fit`)
    for (const { key } of entries.slice(2)) await done(state, signal, { kind: 'delete', key })
    let last: unknown
    await until(
      () =>
        done(state, signal, put('after', 1)).then(
          () => true,
          (error) => {
            last = error
            return false
          },
        ),
      () => String(last),
    )
    assert.equal(state.mode.kind, 'read-write')
  })
})

test('openEtcd() meets a restored etcd: lower revisions, watches are reset', {
  skip: etcdMissing ?? false,
  timeout: 60_000,
}, async () => {
  await using member = new EtcdMember({ peerPort: 23_112 })
  member.start()
  await member.ready()
  using limit = deadline(realClock, 50_000)
  const { signal } = limit
  await using state = openEtcd(deps, { endpoints: [member.endpoint] })
  for (let i = 0; i < 50; i++) await done(state, signal, put('k', i))
  const dump = await state.export({ signal })
  const watching = state.watch('', dump.revision, { signal })[Symbol.asyncIterator]()
  await watching.next()
  const next = watching.next()
  await member.kill()
  rmSync(join(member.directory, 'data'), { recursive: true })
  member.start()
  await member.ready()
  await using other = openEtcd(deps, { endpoints: [member.endpoint] })
  await other.import(dump, { signal })
  assert.deepEqual((await next).value, { kind: 'reset' })
  const entry = await state.get('k', { signal })
  assert.equal(entry?.value, 49)
  assert.ok(entry.revision < dump.revision)
  await done(state, signal, put('k', 50))
  assert.equal((await other.get('k', { signal }))?.value, 50)
})
