import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { realClock } from '../../io/clock.ts'
import { realRandom } from '../../io/random.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import { leaderKey } from '../reconcile/leadership.ts'
import { engineFilePath, readEngineChoice, writeEngineChoice } from './engine-file.ts'
import { parseEtcdUrl } from './external-url.ts'
import { createStateCa, issuePeerCertificate, needsRenewal } from './peer-certificates.ts'
import { describeState, StateWatch } from './state-health.ts'

test('readEngineChoice() gives what was written and refuses what it does not understand', () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-engine-'))
  try {
    assert.deepEqual(readEngineChoice(dir), { engine: 'embedded' })
    const peer = { machineId: 'm', peerUrl: 'https://10.0.0.1:4657' }
    const managed = {
      engine: 'etcd',
      era: 2,
      machineId: 'm',
      clusterToken: 't',
      dataName: 'data-2-77',
      memberId: '77',
      peerUrl: peer.peerUrl,
      listenPeer: '0.0.0.0:4657',
      initialCluster: [peer],
      initialState: 'existing',
    } as const
    for (const choice of [
      managed,
      { engine: 'link', era: 3 },
      { engine: 'external', url: 'etcd://h' },
    ] as const) {
      writeEngineChoice(dir, choice)
      assert.deepEqual(readEngineChoice(dir), choice)
    }
    for (const text of ['', '{', '{"schema":2,"engine":"link","era":1}', '{"schema":1}']) {
      writeFileSync(engineFilePath(dir), text)
      assert.throws(() => readEngineChoice(dir), { code: 'internal' }, text)
    }
    const bad = { schema: 1, ...managed, dataName: '../x' }
    writeFileSync(engineFilePath(dir), JSON.stringify(bad))
    assert.throws(() => readEngineChoice(dir), { code: 'internal' })
  } finally {
    rmSync(dir, { recursive: true })
  }
})

test('parseEtcdUrl() takes several places, a prefix and certificates, and refuses the rest', () => {
  assert.deepEqual(parseEtcdUrl('etcd://a:1,[::1]:2,c/x/y?ca=/a&cert=/b&key=/c'), {
    places: [
      { host: 'a', port: 1 },
      { host: '::1', port: 2 },
      { host: 'c', port: 2379 },
    ],
    prefix: 'x/y/',
    tls: { ca: '/a', cert: '/b', key: '/c' },
  })
  assert.equal(parseEtcdUrl('etcd://a').prefix, 'holon/')
  const bad = ['http://a', 'etcd://', 'etcd://a:0', 'etcd://a:x', 'etcd://a?ca=1', 'etcd://a?b=1']
  for (const text of bad)
    assert.throws(() => parseEtcdUrl(text), { code: 'invalid_argument' }, text)
})

test('needsRenewal() after a day, for another host, for another CA, after a wrong clock', async () => {
  const nowMs = Date.UTC(2030, 0, 1)
  const dayMs = 86_400_000
  const ca = await createStateCa('c', nowMs)
  const hosts = ['10.0.0.1', 'n1.example']
  const pair = await issuePeerCertificate(ca, { hosts, nowMs })
  const needs = (laterMs: number, which = ca, wanted: readonly string[] = hosts) =>
    needsRenewal(pair.certPem, which, wanted, nowMs + laterMs)
  assert.equal(needs(0), false)
  assert.equal(needs(dayMs - 60_000), false)
  assert.equal(needs(dayMs + 60_000), true)
  assert.equal(needs(0, ca, ['10.0.0.2']), true)
  assert.equal(needs(0, await createStateCa('c', nowMs)), true)
  assert.equal(needs(-3 * dayMs), true)
  assert.equal(needsRenewal('garbage', ca, hosts, nowMs), true)
  const again = await issuePeerCertificate(ca, { hosts, nowMs, keyPem: pair.keyPem })
  assert.equal(again.keyPem, pair.keyPem)
})

test('describeState() says what the loss of each of two machines does', () => {
  const machines = ['n1', 'n2', 'n3'].map((name) => ({ machineId: `id-${name}`, name }))
  const member = (name: string) => ({
    machineId: `id-${name}`,
    memberId: name,
    peerUrl: '',
    learner: false,
  })
  const record = (...names: string[]) => {
    return { era: 1, clusterToken: 't', members: names.map(member) }
  }
  const two = describeState('etcd', record('n1'), machines.slice(0, 2))
  assert.equal(two.engine, 'etcd, 1 member')
  assert.match(two.advice, /without n1 .* until it is back; without n2 the state goes on; a third/)
  const three = describeState('etcd', record('n1', 'n2', 'n3'), machines)
  assert.match(three.advice, /^n1, n2, n3 keep the state, which survives the loss of any 1 of/)
  const between = describeState('etcd', record('n1', 'n2'), machines)
  assert.match(between.advice, /without either of them/)
  const alone = describeState('embedded (sqlite)', undefined, machines.slice(0, 1))
  assert.deepEqual(alone, {
    engine: 'embedded (sqlite)',
    advice: 'the state is on this machine alone',
  })
})

test('StateWatch knows who leads, and since when the engine does not answer', async () => {
  const store = new SimulatedStore()
  const state = new SimulatedState({ clock: realClock, random: realRandom }, store)
  const watch = new StateWatch(realClock, state)
  const { signal } = new AbortController()
  assert.equal(await watch.look({ signal }), true)
  assert.equal(watch.leader, undefined)
  const value = { machineId: 'n2', term: 3 }
  const then = [{ kind: 'put', key: leaderKey, value, schema: 1 } as const]
  await state.txn({ if: [], then, operationId: 'aaaaaaaaaaaaaaaaaaaa', writer: 'test' }, { signal })
  await watch.look({ signal })
  assert.equal(watch.leader, 'n2')
  await state.close()
  assert.equal(await watch.look({ signal }), false)
  assert.equal(watch.leader, undefined)
  const first = watch.unavailable?.sinceMs
  assert.ok(first !== undefined)
  assert.equal(await watch.look({ signal }), false)
  assert.equal(watch.unavailable?.sinceMs, first)
})
