import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { BenchMachine, freePort, limit, needsEtcd } from '../../../test/support/etcd-bench.ts'
import { sleep } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { realClock } from '../../io/clock.ts'
import { databasePath } from '../../io/paths.ts'
import { realRandom } from '../../io/random.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import { openEmbedded } from '../../state/open.ts'
import type { State } from '../../state/port.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import { FleetState } from './fleet-state.ts'
import { moveToExternal, moveToManaged } from './move.ts'
import { openFleetState } from './open-fleet.ts'

const deps = { clock: realClock, random: realRandom }
const never = () => Promise.reject(new Error('not here'))
const serial = { skip: needsEtcd, timeout: 120_000 }

async function write(state: State, key: string, value: unknown): Promise<void> {
  using bound = limit()
  const then = [{ kind: 'put', key, value, schema: 1 } as const]
  const operationId = newOperationId(realRandom)
  const result = await commit(deps, state, { if: [], then, operationId, writer: 'w' }, bound)
  assert.equal(result.kind, 'done')
}

async function fleetValues(state: State): Promise<ReadonlyMap<string, unknown>> {
  using bound = limit()
  for (;;) {
    try {
      const { entries } = await state.list('fleet/', bound)
      return new Map(entries.map(({ key, value }) => [key, value]))
    } catch (error) {
      // An etcd that was just started does not answer yet.
      if (!(error instanceof HolonError) || !error.retryable || bound.signal.aborted) throw error
      await sleep(realClock, 20, bound.signal)
    }
  }
}

class Place implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), 'holon-move-'))
  readonly machine: BenchMachine

  private constructor(port: number) {
    this.machine = new BenchMachine(this.root, 'n1', port, '')
    mkdirSync(this.machine.stateDir, { recursive: true })
  }

  static async make(): Promise<Place> {
    return new Place(await freePort())
  }

  embedded(): Promise<State> {
    return openEmbedded({ path: databasePath(this.machine.stateDir) })
  }

  open(embedded: State): Promise<FleetState> {
    const managed = async () => {
      using bound = limit()
      await this.machine.member.open(bound)
      return this.machine.openEngine()
    }
    const engines = { embedded: () => embedded, managed, external: never, link: never }
    return openFleetState(this.machine.stateDir, { ...engines, embedded })
  }

  options(signal: AbortSignal) {
    const { machineId, peerUrl, listenPeer, member, stateDir, openEngine } = this.machine
    const names = { clusterId: 'test', writer: 'w', machineId, peerUrl, listenPeer }
    return { ...names, signal, member, stateDir, openEngine }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.machine.end()
    rmSync(this.root, { recursive: true, force: true })
  }
}

test('moveToManaged() takes over everything, writes under way included', serial, async () => {
  await using place = await Place.make()
  await using embedded = await place.embedded()
  for (let n = 0; n < 300; n++) await write(embedded, `fleet/k${n}`, { n })
  await write(embedded, 'units/web', 'mine')
  await using fleet = await place.open(embedded)
  using bound = limit(60_000)
  // A writer that goes on all the time: each acknowledged one must be there afterwards.
  const acked: number[] = []
  let over = false
  const writer = (async () => {
    for (let n = 0; !over || n < 50; n++) {
      await write(fleet, `fleet/w${n}`, n)
      acked.push(n)
    }
  })()
  const watched = (async () => {
    const kinds: string[] = []
    for await (const event of fleet.watch('fleet/', 1, bound)) kinds.push(event.kind)
    return kinds.at(-1)
  })()
  await moveToManaged(deps, fleet, embedded, place.options(bound.signal))
  over = true
  await writer
  const values = await fleetValues(fleet)
  assert.equal(fleet.engine, 'etcd')
  for (let n = 0; n < 300; n++) assert.deepEqual(values.get(`fleet/k${n}`), { n })
  for (const n of acked) assert.equal(values.get(`fleet/w${n}`), n)
  assert.equal(values.has('fleet/moving'), false)
  assert.equal((await fleetValues(embedded)).size, 0)
  assert.equal((await embedded.get('units/web', bound))?.value, 'mine')
  assert.equal(await watched, 'reset')
})

const steps = ['held', 'started', 'imported', 'verified', 'switched', 'tidied']

for (const step of steps) {
  test(`moveToManaged() killed when "${step}" loses nothing and is completed`, serial, async () => {
    await using place = await Place.make()
    const before = await place.embedded()
    for (let n = 0; n < 20; n++) await write(before, `fleet/k${n}`, n)
    await before.close()
    const script = fileURLToPath(
      new URL('../../../test/support/etcd-move-child.ts', import.meta.url),
    )
    const { root, machine } = place
    const child = spawn(process.execPath, [script, root, String(machine.port), step], {
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    const signal = await new Promise((resolve) => child.on('exit', (_, how) => resolve(how)))
    assert.equal(signal, 'SIGKILL')
    // The next agent: what it finds is whole, and inviting again completes the move.
    await using embedded = await place.embedded()
    await using fleet = await place.open(embedded)
    const found = await fleetValues(fleet)
    for (let n = 0; n < 20; n++) assert.equal(found.get(`fleet/k${n}`), n)
    await write(fleet, 'fleet/later', step)
    using bound = limit(60_000)
    await moveToManaged(deps, fleet, embedded, place.options(bound.signal))
    const values = await fleetValues(fleet)
    assert.equal(fleet.engine, 'etcd')
    for (let n = 0; n < 20; n++) assert.equal(values.get(`fleet/k${n}`), n)
    assert.equal(values.get('fleet/later'), step)
    assert.equal(values.has('fleet/moving'), false)
    assert.equal((await fleetValues(embedded)).size, 0)
  })
}

test('moveToManaged() leaves the state where it was when etcd cannot be started', async () => {
  await using place = await Place.make()
  await using embedded = await place.embedded()
  await write(embedded, 'fleet/x', 1)
  await using fleet = await place.open(embedded)
  using bound = limit(1_500)
  const openEngine = () => Promise.reject(new Error('no etcd'))
  const options = { ...place.options(bound.signal), openEngine }
  await assert.rejects(moveToManaged(deps, fleet, embedded, options))
  assert.equal((await fleetValues(fleet)).get('fleet/x'), 1)
  await write(fleet, 'fleet/x', 2)
})

test('moveToExternal() refuses the keys of others and begins its own again at every step', async () => {
  for (const step of ['held', 'started', 'imported', 'verified', 'switched']) {
    await using place = await Place.make()
    await using embedded = await place.embedded()
    await write(embedded, 'fleet/x', 1)
    const store = new SimulatedStore()
    const engine = () => Promise.resolve(new SimulatedState(deps, store))
    const { stateDir } = place.machine
    const engines = { embedded, managed: never, external: engine, link: never }
    using bound = limit()
    const options = { ...bound, stateDir, clusterId: 'c', writer: 'w', url: 'etcd://h/p' }
    const move = async (at: string | undefined) => {
      const fleet = await openFleetState(stateDir, engines)
      const atStep = (now: string) => {
        if (now === at) throw new Error('killed')
      }
      await moveToExternal({ ...deps, atStep }, fleet, embedded, { ...options, openEngine: engine })
      return fleet
    }
    await assert.rejects(move(step), /killed/)
    const fleet = await move(undefined)
    assert.deepEqual([...(await fleetValues(fleet))], [['fleet/x', 1]])
    const other = await Place.make()
    await using _ends = other
    await using others = await other.embedded()
    const strange = new FleetState(others)
    const wish = { ...options, stateDir: other.machine.stateDir, openEngine: engine }
    await assert.rejects(moveToExternal(deps, strange, others, wish), { code: 'already_exists' })
  }
})
