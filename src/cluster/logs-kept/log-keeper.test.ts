import assert from 'node:assert/strict'
import { test } from 'node:test'
import { deadline } from '../../base/clock.ts'
import { HolonError } from '../../base/errors.ts'
import { realClock } from '../../io/clock.ts'
import type { MachineRecord } from '../members.ts'
import { inOrder, LogKeeper, type LogKeeperMember } from './log-keeper.ts'

function machine(machineId: string, zone = ''): MachineRecord {
  const rest = { publicKey: '', addresses: [], labels: {}, version: '', joinedAtMs: 0 }
  return { machineId, name: machineId, zone, ...rest }
}

/** Machines as `self` sees them; who is in `broken` refuses. */
class World implements LogKeeperMember {
  readonly self: MachineRecord
  readonly members: { all: readonly MachineRecord[] }
  readonly down = new Set<string>()
  readonly broken = new Set<string>()
  readonly asked: string[] = []

  constructor(self: MachineRecord, others: readonly MachineRecord[]) {
    this.self = self
    this.members = { all: [self, ...others] }
  }

  readonly liveness = {
    sightings: async () =>
      this.members.all
        .filter(({ machineId }) => machineId !== this.self.machineId)
        .map(({ machineId }) => ({
          machineId,
          status: this.down.has(machineId) ? ('suspect' as const) : ('up' as const),
        })),
  }

  readonly links = {
    peer: async (machineId: string) => ({
      keepLog: async () => {
        this.asked.push(machineId)
        if (this.broken.has(machineId)) throw new HolonError('exhausted', `${machineId} is full`)
        return []
      },
    }),
  }
}

const names = Array.from({ length: 60 }, (_, index) => `m${index}`)

test('inOrder() puts other zones first, and spreads machines evenly over their keepers', () => {
  const all = names.map((name, index) => machine(name, `z${index % 3}`))
  const counts = new Map<string, number>()
  for (const self of all) {
    const [first, ...rest] = inOrder(
      self,
      all.filter((each) => each !== self),
    )
    assert.notEqual(first?.zone, self.zone)
    assert.equal(rest.at(-1)?.zone, self.zone)
    const keeper = first?.machineId ?? ''
    counts.set(keeper, (counts.get(keeper) ?? 0) + 1)
  }
  assert.ok(Math.max(...counts.values()) <= 6, JSON.stringify([...counts]))
})

test('LogKeeper stays with one that is up until it fails or leaves, and takes another one then', async () => {
  const others = ['a', 'b', 'c', 'd'].map((name) => machine(name))
  const world = new World(machine('self'), others)
  const [first = '', second = '', third = '', fourth = ''] = inOrder(world.self, others).map(
    ({ machineId }) => machineId,
  )
  const keeper = new LogKeeper(realClock, world)
  using limit = deadline(realClock, 10_000)
  const kept = async () => (await keeper.keep([], limit)).keeper
  world.down.add(first)
  assert.equal(await kept(), second)
  world.down.delete(first)
  assert.equal(await kept(), second, 'nothing moves back')
  world.broken.add(second)
  assert.equal(await kept(), first)
  world.members.all = world.members.all.filter(({ machineId }) => machineId !== first)
  assert.equal(await kept(), third, 'the second is tried, and still fails')
  world.broken.add(third)
  world.broken.add(fourth)
  world.asked.length = 0
  await assert.rejects(kept(), { code: 'exhausted' })
  assert.deepEqual(world.asked, [third, second, fourth], 'each once')
  world.members.all = [world.self]
  await assert.rejects(kept(), { code: 'not_found' })
})
