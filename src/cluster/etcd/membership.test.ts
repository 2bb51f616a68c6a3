import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bench, type BenchMachine, limit, needsEtcd } from '../../../test/support/etcd-bench.ts'
import { type Clock, sleep } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { realClock } from '../../io/clock.ts'
import { backupDir } from '../../io/paths.ts'
import { realRandom } from '../../io/random.ts'
import { namesIn } from '../../io/state-files.ts'
import { newOperationId } from '../../state/commit.ts'
import type { State } from '../../state/port.ts'
import type { ManagedEngine } from './engine-file.ts'
import { engineKey, parseEngineRecord, stateCaKey } from './fleet-engine-record.ts'
import { tlsDir } from './member-service.ts'
import { createStateCa, issuePeerCertificate, parseCertificatePair } from './peer-certificates.ts'

/** The first member, with the CA in its State. */
async function begin(bench: Bench): Promise<{ first: BenchMachine; state: State }> {
  const first = await bench.add('n1', 'a')
  using bound = limit()
  const { machineId, peerUrl, listenPeer } = first
  const ca = await createStateCa('test', Date.now())
  const engine: ManagedEngine = {
    engine: 'etcd',
    era: 1,
    machineId,
    clusterToken: 'test-1',
    dataName: 'data-1',
    peerUrl,
    listenPeer,
    initialCluster: [{ machineId, peerUrl }],
    initialState: 'new',
  }
  await first.member.startDraft(engine, ca, bound)
  first.member.adoptDraft(engine)
  const state = await first.openEngine()
  await put(state, stateCaKey, ca)
  return { first, state }
}

async function put(state: State, key: string, value: unknown): Promise<void> {
  using bound = limit()
  const then = [{ kind: 'put', key, value, schema: 1 } as const]
  const operationId = newOperationId(realRandom)
  const result = await state.txn({ if: [], then, operationId, writer: 'test' }, bound)
  assert.equal(result.kind, 'done', JSON.stringify(result))
}

async function readRevision(machine: BenchMachine, key: string): Promise<number | undefined> {
  using bound = limit()
  await using state = await machine.openEngine()
  return (await state.get(key, bound))?.revision
}

async function readValue(machine: BenchMachine, key: string): Promise<unknown> {
  using bound = limit()
  await using state = await machine.openEngine()
  return (await state.get(key, bound))?.value
}

const serial = { skip: needsEtcd, timeout: 180_000 }

test('Membership grows 1 → 3 → 5, replaces a dead member and comes back to 3', serial, async () => {
  await using bench = new Bench()
  const { first, state } = await begin(bench)
  await put(state, 'fleet/x', 1)
  await bench.add('n2', 'a')
  await bench.untilVoters(['n1'])
  await bench.add('n3', 'b')
  await bench.untilVoters(['n1', 'n2', 'n3'])
  for (const machine of bench.machines) assert.equal(await readValue(machine, 'fleet/x'), 1)
  const before = await readRevision(first, engineKey)
  await bench.round()
  await bench.round()
  assert.equal(await readRevision(first, engineKey), before, 'who only looks writes nothing')
  const record = parseEngineRecord(await readValue(first, engineKey))
  assert.deepEqual(
    record.members.map(({ machineId }) => machineId),
    ['n1', 'n2', 'n3'],
  )
  for (const name of ['n4', 'n5', 'n6', 'n7']) await bench.add(name, 'c')
  await bench.untilVoters(5)
  // The one that leads now dies; another of the seven takes its place.
  await first.kill()
  await bench.until(async () => {
    const voters = await bench.voters()
    return voters.length === 5 && !voters.includes('n1')
  }, 'n1 is replaced')
  const n2 = bench.machines.find(({ machineId }) => machineId === 'n2')
  assert.ok(n2 !== undefined)
  assert.equal(await readValue(n2, 'fleet/x'), 1)
  // Whoever led then had a backup made before it changed anything.
  const backups = bench.machines
    .slice(1)
    .flatMap(({ stateDir }) => namesIn(backupDir(stateDir)))
    .filter((name) => name.startsWith('fleet-'))
  assert.ok(backups.length > 0)
  // Back again it learns that it is a member no longer.
  await first.back()
  const now = parseEngineRecord(await readValue(n2, engineKey))
  await bench.until(async () => {
    using bound = limit()
    await first.member.meet(now, bound)
    return first.member.choice.engine === 'link'
  }, 'n1 notices')
  bench.machines = bench.machines.filter(({ machineId }) => machineId <= 'n4')
  await bench.untilVoters(3, 120_000)
})

test('Membership goes on after it was killed at any step', serial, async () => {
  await using bench = new Bench()
  await begin(bench)
  await bench.add('n2')
  await bench.add('n3')
  // Every step of every kind of task ends there the first time that it is reached.
  const killed = new Set<string>()
  bench.atStep = (step) => {
    if (killed.has(step)) return
    killed.add(step)
    bench.forget()
    throw new Error(`killed at "${step}"`)
  }
  await bench.untilVoters(['n1', 'n2', 'n3'], 120_000)
  // And the way down: n3 is removed from the fleet, then one member is enough for two machines.
  bench.machines = bench.machines.filter(({ machineId }) => machineId !== 'n3')
  await bench.untilVoters(1, 60_000)
  // An addition that ended early is completed by starting what was added.
  const wanted = {
    add: ['begin', 'backed up', 'announced', 'done in etcd', 'recorded'],
    start: ['begin', 'machine told', 'end'],
    promote: ['begin', 'backed up', 'announced', 'done in etcd'],
    remove: ['begin', 'backed up', 'announced', 'done in etcd'],
  }
  for (const [kind, names] of Object.entries(wanted)) {
    for (const name of names) assert.ok(killed.has(`${kind}: ${name}`), `${kind}: ${name}`)
  }
})

test('Membership follows a member whose address changes', serial, async () => {
  await using bench = new Bench()
  await begin(bench)
  await bench.add('n2')
  const n3 = await bench.add('n3')
  await bench.untilVoters(3)
  n3.peerHost = '127.0.0.7'
  await bench.until(async () => {
    const { choice } = n3.member
    return choice.engine === 'etcd' && choice.peerUrl === n3.peerUrl
  }, 'n3 is told')
  await bench.until(async () => {
    using bound = limit()
    return (await n3.member.status(bound)).hasLeader === true
  }, 'n3 is in contact')
})

/** An hour passes in a moment. */
const hasty: Clock = {
  ...realClock,
  timer: (ms, fire, options) => realClock.timer(Math.min(ms, 20), fire, options),
}

test('etcd takes up a renewed certificate without a restart', serial, async () => {
  await using bench = new Bench()
  const { first } = await begin(bench)
  const second = await bench.add('n2')
  const third = await bench.add('n3')
  await bench.untilVoters(3)
  const going = [first, second]
  const pids = () => going.map(({ service }) => JSON.stringify(service.state()))
  const before = pids()
  // As after weeks in which nobody renewed: connections live, new ones are refused.
  for (const machine of going) {
    const dir = tlsDir(machine.paths)
    const ca = parseCertificatePair(JSON.parse(readFileSync(join(dir, 'ca.json'), 'utf8')), dir)
    const keyPem = readFileSync(join(dir, 'peer.key'), 'utf8')
    const nowMs = Date.now() - 2 * limits.certificateMs
    const { certPem } = await issuePeerCertificate(ca, { hosts: [machine.peerHost], nowMs, keyPem })
    writeFileSync(join(dir, 'peer.pem'), certPem)
  }
  await third.kill()
  await third.back()
  const log = () => readFileSync(join(third.paths.logDir, 'log'), 'utf8')
  await until(() => /certificate has expired/.test(log()), 'it refuses the others')
  const healthy = async () => {
    using bound = limit(2_000)
    return (await third.member.status(bound)).hasLeader === true
  }
  assert.equal(await healthy(), false)
  using life = limit(60_000)
  const enough = new AbortController()
  const signal = AbortSignal.any([life.signal, enough.signal])
  const keeping = going.map((machine) => machine.newMember(hasty).keepCertificate({ signal }))
  await until(healthy, 'it is one of them again')
  enough.abort()
  await Promise.all(keeping)
  assert.deepEqual(pids(), before, 'nothing was restarted')
})

async function until(done: () => boolean | Promise<boolean>, what: string): Promise<void> {
  using bound = limit(20_000)
  while (!(await done())) {
    assert.ok(!bound.signal.aborted, what)
    await sleep(realClock, 50, bound.signal).catch(() => undefined)
  }
}
