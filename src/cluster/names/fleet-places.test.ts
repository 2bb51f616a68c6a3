/** Places over the simulated engine; machines are told what to answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { limits } from '../../base/limits.ts'
import { seededRandom } from '../../base/random.ts'
import { realClock as clock } from '../../io/clock.ts'
import { commit, newOperationId } from '../../state/commit.ts'
import type { Delete, Put } from '../../state/port.ts'
import { SimulatedState, SimulatedStore } from '../../state/simulated.ts'
import type { PortTerms } from '../../unit/port-terms.ts'
import type { Links } from '../links.ts'
import type { MachineRecord } from '../members.ts'
import type { Sighting } from '../peer.ts'
import type { PortReport, ServedInstance } from '../ports/served.ts'
import type { HostedInstance, HostedPhase } from '../reconcile/host.ts'
import { type SlotRecord, slotKey, specKey } from '../reconcile/records.ts'
import { FleetPlaces } from './fleet-places.ts'

const terms: PortTerms = { port: 80, protocol: 'tcp', hosts: [], drainMs: 0 }

class Fixture implements Disposable {
  readonly limit = deadline(clock, 20_000)
  readonly reports = new Map<string, PortReport>()
  readonly hosted = new Map<string, readonly HostedInstance[]>()
  readonly down = new Set<string>()
  readonly asked: string[] = []
  readonly said: string[] = []
  readonly state: SimulatedState
  readonly places: FleetPlaces
  readonly #random = seededRandom(1)
  staleSinceMs: number | undefined

  constructor() {
    const deps = { clock, random: this.#random }
    this.state = new SimulatedState(deps, new SimulatedStore({}))
    const machines = ['a', 'b', 'c'].map((machineId) => ({ machineId, name: `n${machineId}` }))
    const links = {
      seenAtMs: () => 7,
      peer: async (machineId: string) => ({
        hosted: async () => {
          this.asked.push(machineId)
          const instances = this.hosted.get(machineId)
          if (instances === undefined) throw new Error('it does not answer')
          return { sequence: 1, instances }
        },
      }),
    }
    this.places = new FleetPlaces({
      clock,
      state: this.state,
      links: links as unknown as Links,
      self: 'a',
      machines: () => machines as unknown as readonly MachineRecord[],
      ports: { reports: () => this.reports, onChange: () => ({ [Symbol.dispose]() {} }) },
      sightings: async () =>
        machines.map(({ machineId }): Sighting => {
          return { machineId, status: this.down.has(machineId) ? 'down' : 'up' }
        }),
      stateHealth: async () => ({
        engine: '',
        notes: [],
        ...(this.staleSinceMs === undefined ? {} : { unavailableSinceMs: this.staleSinceMs }),
      }),
      report: (message) => void this.said.push(message),
    })
  }

  [Symbol.dispose](): void {
    assert.deepEqual(this.said.splice(0), [])
    this.places[Symbol.dispose]()
    this.limit[Symbol.dispose]()
  }

  async write(...then: readonly (Put | Delete)[]): Promise<void> {
    const operationId = newOperationId(this.#random)
    const deps = { clock, random: this.#random }
    await commit(deps, this.state, { if: [], then, operationId, writer: 'test' }, this.limit)
  }

  place(unit: string, slot: number, machineId: string): Promise<void> {
    const record = { unit, slot, machineId, generation: 1 } as SlotRecord
    return this.write({ kind: 'put', key: slotKey(unit, slot), value: record, schema: 1 })
  }

  serve(machineId: string, number: number, state: ServedInstance['state']): void {
    const instances = [{ number, host: '127.0.0.1', port: 1, state }]
    const units = [{ unit: 'web.service', terms, instances }]
    this.reports.set(machineId, { number: 1, frontPort: 1, units })
  }

  host(machineId: string, unit: string, slot: number, phase: HostedPhase): void {
    this.hosted.set(machineId, [{ unit, slot, phase } as HostedInstance])
  }

  async of(unit: string) {
    const { places, missing } = await this.places.placesOf(unit)
    return {
      places: places.map(({ instance, machineId, state }) => [instance, machineId, state]),
      missing: missing.map(({ machine }) => machine),
    }
  }
}

test('placesOf() a unit with a public port asks nobody', async () => {
  using fixture = new Fixture()
  await fixture.place('web.service', 1, 'b')
  await fixture.place('web.service', 2, 'c')
  fixture.serve('b', 1, 'ready')
  fixture.serve('c', 2, 'draining')
  await fixture.places.prepare(fixture.limit.signal)
  const places = [
    [1, 'b', 'ready'],
    [2, 'c', 'draining'],
  ]
  assert.deepEqual(await fixture.of('web.service'), { places, missing: [] })
  assert.deepEqual(fixture.asked, [])
})

test('placesOf() other units asks their machines, once for all questions of a moment', async () => {
  using fixture = new Fixture()
  await fixture.place('job.service', 1, 'b')
  await fixture.place('job.service', 2, 'c')
  await fixture.place('job.service', 3, 'a')
  fixture.host('b', 'job.service', 1, 'ready')
  await fixture.places.prepare(fixture.limit.signal)
  const places = [
    [1, 'b', 'ready'],
    [2, 'c', 'unknown'],
  ]
  assert.deepEqual(await fixture.of('job.service'), { places, missing: [] })
  await Promise.all([fixture.of('job.service'), fixture.of('job.service')])
  assert.deepEqual(fixture.asked.sort(), ['b', 'c'])
  const { units } = fixture.places
  assert.deepEqual([...units.call(fixture.places)], ['job.service'])
})

test('placesOf() leaves out what has ended, and what is there but not begun is starting', async () => {
  using fixture = new Fixture()
  await fixture.place('job.service', 1, 'b')
  await fixture.place('job.service', 2, 'c')
  fixture.host('b', 'job.service', 1, 'failed')
  fixture.host('c', 'other.service', 1, 'ready')
  await fixture.places.prepare(fixture.limit.signal)
  assert.deepEqual((await fixture.of('job.service')).places, [[2, 'c', 'starting']])
})

test('placesOf() of a machine that is down: unknown, until it is given to another', async () => {
  using fixture = new Fixture()
  await fixture.place('web.service', 1, 'b')
  fixture.serve('b', 1, 'ready')
  fixture.down.add('b')
  await fixture.places.prepare(fixture.limit.signal)
  const lost = { places: [[1, 'b', 'unknown']], missing: ['nb'] }
  assert.deepEqual(await fixture.of('web.service'), lost)
  const changed = Promise.withResolvers<void>()
  using _listening = fixture.places.onChange(changed.resolve)
  await fixture.place('web.service', 1, 'c')
  await changed.promise
  fixture.serve('c', 1, 'ready')
  assert.deepEqual(await fixture.of('web.service'), { places: [[1, 'c', 'ready']], missing: [] })
})

test('has() knows units without an instance, until they are unloaded', async () => {
  using fixture = new Fixture()
  const key = specKey('idle.service')
  const value = { unit: 'idle.service', spec: 1, wanted: false }
  await fixture.write({ kind: 'put', key, value, schema: 1 })
  await fixture.places.prepare(fixture.limit.signal)
  assert.equal(fixture.places.has('idle.service'), true)
  const changed = Promise.withResolvers<void>()
  using _listening = fixture.places.onChange(changed.resolve)
  await fixture.write({ kind: 'delete', key })
  await changed.promise
  assert.equal(fixture.places.has('idle.service'), false)
})

test('prepare() says since when the state is away, and waits no longer than it says', async () => {
  using fixture = new Fixture()
  assert.deepEqual(await fixture.places.prepare(fixture.limit.signal), { staleSinceMs: undefined })
  using away = new Fixture()
  away.staleSinceMs = 5
  await away.state.close()
  const startedMs = clock.nowMs()
  assert.deepEqual(await away.places.prepare(away.limit.signal), { staleSinceMs: 5 })
  assert.ok(clock.nowMs() - startedMs < 10 * limits.namesAskMs)
  // Both loops say the same: once is enough.
  assert.equal(away.said.splice(0).length, 1)
})
