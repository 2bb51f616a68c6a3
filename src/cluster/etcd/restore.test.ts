import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { Bench, type BenchMachine, limit, needsEtcd } from '../../../test/support/etcd-bench.ts'
import { realClock } from '../../io/clock.ts'
import { backupDir } from '../../io/paths.ts'
import { realRandom } from '../../io/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { State } from '../../state/port.ts'
import type { ManagedEngine } from './engine-file.ts'
import { backUpFleet, fleetSeries } from './fleet-backup.ts'
import { engineKey, parseEngineRecord, stateCaKey } from './fleet-engine-record.ts'
import { createStateCa } from './peer-certificates.ts'
import { restoreFleet } from './restore.ts'

const deps = { clock: realClock, random: realRandom }
const serial = { skip: needsEtcd, timeout: 180_000 }

async function write(state: State, key: string, value: unknown): Promise<void> {
  using bound = limit()
  const then = [{ kind: 'put', key, value, schema: 1 } as const]
  const operationId = newOperationId(realRandom)
  const result = await commit(deps, state, { if: [], then, operationId, writer: 'w' }, bound)
  assert.equal(result.kind, 'done')
}

async function three(bench: Bench): Promise<State> {
  const n1 = await bench.add('n1')
  using bound = limit()
  const { machineId, peerUrl, listenPeer } = n1
  const ca = await createStateCa('test', Date.now())
  const base = {
    engine: 'etcd',
    era: 1,
    machineId,
    clusterToken: 't-1',
    dataName: 'data-1',
  } as const
  const initialCluster = [{ machineId, peerUrl }]
  const engine: ManagedEngine = {
    ...base,
    peerUrl,
    listenPeer,
    initialCluster,
    initialState: 'new',
  }
  await n1.member.startDraft(engine, ca, bound)
  n1.member.adoptDraft(engine)
  const state = await n1.openEngine()
  await write(state, stateCaKey, ca)
  await bench.add('n2')
  await bench.add('n3')
  await bench.untilVoters(3, 25_000)
  return state
}

async function restore(machine: BenchMachine, from?: string) {
  using bound = limit(60_000)
  const { stateDir, paths, member, machineId, peerUrl, listenPeer, openEngine } = machine
  const options = { stateDir, paths, member, machineId, peerUrl, listenPeer, openEngine }
  const all = { ...options, signal: bound.signal }
  return await restoreFleet(deps, from === undefined ? all : { ...all, from })
}

test(
  'restoreFleet() brings the state back after two of three members are lost',
  serial,
  async () => {
    await using bench = new Bench()
    const state = await three(bench)
    const [n1, n2, n3] = bench.machines
    assert.ok(n1 !== undefined && n2 !== undefined && n3 !== undefined)
    await write(state, 'fleet/x', 'kept')
    using bound = limit(120_000)
    await backUpFleet(state, n1.stateDir, bound)
    await write(state, 'fleet/late', 'after the backup')
    await n2.kill()
    await n3.kill()
    // The newest backup is damaged: the one before it serves, and that is said.
    const [newest = ''] = readdirSync(backupDir(n1.stateDir)).filter((each) =>
      fleetSeries.pattern.test(each),
    )
    const path = join(backupDir(n1.stateDir), newest)
    const later = path.replace(/\d{16}/, '9999999999999999')
    writeFileSync(later, readFileSync(path, 'utf8').slice(0, -5))
    const restored = await restore(n1)
    assert.equal(restored.era, 2)
    assert.equal(restored.notes.length, 1)
    assert.deepEqual(restored.aside, [join(n1.paths.dir, 'data-1')])
    assert.ok(restored.aside.every((each) => existsSync(each)))
    await using now = await n1.openEngine()
    assert.equal((await now.get('fleet/x', bound))?.value, 'kept')
    assert.equal((await now.get('fleet/late', bound))?.value, undefined)
    // The lost ones come back with their old memory and are told: they become members anew.
    const record = parseEngineRecord((await now.get(engineKey, bound))?.value)
    assert.equal(record.era, 2)
    bench.forget()
    for (const machine of [n2, n3]) {
      await machine.back()
      await machine.member.meet(record, bound)
      assert.deepEqual(machine.member.choice, { engine: 'link', era: 2 })
    }
    await bench.untilVoters(3, 25_000)
    for (const machine of [n2, n3]) {
      await using there = await machine.openEngine()
      assert.equal((await there.get('fleet/x', bound))?.value, 'kept')
      assert.ok(
        readdirSync(machine.paths.dir).filter((each) => each.startsWith('data-1')).length > 0,
      )
    }
    // Backups of before the restore are older than any after it, whatever their revisions.
    await backUpFleet(now, n1.stateDir, bound)
    const names = readdirSync(backupDir(n1.stateDir)).filter((each) => /^fleet/.test(each))
    assert.match(names.at(-1) ?? '', /^fleet-000002-/)
  },
)

test('restoreFleet() that fails changes nothing', serial, async () => {
  await using bench = new Bench()
  const state = await three(bench)
  const n1 = bench.machines[0]
  assert.ok(n1 !== undefined)
  using bound = limit(60_000)
  await write(state, 'fleet/x', 1)
  await backUpFleet(state, n1.stateDir, bound)
  const before = n1.member.choice
  await assert.rejects(restore(n1, '/nowhere'), { code: 'not_found' })
  n1.openEngine = () => Promise.reject(new Error('no room'))
  await assert.rejects(restore(n1), /no room/)
  assert.deepEqual(n1.member.choice, before)
  await write(state, 'fleet/x', 2)
})
