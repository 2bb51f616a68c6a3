/**
 * State on three members of real etcd, of which one after the other is killed, frozen or cut off,
 * also one way, while clients write down what they are told: the whole history must be one that the port's
 * promises allow. Needs root, for network namespaces. `HOLON_SEED` repeats the choice of faults and
 * calls, not their timing; `HOLON_FAULTS_MS` makes it longer.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { test } from 'node:test'
import { HolonError } from '../../src/base/errors.ts'
import { type Random, randomBelow, seededRandom } from '../../src/base/random.ts'
import { realClock } from '../../src/io/clock.ts'
import { openEtcd } from '../../src/state/etcd/etcd-state.ts'
import type { SignalOptions } from '../../src/state/port.ts'
import { etcdMissing } from '../support/etcd.ts'
import { checkHistory, type HistoryRecord } from '../support/history-checker.ts'
import { RecordedClient } from '../support/recorded-clients.ts'
import { EtcdCluster, type Fault } from './cluster.ts'

const seed = Number(process.env['HOLON_SEED'] ?? Date.now() % 1_000_000)
const faultsMs = Number(process.env['HOLON_FAULTS_MS'] ?? 30_000)
const noNft = spawnSync('nft', ['--version']).error !== undefined && 'nftables is not installed'
const skip = etcdMissing ?? (process.getuid?.() === 0 ? noNft : 'needs root for network namespaces')
const keys = ['r/1', 'r/2', 'r/3']

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

function chooseFault(random: Random): Fault {
  if (random.next() < 0.1) return { kind: 'cut all' }
  const kinds = ['kill', 'freeze', 'cut', 'one way'] as const
  const kind = kinds[randomBelow(random, kinds.length)] ?? 'kill'
  const member = randomBelow(random, 3)
  return kind === 'one way' ? chooseOneWay(random, member) : { kind, member }
}

/** It is not heard, or does not hear; by one of the others or both. */
function chooseOneWay(random: Random, member: number): Fault {
  const both = [0, 1, 2].filter((each) => each !== member)
  const others = random.next() < 0.5 ? both : both.slice(randomBelow(random, 2)).slice(0, 1)
  const [from, to] = random.next() < 0.5 ? [[member], others] : [others, [member]]
  return { kind: 'one way', from, to }
}

function counts(records: readonly HistoryRecord[]): string {
  const count = new Map<string, number>()
  for (const record of records) {
    const name = record.kind === 'txn' ? `txn ${record.result.kind}` : record.kind
    count.set(name, (count.get(name) ?? 0) + 1)
  }
  return JSON.stringify(Object.fromEntries([...count].sort()))
}

async function shake(cluster: EtcdCluster, random: Random): Promise<void> {
  const endMs = Date.now() + faultsMs
  while (Date.now() < endMs) {
    await wait(500 + random.next() * 1500)
    const fault = chooseFault(random)
    console.log(`# ${JSON.stringify(fault)}`)
    await cluster.begin(fault)
    await wait(1000 + random.next() * 3000)
    cluster.end(fault)
  }
}

/** Liveness: without faults every client reads everything again. */
async function heal(cluster: EtcdCluster, clients: readonly RecordedClient[]): Promise<void> {
  await Promise.all(cluster.members.map((member) => member.ready()))
  const endMs = Date.now() + 30_000
  for (const client of clients) {
    while (!(await client.readAll())) assert.ok(Date.now() < endMs, 'reads go on')
  }
}

test('openEtcd() keeps its promises while members die, freeze and are cut off', {
  skip,
  timeout: faultsMs + 90_000,
}, async (t) => {
  console.log(`# state faults: HOLON_SEED=${seed} HOLON_FAULTS_MS=${faultsMs}`)
  const random = seededRandom(seed)
  await using cluster = await EtcdCluster.start()
  const stop = new AbortController()
  const endpoints = cluster.members.map(({ endpoint }) => endpoint)
  const clients = Array.from({ length: 6 }, (_, i) => {
    const deps = { clock: realClock, random: seededRandom(seed + 1 + i) }
    const mine = endpoints.map((_, j) => endpoints[(i + j) % 3]).filter((one) => one !== undefined)
    // Half of them know one member alone, as an agent beside its own etcd does.
    const state = openEtcd(deps, { endpoints: i < 3 ? mine : mine.slice(0, 1) })
    const client = new RecordedClient(deps, state, {
      name: `c${i}`,
      keys,
      stop: stop.signal,
      // Short ones give up while a member is frozen, and never learn what came of it.
      callMs: i % 2 === 0 ? 4000 : 700,
      pauseMsMax: 20,
    })
    return { state, client }
  })
  const working = clients.flatMap(({ client }, i) =>
    i % 3 === 0 ? [client.work(), client.watch()] : [client.work()],
  )
  try {
    await shake(cluster, random)
    await heal(
      cluster,
      clients.map(({ client }) => client),
    )
  } finally {
    stop.abort(new HolonError('cancelled', 'enough'))
    await Promise.all(working)
    for (const { state } of clients) await state.close()
  }
  const records = clients.flatMap(({ client }) => client.records)
  console.log(`# ${counts(records)}`)
  const violations = checkHistory(records)
  assert.deepEqual(violations.slice(0, 20), [], `seed ${seed}: ${violations.length} violations`)
  const done = records.filter((record) => record.kind === 'txn' && record.result.kind === 'done')
  assert.ok(done.length > 100, `the run did something: ${counts(records)}`)
  t.diagnostic(counts(records))
})

test('the checker finds a client that reads from a member that is cut off', {
  skip,
  timeout: 60_000,
}, async () => {
  await using cluster = await EtcdCluster.start()
  const stop = new AbortController()
  const clients = cluster.members.map(({ endpoint }, i) => {
    const deps = { clock: realClock, random: seededRandom(i) }
    const state = openEtcd(deps, { endpoints: [endpoint] })
    // The planted fault: what was promised to be linearizable is not.
    const faulty = new Proxy(state, {
      get(target, name) {
        if (name === 'get')
          return (key: string, o: SignalOptions) => target.get(key, { ...o, stale: true })
        const member: unknown = Reflect.get(target, name, target)
        return typeof member === 'function' ? member.bind(target) : member
      },
    })
    const options = { name: `c${i}`, keys, stop: stop.signal, callMs: 300, pauseMsMax: 20 }
    return { state, client: new RecordedClient(deps, faulty, options) }
  })
  const working = clients.map(({ client }) => client.work())
  await wait(500)
  await cluster.begin({ kind: 'cut', member: 0 })
  await wait(4000)
  cluster.end({ kind: 'cut', member: 0 })
  stop.abort(new HolonError('cancelled', 'enough'))
  await Promise.all(working)
  for (const { state } of clients) await state.close()
  const violations = checkHistory(clients.flatMap(({ client }) => client.records))
  assert.match(violations.join('\n'), /is stale/)
})
