import assert from 'node:assert/strict'
import { beforeEach, test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { realClock as clock } from '../../io/clock.ts'
import type { PlaceState } from '../../kernel/names.ts'
import type { MissingMachine } from '../../kernel/types.ts'
import type { MachineRecord } from '../members.ts'
import { Names } from './names.ts'
import type { FleetNames, FleetPlace, LocalUnit } from './sources.ts'

const machine = (name: string, ...addresses: string[]): MachineRecord => ({
  machineId: `id-${name}`,
  name,
  addresses,
  publicKey: '',
  zone: '',
  labels: {},
  version: '',
  joinedAtMs: 0,
})

const machines = [
  machine('n1', '10.0.0.1:4656', '[fd00::1]:4656'),
  machine('n2', '10.0.0.2:4656', 'n2.example:4656'),
]
const all = () => undefined
const listeners = new Set<() => void>()
let here: Map<string, LocalUnit>
let elsewhere: Map<string, readonly FleetPlace[]>
let down: Map<string, MissingMachine>
let staleSinceMs: number | undefined

const listen = (changed: () => void) => {
  listeners.add(changed)
  return { [Symbol.dispose]: () => void listeners.delete(changed) }
}
const changed = () => {
  for (const listener of [...listeners]) listener()
}

const fleet: FleetNames = {
  prepare: async () => ({ staleSinceMs }),
  has: (unit) => elsewhere.has(unit),
  units: () => elsewhere.keys(),
  placesOf: async (unit) => ({ places: elsewhere.get(unit) ?? [], missing: [...down.values()] }),
  missing: async (id) => down.get(id),
  onChange: listen,
}
const names = new Names({
  clock,
  local: { unit: (name) => here.get(name), units: () => [...here.keys()], onChange: listen },
  self: () => machines[0] ?? assert.fail(),
  machines: () => machines,
  fleet: () => fleet,
})

const web = (...states: PlaceState[]): LocalUnit => ({
  unit: 'web.service',
  port: 80,
  instances: states.map((state, index) => ({ number: index + 1, state })),
})

beforeEach(() => {
  here = new Map([['web.service', web('ready')]])
  elsewhere = new Map([
    ['web.service', [{ instance: 2, machineId: 'id-n2', state: 'ready', port: 80 }]],
  ])
  down = new Map()
  staleSinceMs = undefined
})

test('resolve() puts together what is here and elsewhere, those here first', async () => {
  using limit = deadline(clock, 10_000)
  const found = await names.resolve('web', all, limit)
  const { knownAtMs, ...rest } = found
  assert.ok(Math.abs(knownAtMs - clock.wallMs()) < 10_000)
  const own = { unit: 'web.service', port: 80, state: 'ready' }
  assert.deepEqual(rest, {
    name: 'web.holon',
    kind: 'unit',
    places: [
      {
        ...{ ...own, name: '1.web.holon', instance: 1, machine: 'n1', isLocal: true },
        addresses: ['10.0.0.1', 'fd00::1'],
      },
      {
        ...{ ...own, name: '2.web.holon', instance: 2, machine: 'n2', isLocal: false },
        addresses: ['10.0.0.2'],
      },
    ],
    missing: [],
    isStale: false,
  })
  const second = await names.resolve('2.web.holon', all, limit)
  assert.deepEqual([second.kind, second.name], ['instance', '2.web.holon'])
  assert.deepEqual(second.places, rest.places.slice(1))
  await assert.rejects(names.resolve('3.web', all, limit), { code: 'not_found' })
  await assert.rejects(names.resolve('wen', all, limit), { code: 'not_found' })
})

test('resolve() of a machine: by name and by address, unknown while it is down', async () => {
  using limit = deadline(clock, 10_000)
  const found = await names.resolve('N2.machines', all, limit)
  assert.deepEqual([found.name, found.places[0]?.state], ['n2.machines.holon', 'ready'])
  down.set('id-n2', { machine: 'n2', code: 'unavailable' })
  const lost = await names.resolve('10.0.0.2', all, limit)
  assert.deepEqual([lost.name, lost.places[0]?.state], ['n2.machines.holon', 'unknown'])
  assert.deepEqual(lost.missing, [{ machine: 'n2', code: 'unavailable' }])
  await assert.rejects(names.resolve('10.0.0.9', all, limit), { code: 'not_found' })
})

test('resolve() of a part leaves out what is not in it', async () => {
  using limit = deadline(clock, 10_000)
  const found = await names.resolve('web', () => new Set(['n2']), limit)
  assert.deepEqual(
    found.places.map((place) => place.name),
    ['2.web.holon'],
  )
})

test('resolve() while the state is away: the last that is known, and no certain no', async () => {
  using limit = deadline(clock, 10_000)
  staleSinceMs = 5
  const found = await names.resolve('web', all, limit)
  assert.deepEqual([found.isStale, found.knownAtMs, found.places.length], [true, 5, 2])
  const refused = { code: 'unavailable', retryable: true }
  await assert.rejects(names.resolve('other', all, limit), refused)
})

test('watch() tells what is there, then what changes, as soon as it does', async () => {
  using limit = deadline(clock, 10_000)
  const watch = names.watch('web', all)
  const first = await watch.next(limit)
  const named = (places: readonly { readonly name: string }[]) => places.map(({ name }) => name)
  assert.deepEqual(named(first.added), ['1.web.holon', '2.web.holon'])
  const next = watch.next(limit)
  here.set('web.service', web('draining', 'ready'))
  elsewhere.clear()
  changed()
  const { added, removed, changed: others, resolution } = await next
  // The other one is at another machine now: a place of the same name.
  assert.deepEqual([named(added), added[0]?.machine], [['2.web.holon'], 'n1'])
  assert.deepEqual([named(removed), removed[0]?.machine], [['2.web.holon'], 'n2'])
  assert.deepEqual([named(others), others[0]?.state], [['1.web.holon'], 'draining'])
  assert.equal(resolution?.places.length, 2)
  assert.equal(listeners.size, 0)
})

test('watch() of what does not exist says so, and waits for it', async () => {
  using limit = deadline(clock, 10_000)
  const watch = names.watch('late', all)
  assert.deepEqual(await watch.next(limit), { added: [], removed: [], changed: [] })
  const next = watch.next(limit)
  here.set('late.service', { unit: 'late.service', instances: [{ number: 1, state: 'ready' }] })
  changed()
  assert.equal((await next).added[0]?.name, '1.late.holon')
  assert.throws(() => names.watch('a b', all), { code: 'invalid_argument' })
})
