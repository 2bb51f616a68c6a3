import assert from 'node:assert/strict'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { freePort, limit, needsEtcd } from '../../test/support/etcd-bench.ts'
import { EtcdLife, loneEngine } from '../../test/support/etcd-life.ts'
import { backUpFleet } from '../cluster/etcd/fleet-backup.ts'
import { stateCaKey } from '../cluster/etcd/fleet-engine-record.ts'
import { memberPaths } from '../cluster/etcd/local-member.ts'
import { clientSocketPath } from '../cluster/etcd/member-service.ts'
import { createStateCa } from '../cluster/etcd/peer-certificates.ts'
import { realClock } from '../io/clock.ts'
import { databasePath } from '../io/paths.ts'
import { realRandom } from '../io/random.ts'
import { commit, newOperationId } from '../state/commit.ts'
import { openEtcd } from '../state/etcd/etcd-state.ts'
import { StateLock } from '../state/lock.ts'
import type { State } from '../state/port.ts'
import { restoreFleetHere } from './fleet-restore.ts'
import { wayBack } from './state-keeping.ts'

const deps = { clock: realClock, random: realRandom, report: () => {} }

async function write(state: State, key: string, value: unknown): Promise<void> {
  using bound = limit()
  const then = [{ kind: 'put', key, value, schema: 1 } as const]
  const operationId = newOperationId(realRandom)
  const result = await commit(deps, state, { if: [], then, operationId, writer: 'w' }, bound)
  assert.equal(result.kind, 'done')
}

const serial = { skip: needsEtcd, timeout: 90_000 }

test('restoreFleetHere() restores while the agent is down, and only then', serial, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'holon-restore-'))
  const port = await freePort()
  const stateDir = join(dir, 's')
  const runtimeDir = join(dir, 'r')
  const socketPath = clientSocketPath(memberPaths(stateDir, runtimeDir))
  const open = () => openEtcd(deps, { endpoints: [{ socketPath }] })
  using bound = limit(80_000)
  const restore = () =>
    restoreFleetHere(deps, {
      directories: { scope: 'custom', stateDir, runtimeDir },
      packageDir: join(import.meta.dirname, '../..'),
      forceShKeeper: false,
      ownerUid: process.getuid?.() ?? 0,
      signal: bound.signal,
    })
  try {
    {
      await using life = await EtcdLife.begin(dir, port, false)
      const ca = await createStateCa('t', Date.now())
      await life.member.startDraft(loneEngine(port), ca, bound)
      life.member.adoptDraft(loneEngine(port))
      await using state = open()
      await write(state, stateCaKey, ca)
      await write(state, 'fleet/x', 'kept')
      await backUpFleet(state, stateDir, bound)
      await write(state, 'fleet/x', 'later')
      using _agentIsUp = new StateLock(databasePath(stateDir), wayBack)
      await assert.rejects(restore(), { code: 'unavailable' })
    }
    // The agent is down, its etcd still runs under its keeper.
    const restored = await restore()
    assert.equal(restored.era, 2)
    assert.ok(restored.aside.every((path) => existsSync(path)) && restored.aside.length === 1)
    await using life = await EtcdLife.begin(dir, port, false)
    await life.member.open(bound)
    await life.until(() => life.answers(), 'answers')
    await using state = open()
    assert.equal((await state.get('fleet/x', bound))?.value, 'kept')
  } finally {
    await using life = await EtcdLife.begin(dir, port, false)
    await life.job.stop('the test is over', bound)
    rmSync(dir, { recursive: true, force: true })
  }
})
