/** What a link adds to State: other machines, broken links, pages, and what is not served. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { test } from 'node:test'
import { temporaryDirectory } from '../../../test/support/rpc-toy.ts'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { limits } from '../../base/limits.ts'
import { seededRandom } from '../../base/random.ts'
import { realClock } from '../../io/clock.ts'
import { connectRpc, type RpcClient } from '../../rpc/connect.ts'
import { listenRpc, type RpcListener } from '../../rpc/listen.ts'
import type { Txn, TxnResult, WatchEvent } from '../../state/port.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import { RemoteState } from './remote-state.ts'
import { StateServer, type StateService, stateServiceInterface } from './state-service.ts'

const clock = realClock
const version = '1'

/** One store, served by several machines. */
class Machines implements AsyncDisposable {
  readonly store = new SimulatedStore()
  readonly direct = new SimulatedState({ clock, random: seededRandom(1) }, this.store)
  readonly #directory = temporaryDirectory()
  readonly #listeners: RpcListener[] = []
  readonly links: RpcClient<StateService>[] = []
  /** Which machine was asked for, in order. */
  readonly found: number[] = []
  readonly servers: StateServer[] = []

  async add(state = this.direct): Promise<void> {
    const server = new StateServer(clock, state)
    this.servers.push(server)
    const path = join(this.#directory.path, `m${this.#listeners.length}`)
    const options = { version, onInternalError: () => undefined }
    this.#listeners.push(await listenRpc(clock, path, stateServiceInterface, () => server, options))
  }

  /** The first machine that can be reached, and did not just fail if there are others. */
  readonly remote = new RemoteState(clock, async (signal, failed) => {
    for (const [i, { path }] of this.#listeners.entries()) {
      if (`m${i}` === failed && this.#listeners.length > 1) continue
      try {
        const link = await connectRpc(clock, path, stateServiceInterface, { version, signal })
        this.links.push(link)
        this.found.push(i)
        return { at: `m${i}`, service: link.main }
      } catch (error) {
        if (!(error instanceof HolonError) || error.code !== 'unavailable') throw error
      }
    }
    throw new HolonError('unavailable', 'no machine serves the state')
  })

  async stop(i: number): Promise<void> {
    await this.#listeners[i]?.[Symbol.asyncDispose]()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.remote.close()
    for (const link of this.links) await link[Symbol.asyncDispose]()
    for (const listener of this.#listeners) await listener[Symbol.asyncDispose]()
    await this.direct.close()
    this.#directory[Symbol.dispose]()
  }
}

function put(id: string, key: string, value: unknown): Txn {
  return {
    if: [],
    then: [{ kind: 'put', key, value, schema: 1 }],
    operationId: id,
    writer: 'test',
  }
}

test('RemoteState() goes on with another machine, watches too', async () => {
  await using machines = new Machines()
  await machines.add()
  await machines.add()
  using limit = deadline(clock, 20_000)
  const { remote, direct } = machines
  const options = { signal: limit.signal }
  await remote.txn(put('a', 'k', 1), options)
  const { revision } = await remote.list('', options)
  const watch = remote.watch('', revision, options)[Symbol.asyncIterator]()
  assert.deepEqual((await watch.next()).value, { kind: 'synced', revision })
  const coming = watch.next()
  await machines.stop(0)
  await direct.txn(put('b', 'k', 2), options)
  const found: WatchEvent[] = [(await coming).value]
  while (found.at(-1)?.kind !== 'put') found.push((await watch.next()).value)
  assert.equal((await remote.get('k', options))?.value, 2)
  assert.deepEqual(machines.found, [0, 1])
  await watch.return?.(undefined)
})

test('RemoteState.leave() ends what waits for that machine, also after another one was found', async () => {
  await using machines = new Machines()
  for (let i = 0; i < 3; i++) await machines.add()
  using limit = deadline(clock, 20_000)
  const options = { signal: limit.signal }
  const { remote, direct } = machines
  const { revision } = await remote.list('', options)
  const watch = remote.watch('', revision, options)[Symbol.asyncIterator]()
  await watch.next()
  const coming = watch.next()
  const [server] = machines.servers
  assert.ok(server !== undefined)
  // The link holds, and so the watch: only this call is told to go elsewhere.
  server.get = async () => {
    throw new HolonError('unavailable', 'not here')
  }
  await remote.get('k', options)
  assert.deepEqual(machines.found, [0, 1])
  server.watch = () => Promise.reject(new HolonError('unavailable', 'not here'))
  remote.leave('m0', 'm0 is silent')
  await direct.txn(put('b', 'k', 2), options)
  const found: WatchEvent[] = [(await coming).value]
  while (found.at(-1)?.kind !== 'put') found.push((await watch.next()).value)
  assert.deepEqual(machines.found, [0, 1], 'the watch is where the others are')
  await watch.return?.(undefined)
})

test('RemoteState() does not stay with a link that has ended, whatever ended it', async () => {
  await using machines = new Machines()
  await machines.add()
  using limit = deadline(clock, 20_000)
  const options = { signal: limit.signal }
  const { remote } = machines
  for (const code of ['exhausted', 'internal', 'cancelled', 'unavailable'] as const) {
    await remote.get('k', options)
    await machines.links.at(-1)?.end(new HolonError(code, 'the link has ended'))
    await remote.get('k', options).catch((error) => assert.equal(error.code, code))
    await remote.get('k', options)
    await machines.links.at(-1)?.end(new HolonError(code, 'the link has ended'))
    await remote.txn(put(code, 'k', 1), options).catch((error) => assert.equal(error.code, code))
    assert.equal((await remote.txn(put(code, 'k', 1), options)).kind, 'done')
  }
})

test('RemoteState.txn() over a link that breaks is unknown, and done once when repeated', async () => {
  await using machines = new Machines()
  const slow = new SimulatedState({ clock, random: seededRandom(1) }, machines.store, {
    latencyMsMax: 400,
  })
  await machines.add(slow)
  await machines.add()
  using limit = deadline(clock, 20_000)
  const options = { signal: limit.signal }
  await machines.remote.get('k', options)
  const first = machines.remote.txn(put('a', 'k', 1), options)
  await new Promise((resolve) => setTimeout(resolve, 5))
  await machines.stop(0)
  assert.equal((await first).kind, 'unknown')
  const again = await machines.remote.txn(put('a', 'k', 1), options)
  assert.equal(again.kind, 'done')
  const entry = await machines.remote.get('k', options)
  assert.deepEqual(again, { kind: 'done', revision: entry?.revision })
  await slow.close()
})

test('RemoteState() without any machine is unavailable, definitely', async () => {
  await using machines = new Machines()
  using limit = deadline(clock, 20_000)
  const options = { signal: limit.signal }
  const result: TxnResult = await machines.remote.txn(put('a', 'k', 1), options)
  assert.equal(result.kind, 'unavailable')
  assert.equal(machines.remote.mode.kind, 'read-only')
  await assert.rejects(machines.remote.get('k', options), (e) => {
    return e instanceof HolonError && e.code === 'unavailable' && e.outcome === 'none'
  })
})

test('StateServer() does not serve what is private', async () => {
  await using machines = new Machines()
  await machines.add()
  using limit = deadline(clock, 20_000)
  const options = { signal: limit.signal }
  const { remote, direct } = machines
  await direct.txn(put('a', 'fleet/private/ca', 'secret'), options)
  await direct.txn(put('b', 'fleet/info', 'known'), options)
  const denied = (work: Promise<unknown>) =>
    assert.rejects(work, (e) => e instanceof HolonError && e.code === 'permission_denied')
  await denied(remote.get('fleet/private/ca', options))
  await denied(remote.list('fleet/private/', options))
  await denied(remote.txn(put('c', 'fleet/private/x', 1), options))
  await denied(
    remote.txn({ ...put('d', 'x', 1), if: [{ key: 'fleet/private/ca', revision: 0 }] }, options),
  )
  await denied(remote.watch('fleet/private/c', 0, options)[Symbol.asyncIterator]().next())
  for (const prefix of ['', 'fleet/', 'fleet/private', 'fleet/priv']) {
    const { entries } = await remote.list(prefix, options)
    assert.ok(
      entries.every(({ value }) => value === 'known'),
      `list("${prefix}")`,
    )
  }
  const events: WatchEvent[] = []
  for await (const event of remote.watch('', 0, options)) {
    events.push(event)
    if (event.kind === 'synced') break
  }
  assert.deepEqual(
    events.map((event) => ('key' in event ? event.key : event.kind)),
    ['fleet/info', 'synced'],
  )
})

test('RemoteState.list() has all pages of a large listing, a conflict all values', async () => {
  await using machines = new Machines()
  await machines.add()
  using limit = deadline(clock, 20_000)
  const options = { signal: limit.signal }
  const { remote, direct } = machines
  const value = 'é"'.repeat(limits.stateValueBytesMax / 8)
  const keys = Array.from({ length: 24 }, (_, i) => `big/${String(i).padStart(2, '0')}`)
  for (const key of keys) await direct.txn(put(key, key, value), options)
  const { entries, revision } = await remote.list('big/', options)
  assert.deepEqual(
    entries.map(({ key }) => key),
    keys,
  )
  assert.ok(entries.every((entry) => entry.value === value))
  const conditions = keys.map((key) => ({ key, revision }))
  const result = await remote.txn({ ...put('x', 'k', 1), if: conditions }, options)
  assert.ok(result.kind === 'conflict')
  assert.ok(result.current.every(({ entry }) => entry?.value === value))
  assert.deepEqual(
    result.current.map(({ key }) => key),
    keys,
  )
})
